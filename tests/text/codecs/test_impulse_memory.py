"""`impulse` text with memory: what lines did in the frame before, told by two frames."""

from __future__ import annotations

import numpy as np
import pytest

from physworld import scenarios
from physworld.seeding import generator
from physworld.sim.pymunk_sim import build_space, simulate
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.islands import IslandCodec
from physworld.text.rollout import rollout
from physworld.types import Body, Sample, Scene, Segment, Trajectory

PLAIN, CODEC = ImpulseCodec(shuffle_names=False), ImpulseCodec(shuffle_names=False, memory=True)
FLOOR = Segment(start=(0.0, 0.0), end=(800.0, 0.0), radius=5.0, friction=0.5)


def stack(*masses: float) -> Scene:
    """Boxes one upon the other, the first on the floor."""
    bodies = tuple(
        Body(shape="rect", size=(40.0, 20.0), position=(400.0, 15.0 + 20.0 * k), mass=mass, friction=0.5)
        for k, mass in enumerate(masses)
    )
    return Scene(
        name="stack", category="", difficulty=1, text="", bodies=bodies, static=(FLOOR,), gravity=(0.0, -981.0)
    )


def remembered(codec: ImpulseCodec, given: Trajectory) -> list[tuple[str, int, str, list[float]]]:
    """(word, body, partner, numbers) of the lines with memory."""
    found = []
    for line in codec.write_prompt(given).splitlines():
        word, *rest = line.split()
        if word.endswith("+"):
            found.append((word, int(rest[0][1:]), rest[1], [float(x) for x in rest[2:]]))
    return found


def test_what_lies_on_a_body_is_the_weight_that_it_carries() -> None:
    """At rest the lowest of three bears three weights a frame, the highest its own: g·dt · masses above / own."""
    run = simulate(stack(1.0, 2.0, 3.0), 90)
    carried = {}
    for word, body, partner, numbers in remembered(CODEC, run.window(88, 90)):
        assert word == "touch2+"
        own = numbers[-4:]
        carried[body, partner] = own[0] + own[2]
    weight = 981.0 / 60.0
    assert carried[0, "fixed"] == pytest.approx(6 * weight, rel=0.01)
    assert carried[1, "o0"] == pytest.approx(5 / 2 * weight, rel=0.01)
    assert carried[1, "o2"] == pytest.approx(3 / 2 * weight, rel=0.01)
    assert carried[2, "o1"] == pytest.approx(weight, rel=0.01)


@pytest.mark.parametrize("name", ["tower", "chain", "pendulum", "avalanche"])
def test_impulses_add_up_to_the_change_of_velocity(name: str) -> None:
    """In the own frame of every body without a spring, what lines say is what two frames say."""
    scene = scenarios.build(name, generator(4, "test", 1), 2)
    run = simulate(scene, 40)
    given = run.window(37, 39)
    _, listed, frames = CODEC._views(given)
    own = {int(body): frame for body, frame in zip(listed, frames, strict=True)}
    total = {body: np.zeros(2) for body in own}
    for word, body, _, numbers in remembered(CODEC, given):
        nx, ny, hand = own[body]
        normal, across = np.array([nx, ny]), hand * np.array([-ny, nx])
        if word == "hold+":
            total[body] += numbers[-2] * normal + numbers[-1] * across
            continue
        at = 3 if word.startswith("touch") else 1
        c = numbers[at] * normal + numbers[at + 1] * across
        t = -numbers[at + 1] * normal + numbers[at] * across
        for k in {"touch+": (-2,), "touch2+": (-4, -2)}.get(word, ()):
            total[body] += numbers[k] * c + numbers[k + 1] * t
        if word in ("link+", "tie+"):
            total[body] += numbers[-1] * c
    change = given.velocity[1] - given.velocity[0] - np.array(scene.gravity) * scene.dt
    error = np.array([np.linalg.norm(total[body] - change[body]) for body in total])
    size = np.array([np.linalg.norm(change[body]) for body in total])
    assert size.max() > 5.0
    assert np.sqrt(np.mean(error**2)) < 0.1 * np.sqrt(np.mean(size**2))


def test_the_simulator_remembers_the_same() -> None:
    """Total impulses of Pymunk's own arbiters in a collapsing stack, contact by contact."""
    scene = scenarios.build("stack_collapse", generator(2, "test", 1), 3)
    run, space = simulate(scene, 60), build_space(scene)
    for _ in range(59):
        space.step(scene.dt)
    bodies = [body for body in space.bodies if body is not space.static_body]
    true: dict[tuple[int, str], float] = {}
    for i, body in enumerate(bodies):

        def note(arbiter: object, i: int = i, body: object = body) -> None:
            a, b = (shape.body for shape in arbiter.shapes)  # type: ignore[attr-defined]
            other = b if a is body else a
            name = f"o{bodies.index(other)}" if other in bodies else "fixed"
            size = arbiter.total_impulse.length / scene.bodies[i].mass  # type: ignore[attr-defined]
            true[i, name] = true.get((i, name), 0.0) + size

        body.each_arbiter(note)
    said: dict[tuple[int, str], float] = {}
    for word, body, partner, numbers in remembered(CODEC, run.window(58, 60)):
        own = np.array(numbers[-4:] if word == "touch2+" else numbers[-2:]).reshape(-1, 2).sum(axis=0)
        said[body, partner] = said.get((body, partner), 0.0) + float(np.linalg.norm(own))
    pairs = [(size, said.get(key, 0.0)) for key, size in true.items() if size > 0.5]
    assert len(pairs) > 5
    off = np.array([abs(a - b) for a, b in pairs])
    assert np.median(off / np.array([a for a, _ in pairs])) < 0.1


