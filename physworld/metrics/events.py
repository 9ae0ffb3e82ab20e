"""When contacts happen: precision, recall and timing of predicted events. T frames, N bodies.

An event frame of a body is one at which its velocity jumps (`errors.event_mask`). Lying on a floor is such a jump in
every frame, so what is matched here are *onsets*: event frames whose frame before was none.

A count calls the tick of two touching pins as much as the blow of a ball. So each onset also weighs what it is: the
impulse mass · |jump| that the body gets in that frame, the true onsets by the truth's, the predicted ones by their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physworld.metrics.errors import event_mask, velocity_jumps
from physworld.types import PIXELS_PER_METRE, State, Trajectory

TOLERANCE = 1  # frames by which a predicted onset may miss the true one and still be the same event


@dataclass(frozen=True, kw_only=True)
class EventScore:
    """Counts of one rollout, so that those of many can be added."""

    true: int  # onsets in the truth
    said: int  # onsets in the prediction
    matched: int  # pairs of them on the same body, at most TOLERANCE frames apart
    late: int  # sum over pairs of |predicted - true| frames
    true_impulse: float = 0.0  # N·s, sum over the onsets in the truth
    said_impulse: float = 0.0  # N·s, sum over the onsets in the prediction
    found_impulse: float = 0.0  # N·s of the truth, sum over pairs
    right_impulse: float = 0.0  # N·s of the prediction, sum over pairs

    @property
    def precision(self) -> float | None:
        """Share of predicted onsets that happened; None without any."""
        return self.matched / self.said if self.said else None

    @property
    def recall(self) -> float | None:
        """Share of true onsets that were predicted; None without any."""
        return self.matched / self.true if self.true else None

    @property
    def impulse_recall(self) -> float | None:
        """Share of the true onsets' impulse that belongs to predicted ones; None without any."""
        return self.found_impulse / self.true_impulse if self.true_impulse else None

    @property
    def impulse_precision(self) -> float | None:
        """Share of the predicted onsets' impulse that belongs to true ones; None without any."""
        return self.right_impulse / self.said_impulse if self.said_impulse else None

    @property
    def timing(self) -> float | None:
        """Mean |predicted - true| over pairs, frames; None without any."""
        return self.late / self.matched if self.matched else None


def onsets(trajectory: Trajectory, before: State | None = None) -> np.ndarray:
    """(T, N) bool: the body's velocity jumps on reaching this frame and did not on reaching the one before.

    What came before frame 0 is not known: a jump there that goes on in frame 1 is taken for one from before.
    """
    mask = event_mask(trajectory, before)
    found = mask & ~np.concatenate([np.zeros((1, mask.shape[1]), dtype=bool), mask[:-1]])
    if len(mask) > 1:
        found[0] &= ~mask[1]
    return found


def score_events(
    target: Trajectory, predicted: Trajectory, before: State | None = None, tolerance: int = TOLERANCE
) -> EventScore:
    """Match onsets body by body, each at most once, nearest pairs first (ties: the earlier truth, then prediction).

    Args:
        before: the frame before both, the last given one; without it frame 0 can hold no onset.
    """
    frames = min(len(target), len(predicted))
    true, guess = onsets(target.window(0, frames), before), onsets(predicted.window(0, frames), before)
    given, said = (impulse_sizes(run.window(0, frames), before) for run in (target, predicted))
    matched = late = 0
    found = right = 0.0
    for body in range(true.shape[1]):
        at_true, at_guess = np.flatnonzero(true[:, body]), np.flatnonzero(guess[:, body])
        apart = np.abs(at_true[:, None] - at_guess[None, :])
        pairs = sorted((int(apart[i, j]), i, j) for i, j in np.argwhere(apart <= tolerance).tolist())
        used_true: set[int] = set()
        used_guess: set[int] = set()
        for distance, i, j in pairs:
            if i in used_true or j in used_guess:
                continue
            used_true.add(i)
            used_guess.add(j)
            matched, late = matched + 1, late + distance
            found += float(given[at_true[i], body])
            right += float(said[at_guess[j], body])
    return EventScore(
        true=int(true.sum()), said=int(guess.sum()), matched=matched, late=late,
        true_impulse=float(given[true].sum()), said_impulse=float(said[guess].sum()), found_impulse=found,
        right_impulse=right,
    )  # fmt: skip


def impulse_sizes(trajectory: Trajectory, before: State | None = None) -> np.ndarray:
    """(T, N) N·s: mass times the velocity that contacts and joints gave each body on reaching each frame.

    What is no number counts as nothing, so that one broken frame does not outweigh a scene.
    """
    mass = np.array([body.mass for body in trajectory.scene.bodies])
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = np.linalg.norm(velocity_jumps(trajectory, before), axis=-1) * mass / PIXELS_PER_METRE
    found: np.ndarray = np.where(np.isfinite(sizes), sizes, 0.0)
    return found


def event_jumps(target: Trajectory, predicted: Trajectory, before: State | None = None) -> np.ndarray:
    """(E, 2) px/s: size of the velocity jump, beyond gravity and fields, in truth and prediction on every true event
    frame; for a scatter plot."""
    frames = min(len(target), len(predicted))
    mask = event_mask(target.window(0, frames), before)
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = [
            np.linalg.norm(velocity_jumps(t.window(0, frames), before), axis=-1)[mask] for t in (target, predicted)
        ]
    return np.stack(sizes, axis=-1)
