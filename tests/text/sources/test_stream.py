"""The stream: a sample is a function of (seed, split, index), and batch k of k, whoever asks and in whatever order."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from physworld import scenarios
from physworld.data import IndexBatches, Repeated, Staged, StreamData, collate
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.sources import windows
from physworld.text.sources.physics import PhysicsSource
from physworld.text.sources.windows import EVENT_SPEED, impulses
from physworld.types import Batch, Encoded, Sample, Trajectory

from repository import ROOT

CODEC = ImpulseCodec()
SETTINGS = {"names": ("billiards", "pendulum", "tower"), "difficulties": (1, 2), "frames": 60}


def source(split: str = "train", seed: int = 0, **changes: object) -> PhysicsSource:
    return PhysicsSource(seed=seed, split=split, **{**SETTINGS, **changes})  # type: ignore[arg-type]


def digest(sample: Sample) -> str:
    """Of every bit of a sample."""
    whole = hashlib.sha256(repr((sample.seed, sample.given.scene)).encode())
    for part in (sample.given, sample.target):
        for values in (part.position, part.velocity, part.angle, part.spin):
            whole.update(np.ascontiguousarray(values).tobytes())
    return whole.hexdigest()


# --- samples


def test_order_of_access_does_not_matter() -> None:
    forward = [digest(source().sample(k)) for k in range(24)]
    one = source()
    backward = [digest(one.sample(k)) for k in reversed(range(24))]
    assert forward == backward[::-1]
    assert len(set(forward)) > 12


def test_forgetting_does_not_matter() -> None:
    """The source keeps the scenes it simulated last; one that it has dropped is simulated again, to the bit."""
    one = source(frames=8, windows_per_scene=2)
    first = [digest(one.sample(k)) for k in range(4)]
    for k in range(4, 200):
        one.sample(k)
    assert 0 not in one._windows and len(one._windows) <= 64
    assert [digest(one.sample(k)) for k in range(4)] == first


@pytest.mark.slow
def test_another_process_draws_the_same() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "from test_stream import *; print(*[digest(source().sample(k)) for k in (0, 9, 17)])"],
        cwd=Path(__file__).parent,
        env={
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'helpers'}",
            "PYTHONHASHSEED": "7",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said == [digest(source().sample(k)) for k in (0, 9, 17)]


def test_seeds_and_splits_do_not_meet() -> None:
    streams = [source(split, seed) for split in ("train", "val", "test") for seed in (0, 1)]
    drawn = [stream.scene(k) for stream in streams for k in range(30)]
    assert len({repr(scene.bodies) for scene in drawn}) == len(drawn)


def test_a_sample_belongs_to_its_scene() -> None:
    stream = source()
    for index in (0, 7, 8, 30):
        sample = stream.sample(index)
        assert sample.seed == index
        assert sample.given.scene == sample.target.scene == stream.scene(index // stream.windows_per_scene)
        assert (len(sample.given), len(sample.target)) == (1, 1)


def test_windows_are_as_long_as_the_codec_wants() -> None:
    sample = source(context_frames=4, target_frames=2).sample(3)
    assert (len(sample.given), len(sample.target)) == (4, 2)


@pytest.mark.parametrize("difficulty", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", scenarios.names())
def test_every_scenario_streams_at_every_difficulty(name: str, difficulty: int) -> None:
    stream = source(names=(name,), difficulties=(difficulty,), frames=12, windows_per_scene=3)
    for index in range(3):
        item = CODEC.encode(stream.sample(index))
        assert item.input_ids.shape == item.labels.shape == item.event.shape
        assert item.labels[-1] == CODEC.end_id
        assert item.input_ids.min() >= 0 and item.input_ids.max() < CODEC.vocabulary.size
        assert np.isin(item.labels[item.labels != -100], CODEC.vocabulary.outputs).all()


def free(now: Trajectory) -> np.ndarray:
    """Bodies with nothing near: their next velocity follows from this frame alone."""
    _, listed, _ = CODEC._views(now)
    return np.setdiff1d(np.arange(len(now.scene.bodies)), listed)


def test_no_target_frame_is_kicked() -> None:
    stream = source(names=("projectile", "billiards", "head_on"), difficulties=(2,), kicked_scenes=1.0, kick_rate=0.5)
    checked = 0
    for index in range(200):
        sample = stream.sample(index)
        now, then = sample.given.frame(-1), sample.target.frame(0)
        flying = free(sample.given)
        step = simulate(sample.given.scene, 2, start=now).frame(1)
        np.testing.assert_allclose(then.velocity[flying], step.velocity[flying], atol=1e-9)
        np.testing.assert_allclose(then.spin[flying], step.spin[flying], atol=1e-9)
        checked += len(flying)
    assert checked > 500


@pytest.mark.parametrize(("frames", "shape"), [(2, {}), (5, {"context_frames": 2, "target_frames": 3})])
def test_a_scene_that_kicks_leave_no_target_is_not_kicked(frames: int, shape: dict[str, int]) -> None:
    stream = source(names=("billiards",), frames=frames, kicked_scenes=1.0, kick_rate=0.9, windows_per_scene=1, **shape)
    for index in range(40):
        sample = stream.sample(index)
        steps = simulate(sample.given.scene, 1 + len(sample.target), start=sample.given.frame(-1)).window(
            1, 1 + len(sample.target)
        )
        np.testing.assert_allclose(sample.target.position, steps.position, atol=1e-3)


def test_kicks_in_every_frame_are_refused() -> None:
    with pytest.raises(ValueError, match=r"kick_rate=1.0 must be from 0 to just below 1"):
        source(kick_rate=1.0)
    with pytest.raises(ValueError, match=r"kicked_scenes=1.5 must be from 0 to 1"):
        source(kicked_scenes=1.5)


def test_context_frames_are_kicked() -> None:
    """Billiards' waiting balls have no reason to move but kicks."""
    moving = {}
    for share in (0.0, 1.0):
        stream = source(names=("billiards",), kicked_scenes=share)
        slowest = [np.abs(stream.sample(k).given.velocity).min() for k in range(0, 320, 8)]
        moving[share] = np.mean(np.array(slowest) > 0)
    assert moving[0.0] < 0.5 and moving[1.0] > moving[0.0] + 0.4


