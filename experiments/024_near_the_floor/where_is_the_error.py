"""Where is the error: in the words of an answer, in what one frame hides, or in what the model has not learned?

    python experiments/024_near_the_floor/where_is_the_error.py [--runs shipped] [--each 1] [--csv FILE]
        [--family extreme_mass --level 1]

Validation scenes, one of each seen type and difficulty, 30 frames. Exact answers with parts replaced; the simulator
goes on from what was said, so that errors add up as a model's do:

    floor              restarted once from the rounded state, then left alone
    remembers          its solver keeps its memory; nothing is rounded (chaos of restarting alone)
    remembers, text    the same, each answer through the text: rounded, its push along the own normal alone
    remembers, v text  the same, but places and angles exact: what is lost is the rounding of velocities
    forgets            a new solver in every frame
    forgets, text      the same through the text: exact physics, shown what the model is shown
    MODEL              the model
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from physworld import scenarios
from physworld.errors import UserError
from physworld.metrics.errors import position_rmse
from physworld.metrics.events import score_events
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model
from physworld.seeding import generator
from physworld.sim.ood import FAMILIES, shift
from physworld.sim.pymunk_sim import Live, simulate
from physworld.text.codecs.islands import IslandCodec
from physworld.text.evaluation.baselines import linear, rounded_state
from physworld.text.rollout import rollout
from physworld.text.sources.physics import PhysicsSource
from physworld.text.sources.windows import cut_windows
from physworld.types import Sample, State, Trajectory

FRAMES = 30
CODEC = IslandCodec()


def rows_of(state: State) -> np.ndarray:
    return np.column_stack([state.position, state.angle, state.velocity, state.spin])


def through(given: Trajectory, then: State, *, places: bool) -> State:
    """The next state as an answer's words say it; places: only its velocities."""
    _, listed, frames = CODEC._views(given)
    ids, _ = CODEC.answer(given.scene, listed, frames, given.frame(-1), then)
    said = CODEC.decode(ids, given)
    assert said is not None
    if places:
        return State(position=then.position, angle=then.angle, velocity=said.velocity, spin=said.spin)
    return said


def stepped(given: Trajectory, *, remembers: bool, change: Callable[[Trajectory, State], State] | None) -> Trajectory:
    """The simulator from the last given frame, each state changed before it goes on; `given` holds two frames."""
    live = Live(given.scene, given.frame(-2))
    live.step()  # its solver's memory of the frame before
    now, states = given.window(len(given) - 1, len(given)), []
    for _ in range(FRAMES):
        if not remembers:
            live = Live(given.scene, now.frame(-1))
        else:
            live.put(rows_of(now.frame(-1)))
        live.step()
        state = live.state if change is None else change(now, live.state)
        states.append(state)
        now = Trajectory.of(given.scene, [state])
    return Trajectory.of(given.scene, states)


def drawn(name: str, difficulty: int, number: int, family: str | None, level: float) -> Sample:
    """Two frames and the thirty behind them, of a validation scene as it is or moved out of training's range."""
    source = PhysicsSource(
        seed=24, split="val", names=[name], difficulties=[difficulty], kicked_scenes=0.0, context_frames=2,
        target_frames=FRAMES, windows_per_scene=1, event_fraction=0.0,
    )  # fmt: skip
    if family is None:
        return source.sample(number)
    rng = generator(24, "val", number)
    run = simulate(shift(source.scene(number), family, rng, level=level).scene, 150)
    ((given, target),) = cut_windows(run, rng, count=1, context_frames=2, target_frames=FRAMES, event_fraction=0.0)
    return Sample(given=given, target=target, seed=number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="*", default=[])
    parser.add_argument("--each", type=int, default=1, help="scenes of a type and difficulty")
    parser.add_argument("--names", nargs="+", choices=scenarios.seen(), default=scenarios.seen(), metavar="TYPE")
    parser.add_argument("--difficulties", type=int, nargs="+", choices=scenarios.DIFFICULTIES, default=[1, 2, 3, 4, 5])
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--family", choices=FAMILIES, help="scenes moved out of training's range")
    parser.add_argument("--level", type=float, default=1.0)
    options = parser.parse_args()
    if options.each < 1 or not 0 < options.level <= 1:
        parser.error("--each must be 1 or more, and --level above 0 and at most 1")
    try:
        folders = {run: runs.find_run(run) for run in options.runs}
    except UserError as error:
        parser.error(str(error))
    torch.set_num_threads(1)
    samples = []
    for difficulty in options.difficulties:
        for number, name in enumerate(options.names * options.each):
            samples.append(drawn(name, difficulty, number, options.family, options.level))

    def text(now: Trajectory, then: State) -> State:
        return through(now, then, places=False)

    def speeds(now: Trajectory, then: State) -> State:
        return through(now, then, places=True)

    ways: dict[str, Callable[[Trajectory], Trajectory]] = {
        "linear": lambda g: linear(g, FRAMES),
        "floor": lambda g: rounded_state(g, FRAMES, CODEC.round_state),
        "remembers": lambda g: stepped(g, remembers=True, change=None),
        "remembers, v text": lambda g: stepped(g, remembers=True, change=speeds),
        "remembers, text": lambda g: stepped(g, remembers=True, change=text),
        "forgets": lambda g: stepped(g, remembers=False, change=None),
        "forgets, text": lambda g: stepped(g, remembers=False, change=text),
    }
    paths = {name: [way(s.given) for s in samples] for name, way in ways.items()}
    for run, folder in folders.items():
        model, codec, _ = load_model(folder, torch.device("cpu"))
        paths[run] = rollout(model, codec, [s.given for s in samples], FRAMES).predicted
    types = np.array([s.given.scene.name for s in samples])
    errors = {
        name: np.array([position_rmse(s.target, p, FRAMES) for s, p in zip(samples, some, strict=True)])
        for name, some in paths.items()
    }
    print("who | RMSE@30 px, mean (median) | x linear | onsets: found, right | by impulse: found, right")
    for name, some in paths.items():
        scores = [score_events(s.target, p, s.given.frame(-1)) for s, p in zip(samples, some, strict=True)]
        total = {k: sum(getattr(x, k) for x in scores) for k in vars(scores[0])}
        shares = [
            total[a] / max(total[b], 1e-9)
            for a, b in (
                ("matched", "true"), ("matched", "said"), ("found_impulse", "true_impulse"),
                ("right_impulse", "said_impulse"),
            )
        ]  # fmt: skip
        ratio = errors[name].mean() / errors["linear"].mean()
        cells = " | ".join(f"{100 * a:.0f}%, {100 * b:.0f}%" for a, b in (shares[:2], shares[2:]))
        print(f"{name} | {errors[name].mean():.2f} ({np.median(errors[name]):.2f}) | {ratio:.3f} | {cells}", flush=True)
    means = {name: {t: errors[name][types == t].mean() for t in sorted(set(types))} for name in errors}
    print("\n" + " | ".join(["type", *errors]))
    last = list(errors)[-1]
    for t in sorted(set(types), key=lambda t: -means[last][t] / means["linear"][t]):
        print(" | ".join([t, *(f"{means[name][t]:.1f}" for name in errors)]))
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["type", *errors])
            writer.writerows([t, *(f"{means[name][t]:.3f}" for name in errors)] for t in sorted(set(types)))


if __name__ == "__main__":
    main()