def test_one_frame_tells_nothing_and_answers_are_the_same() -> None:
    run = simulate(scenarios.build("tower", generator(1, "test", 3), 2), 32)
    given, then = run.window(29, 31), run.frame(31)
    alone = given.window(1, 2)
    assert CODEC.write_prompt(alone) == PLAIN.write_prompt(given) and "+" in CODEC.write_prompt(given)
    with_memory = CODEC.encode(Sample(seed=0, given=given, target=run.window(31, 32)))
    without = PLAIN.encode(Sample(seed=0, given=given, target=run.window(31, 32)))
    answer = with_memory.labels[with_memory.labels >= 0]
    assert np.array_equal(answer, without.labels[without.labels >= 0])
    state = CODEC.decode(answer, given)
    assert state is not None
    assert np.abs(state.velocity - then.velocity).max() < 0.3


def test_text_and_ids_are_the_same_document() -> None:
    run = simulate(scenarios.build("bridge", generator(1, "test", 0), 2), 40)
    given = run.window(37, 39)
    for codec in (CODEC, IslandCodec(shuffle_names=False, memory=True)):
        ids = codec.prompt(given)
        assert np.array_equal(codec.read_ids(codec.text(ids)), ids)
        back = codec.read_prompt(codec.text(ids))
        assert back is not None and len(back.scene.bodies) == len(run.scene.bodies)


def test_islands_cut_the_same_lines() -> None:
    run = simulate(scenarios.build("avalanche", generator(1, "test", 0), 2), 60)
    given, codec = run.window(57, 59), IslandCodec(shuffle_names=False, memory=True)
    whole = sorted(line for line in codec.write_prompt(given).splitlines() if line.split()[0].endswith("+"))
    parts = [codec.text(ids).splitlines() for ids in codec.prompts(given)]
    assert len(whole) > 20 and len(parts) > 1
    assert sorted(line for part in parts for line in part if line.split()[0].endswith("+")) == whole


def test_dropped_memory_is_a_share_of_samples() -> None:
    run = simulate(stack(1.0, 2.0), 30)
    codec = IslandCodec(memory=True, memory_dropout=0.25)
    plus = [codec.word["touch2+"], codec.word["touch+"]]
    kept = 0
    for seed in range(400):
        sample = Sample(seed=seed, given=run.window(27, 29), target=run.window(29, 30))
        kept += bool(np.isin(codec.encode(sample).input_ids, plus).any())
    assert 270 < kept < 330  # 300 expected, 8.7 standard deviation
    for wrong in ({"memory": 1}, {"memory_dropout": 1.5}, {"memory_dropout": 0.3}):
        with pytest.raises(ValueError, match=r"must be|no effect"):
            ImpulseCodec(**wrong)  # type: ignore[arg-type]


class _Truth:
    """Answers with what the simulator would do, and notes what it was shown."""

    max_length = None

    def __init__(self, run: Trajectory) -> None:
        self.run, self.at, self.prompts = run, 0, []  # type: ignore[var-annotated]

    def generate(self, prompts, limits, end_id, guide=None, *, noise=None, rows=None):  # type: ignore[no-untyped-def]
        self.prompts += prompts
        given = self.run.window(self.at, self.at + 2)
        _, listed, frames = CODEC._views(given)
        self.at += 1
        ids, _ = CODEC.answer(self.run.scene, listed, frames, given.frame(-1), self.run.frame(self.at + 1))
        return [ids]


def test_a_rollout_remembers_its_own_last_answer() -> None:
    """Shown the truth as its answer, the model is shown what the truth of that frame would have told."""
    run = simulate(stack(1.0, 2.0), 34)
    model = _Truth(run.window(28, 34))
    rollout(model, CODEC, [run.window(28, 30)], 3)  # type: ignore[arg-type]
    assert len(model.prompts) == 3
    for step in (1, 2):
        told = remembered(CODEC, run.window(28 + step, 30 + step))
        text = CODEC.text(model.prompts[step])
        shown = [[float(x) for x in line.split()[3:]] for line in text.splitlines() if line.split()[0].endswith("+")]
        assert len(shown) == len(told) > 0
        for mine, (_, _, _, true) in zip(shown, told, strict=True):
            assert mine[-4] + mine[-2] == pytest.approx(true[-4] + true[-2], abs=0.3)  # points may swap