def test_event_fraction() -> None:
    """Share of windows whose target holds a jump of velocity; a scene without any gives calm windows instead."""
    share = {}
    for fraction in (0.0, 0.5, 1.0):
        stream = source(names=("billiards",), difficulties=(2,), event_fraction=fraction, frames=150)
        jumps = []
        for index in range(240):
            sample = stream.sample(index)
            jump = sample.target.velocity[0] - sample.given.velocity[-1]
            jumps.append(np.abs(jump).max() > EVENT_SPEED)
        share[fraction] = np.mean(jumps)
    assert share[0.0] == 0
    assert 0.4 < share[0.5] < 0.6
    assert share[1.0] > 0.95


def test_what_rests_is_no_event_unless_wanted() -> None:
    """Jenga mostly stands: with `resting` nearly every frame holds an event, without it some body must jump."""
    jumps = {}
    for include_resting in (True, False):
        stream = source(
            names=("jenga",), frames=150, event_fraction=1.0, kicked_scenes=0.0, include_resting=include_resting
        )
        cases = [stream.sample(index) for index in range(160)]
        jump = [np.abs(m.target.velocity[0] - m.given.velocity[-1]).max() for m in cases]
        jumps[include_resting] = np.mean(np.array(jump) > EVENT_SPEED)
    assert jumps[False] > 0.8
    assert jumps[True] < 0.3


