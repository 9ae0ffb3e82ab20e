"""Training on states that a trained model brought about itself, with the simulator's answer to each.

A model that goes on from its own output meets states that no simulation passes through: bodies a little inside each
other, a rod a little too long. So a share of the samples is rolled out by a finished model, and the simulator says
what follows each of its states (dataset aggregation, Ross et al. 2011, arXiv 1011.0686; the pushforward trick of
Brandstetter et al. 2022, arXiv 2202.03376, has the same aim).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from physworld.protocols import Generator
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.rollout import Rollout, rollout
from physworld.text.sources.physics import PhysicsSource
from physworld.text.sources.windows import choose, events
from physworld.types import Sample, Scene, State, Trajectory

SCENES_AT_ONCE = 32  # rolled out side by side
FROM_EACH = 64  # windows of one rollout; most of its frames hold several islands, of which a window takes one
OWN = 1  # keeps the draws of these scenes apart from those of the simulated ones


class OnPolicySource(PhysicsSource):
    """`PhysicsSource`, with a share of its samples from rollouts of a finished run. Validation samples have none.

    Everything stays a function of (seed, split, index) and of that run's weights: own sample k belongs to rollouts
    number k // 2048, which are made together by one thread.
    """

    def __init__(self, *, run: str, share: float = 0.25, rollout_frames: int = 30, **physics: Any) -> None:
        """
        Args:
            run: directory of the run whose model is rolled out, `last` or `shipped`.
            share: of the samples, 0-1.
            rollout_frames: frames that the model goes on for.
            physics: as of `PhysicsSource`; kicks are for simulated scenes alone.
        """
        super().__init__(**physics)
        if not 0 <= share <= 1:
            raise ValueError(f"share must be from 0 to 1, got {share}")
        if not 1 <= rollout_frames < self.frames:
            raise ValueError(f"rollout_frames must be from 1 to frames - 1 = {self.frames - 1}, got {rollout_frames}")
        self.run: Path = runs.find_run(run, "data.source.run")
        if self.split == "train":  # what is damaged shows now, not in a worker
            given = self._given(load_model(self.run, torch.device("cpu"))[1])
            if rollout_frames > self.frames - given:
                raise ValueError(
                    f"rollout_frames={rollout_frames} must be at most frames - {given} = {self.frames - given}: a "
                    f"rollout begins with {given} given frames"
                )
        self.share = share if self.split == "train" else 0.0
        self.rollout_frames = rollout_frames
        self._loaded: tuple[Any, Any] | None = None  # model and codec, once a worker needs them
        self._own: OrderedDict[int, list[tuple[Trajectory, Trajectory]]] = OrderedDict()

    def _given(self, codec: FrameCodec) -> int:
        """Frames that a rollout begins with: as many as samples have, and the rolled-out model wants."""
        return max(self.context_frames, codec.context_frames)

    def sample(self, index: int) -> Sample:
        """Sample `index` of this stream; the own ones are spread evenly among the others."""
        number = int(index * self.share)
        if int((index + 1) * self.share) == number:
            return super().sample(index)
        block, place = divmod(number, SCENES_AT_ONCE * FROM_EACH)
        if block not in self._own:
            self._own[block] = self._rolled_out(block)
            if len(self._own) > 2:
                self._own.popitem(last=False)
        given, target = self._own[block][place]
        return Sample(seed=index, given=given, target=target)

    def _rolled_out(self, block: int) -> list[tuple[Trajectory, Trajectory]]:
        """The windows of one block, in random order."""
        if self._loaded is None:
            model, codec, _ = load_model(self.run, torch.device("cpu"))
            self._loaded = model, codec
        model, codec = self._loaded
        rng = generator(self.seed, self.split, block, OWN)
        context = self._given(codec)
        given = []
        for _ in range(SCENES_AT_ONCE):
            scene = self._world(rng)
            last = int(rng.integers(context - 1, self.frames - self.rollout_frames))
            given.append(simulate(scene, last + 1).window(last + 1 - context, last + 1))
        said = rollout_alone(model, codec, given, self.rollout_frames).predicted
        windows = []
        for start, own in zip(given, said, strict=True):
            windows += self._windows_of(start.then(own), len(start), rng)
        mixed = [windows[k] for k in rng.permutation(len(windows))]
        return [(self._off(given, rng), target) for given, target in mixed]

    def _windows_of(
        self, path: Trajectory, first: int, rng: np.random.Generator
    ) -> list[tuple[Trajectory, Trajectory]]:
        """Windows whose last given frame is one of the model's own: frames `first` and later of the path."""
        moments, event = [], []
        for at in range(first, len(path)):
            after = answer(path.scene, path.frame(at), self.target_frames)
            moments.append((path.window(at + 1 - self.context_frames, at + 1), after))
            event.append(events(path.window(at, at + 1).then(after.window(0, 1)), self.include_resting)[0])
        event_at, calm_at = np.flatnonzero(event), np.flatnonzero(np.logical_not(event))
        found = []
        for wanted in rng.random(FROM_EACH) < self.event_fraction:
            pool = choose(wanted, calm_at, event_at)
            found.append(moments[int(pool[rng.integers(len(pool))])])
        return found


def rollout_alone(model: Generator, codec: FrameCodec, given: Sequence[Trajectory], frames: int) -> Rollout:
    """`rollout` in one thread, so that sums come out the same wherever this runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        said = rollout(model, codec, given, frames)
    torch.set_num_threads(threads)
    return said


def answer(scene: Scene, state: State, frames: int) -> Trajectory:
    """The frames that the simulator makes of a state.

    Its contact solver begins with the impulses of the frame before. A restarted one has none, and would let a pile
    sink: so the first frame is simulated twice, the state put back in between.
    """
    cold = simulate(scene, 2, start=state).frame(1)
    kicks = np.zeros((2 + frames, len(scene.bodies), 6))
    kicks[1, :, :2], kicks[1, :, 2:4] = state.position - cold.position, state.velocity - cold.velocity
    kicks[1, :, 4], kicks[1, :, 5] = state.angle - cold.angle, state.spin - cold.spin
    return simulate(scene, 2 + frames, start=state, kicks=kicks).window(2, 2 + frames)
