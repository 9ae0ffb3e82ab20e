"""L4: a model's own output becomes its next input, many scenes at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from physworld.types import Codec, Guide, Scene, State, Trajectory


class Generator(Protocol):
    def generate(
        self, prompts: list[np.ndarray], max_new_tokens: list[int], end_id: int, guide: Guide | None
    ) -> list[np.ndarray]: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Rollout:
    predicted: list[Trajectory]  # num_frames each, the given frames not included
    parsed: list[int]  # frames that were readable before the first that was not


def rollout(
    model: Generator,
    codec: Codec,
    given: Sequence[Trajectory],
    num_frames: int,
    *,
    batch_size: int = 64,
    guided: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Rollout:
    """Continue every scene by `num_frames` frames, greedily.

    A scene whose output cannot be read stands still from there on and is counted in `parsed`.

    Args:
        given: context of at least codec.context_frames frames each.
        guided: keep answers within the format's grammar, where the codec knows one.
        progress: called with the number of frames that have just been finished.
    """
    order = sorted(range(len(given)), key=lambda i: len(given[i].scene.bodies))  # like sizes share a batch
    predicted: list[Trajectory | None] = [None] * len(given)
    parsed = [0] * len(given)
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        context = {i: given[i].window(len(given[i]) - codec.context_frames, len(given[i])) for i in rows}
        states: dict[int, list[State]] = {i: [] for i in rows}
        alive = set(rows)
        for _ in range(num_frames):
            going = [i for i in rows if i in alive]
            said: list[np.ndarray] = []
            if going:
                limits = [codec.max_new_tokens(given[i].scene) for i in going]
                now = [context[i] for i in going]
                guide = codec.guide(now) if guided else None
                said = model.generate([codec.prompt(c) for c in now], limits, codec.end_id, guide)
            answers = dict(zip(going, said, strict=True))
            for i in rows:
                state = codec.decode(answers[i], context[i]) if i in answers else None
                if state is None or not _finite(state):
                    alive.discard(i)
                    state = context[i].frame(-1)
                else:
                    parsed[i] += 1
                states[i].append(state)
                context[i] = _advance(context[i], given[i].scene, state)
            if progress is not None:
                progress(len(rows))
        for i in rows:
            predicted[i] = Trajectory.of(given[i].scene, states[i])
    return Rollout(predicted=[p for p in predicted if p is not None], parsed=parsed)


def _finite(state: State) -> bool:
    return bool(
        np.isfinite(state.position).all() and np.isfinite(state.velocity).all() and np.isfinite(state.spin).all()
    )


def _advance(context: Trajectory, scene: Scene, state: State) -> Trajectory:
    return context.window(1, len(context)).then(Trajectory.of(scene, [state]))