@pytest.mark.parametrize("name", ["solar_system", "planetary_rotation", "gravity_well", "particle_explosion"])
def test_fields_are_no_event(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gravity and fields explain every change of velocity of bodies too small to meet; of the true ones, not all."""
    scene = scenarios.build(name, generator(0, "train", 1), 3)
    grains = tuple(replace(body, shape="circle", size=(1e-3,)) for body in scene.bodies)
    run = simulate(replace(scene, bodies=grains, static=(), joints=()), 100)
    assert np.abs(impulses(run)).max() < 1e-6
    plain = run.velocity[1:] - run.velocity[:-1] - np.array(scene.gravity) * scene.dt
    assert np.abs(plain).max() > 1e-3  # so the fields were at work
    met = np.abs(impulses(simulate(scene, 100))).max()
    assert (met > EVENT_SPEED) == (name in ("gravity_well", "particle_explosion"))  # in the others nothing meets
    whole = impulses(run)
    monkeypatch.setattr(windows, "PAIRS_AT_ONCE", 1)
    np.testing.assert_array_equal(impulses(run), whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": ()}, "scenario.names is empty"),
        ({"names": ("billiard",)}, "did you mean 'billiards'"),
        ({"difficulties": (1, 6)}, "difficulties must be some of"),
        ({"difficulties": ()}, "difficulties must be some of"),
        ({"frames": 1}, "shorter than a window"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        source(**changes)


# --- streams of streams


class Counting:
    """Says which of several sources was asked for what."""

    def __init__(self, name: str) -> None:
        self.name = name

    def sample(self, index: int) -> Sample:
        return Sample(seed=index, given=self.name, target=index)


def test_staged() -> None:
    staged = Staged([Counting("a"), Counting("b"), Counting("c")], samples_per_stage=10)
    drawn = [staged.sample(k) for k in (0, 9, 10, 19, 20, 29, 30, 1000)]
    assert [s.given for s in drawn] == ["a", "a", "b", "b", "c", "c", "c", "c"]
    assert [s.target for s in drawn] == [0, 9, 10, 19, 20, 29, 30, 1000]
    with pytest.raises(ValueError, match="samples_per_stage >= 1"):
        Staged([Counting("a")], samples_per_stage=0)


def test_repeated() -> None:
    assert [Repeated(Counting("a"), count=3).sample(k).target for k in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    with pytest.raises(ValueError, match="repeat must be >= 1"):
        Repeated(Counting("a"), count=0)


# --- batches


def take(batches: IndexBatches, count: int) -> list[list[int]]:
    return list(itertools.islice(iter(batches), count))


def test_index_batches() -> None:
    assert take(IndexBatches(size=3), 3) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert take(IndexBatches(size=3, start=2), 2) == take(IndexBatches(size=3), 4)[2:]
    assert list(IndexBatches(size=2, samples=4)) == [[0, 1], [2, 3]]
    assert list(IndexBatches(size=3, samples=4)) == [[0, 1, 2], [3]]


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("start", [0, 5])
def test_ranks_stride(ranks: int, start: int) -> None:
    """Together the ranks read what one rank would, and nothing twice."""
    each = [take(IndexBatches(size=4, start=start, rank=r, ranks=ranks), 3) for r in range(ranks)]
    woven = [batch for turn in zip(*each, strict=True) for batch in turn]
    assert woven == take(IndexBatches(size=4, start=start * ranks), 3 * ranks)


def first_batches(workers: int, count: int, start: int = 0) -> list[Batch]:
    data = StreamData(train=source(), val=source("val"), codec=CODEC, micro_batch=5, num_workers=workers)
    data.load_state_dict({"batches": start})
    batches = iter(data.train_dataloader())
    return [next(batches) for _ in range(count)]


def equal(a: Batch, b: Batch) -> bool:
    pairs = [(getattr(a, key), getattr(b, key)) for key in ("input_ids", "labels", "event", "seed")]
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int) -> None:
    alone, helped = first_batches(0, 7), first_batches(workers, 7)
    assert [batch.seed.tolist() for batch in alone] == [list(range(5 * k, 5 * k + 5)) for k in range(7)]
    assert all(equal(a, b) for a, b in zip(alone, helped, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_starts_anywhere(workers: int) -> None:
    assert all(equal(a, b) for a, b in zip(first_batches(0, 6)[4:], first_batches(workers, 2, start=4), strict=True))


def test_validation_is_a_fixed_head() -> None:
    """The same samples whatever the passes, so that a loss does not depend on the hardware."""
    data = StreamData(train=source(), val=source("val"), codec=CODEC, micro_batch=5, val_samples=12)
    first, again = list(data.val_dataloader()), list(data.val_dataloader())
    assert [batch.seed.tolist() for batch in first] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]
    assert all(equal(a, b) for a, b in zip(first, again, strict=True))


def test_collate_pads_on_the_right() -> None:
    items = [
        Encoded(seed=n, input_ids=np.arange(1, n + 1), labels=np.arange(n), event=np.ones(n, bool)) for n in (2, 4)
    ]
    batch = collate(items, pad=9)
    assert batch.input_ids.tolist() == [[1, 2, 9, 9], [1, 2, 3, 4]]
    assert batch.labels.tolist() == [[0, 1, -100, -100], [0, 1, 2, 3]]
    assert batch.event.tolist() == [[True, True, False, False], [True] * 4]
    assert batch.seed.tolist() == [2, 4]
