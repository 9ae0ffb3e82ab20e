"""Compiled writer of `impulse` answers, and of whole trajectories. The format is owned by impulse.py."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache

import numpy as np

from physworld.sim.contacts import Solids, solids
from physworld.text.codecs._impulse_kernel import (
    DT,
    GRAVITY,
    GYRATION,
    JOINTS,
    compiled,
    scratch_for,
    write_one,
)
from physworld.text.codecs._impulse_world import room, world_of
from physworld.text.codecs.numbers import number_index
from physworld.types import Body, Encoded, Scene, State, Trajectory


@compiled
def _impulses(
    listed, frames, gyration, gravity, dt, position, velocity, spin, position_then, velocity_then, spin_then,
    change, push, after,
):  # fmt: skip
    """Fill, per listed body, change (n, t, gyration speed) px/s, push px/s and the largest speed afterwards px/s."""
    for row in range(len(listed)):
        i = listed[row]
        nx, ny, hand = frames[row, 0], frames[row, 1], frames[row, 2]
        dx = velocity_then[i, 0] - velocity[i, 0] - gravity[0] * dt
        dy = velocity_then[i, 1] - velocity[i, 1] - gravity[1] * dt
        change[row, 0] = dx * nx + dy * ny
        change[row, 1] = hand * (dy * nx - dx * ny)
        change[row, 2] = hand * ((spin_then[i] - spin[i]) * gyration[i])
        shift_x = (position_then[i, 0] - position[i, 0]) / dt - velocity[i, 0]
        shift_y = (position_then[i, 1] - position[i, 1]) / dt - velocity[i, 1]
        push[row] = shift_x * nx + shift_y * ny
        after[row] = max(abs(velocity_then[i, 0]), abs(velocity_then[i, 1]), abs(spin_then[i]) * gyration[i])


@compiled
def _answer(listed, change, push, after, values, grid_ids, hints, words, quiet, still, event_speed, ids, event):
    """Fill answer ids and event flags; returns how many.

    A number becomes the nearest of `values`; hints[number_index(v)] is where v belongs among them, or next to it.
    """
    first_body, coast, rest, end = words
    at = 0
    for row in range(len(listed)):
        largest = max(abs(change[row, 0]), abs(change[row, 1]), abs(change[row, 2]))
        is_event = max(abs(change[row, 0]), abs(change[row, 1])) > event_speed
        begin = at
        ids[at] = first_body + listed[row]
        at += 1
        if largest < quiet and abs(push[row]) < quiet:
            ids[at] = coast
            at += 1
        elif after[row] < still and abs(push[row]) < quiet:
            ids[at] = rest
            at += 1
        else:
            for k in range(4):
                value = push[row] if k == 3 else change[row, k]
                right = hints[number_index(value)]
                while right > 0 and values[right - 1] >= value:
                    right -= 1
                while right < len(values) and values[right] < value:
                    right += 1
                if right == len(values) or (right > 0 and value - values[right - 1] <= values[right] - value):
                    right -= 1
                ids[at] = grid_ids[right]
                at += 1
        event[begin] = False
        for k in range(begin + 1, at):
            event[k] = is_event
    ids[at] = end
    event[at] = False
    return at + 1


@compiled
def _write_run(world, room, position, velocity, angle, spin, grid, shifts, ids, event, starts, answers):
    """Frame t's prompt into ids[starts[t] : answers[t]], its answer from there to starts[t + 1]."""
    gyration, gravity, dt = world[GYRATION], world[GRAVITY], world[DT]
    values, grid_ids, hints, words, quiet, still, event_speed = grid
    n = angle.shape[1]
    scratch = scratch_for(n, len(world[JOINTS]), room)
    listed, frames = np.empty(n, np.int64), np.empty((n, 3))
    change, push, after = np.empty((n, 3)), np.empty(n), np.empty(n)
    shifted = words.copy()
    at = 0
    for t in range(len(answers)):
        starts[t] = at
        used, m = write_one(
            world, scratch, position[t], velocity[t], angle[t], spin[t], shifts[t], ids[at:], listed, frames
        )
        _impulses(
            listed[:m], frames, gyration, gravity, dt, position[t], velocity[t], spin[t],
            position[t + 1], velocity[t + 1], spin[t + 1], change, push, after,
        )  # fmt: skip
        at += used
        answers[t] = at
        shifted[0] = words[0] + shifts[t]
        at += _answer(
            listed[:m], change, push, after, values, grid_ids, hints, shifted, quiet, still, event_speed,
            ids[at:], event[at:],
        )  # fmt: skip
    starts[-1] = at


def impulses(packed: Solids, gravity, dt, listed, frames, now: State, then: State):
    """(change (M, 3), push (M,), largest speed afterwards (M,)), px/s, of the listed bodies between two states."""
    m = len(listed)
    change, push, after = np.empty((m, 3)), np.empty(m), np.empty(m)
    parts = (now.position, now.velocity, now.spin, then.position, then.velocity, then.spin)
    _impulses(
        listed,
        frames,
        packed.gyration,
        gravity,
        dt,
        *(np.ascontiguousarray(part) for part in parts),
        change,
        push,
        after,
    )
    return change, push, after


def write_answer(listed, change, push, after, grid):
    """(ids (L,), event (L,) bool) for impulses of the listed bodies."""
    ids, event = np.empty(5 * len(listed) + 1, np.int64), np.empty(5 * len(listed) + 1, np.bool_)
    used = _answer(listed, change, push, after, *grid, ids, event)
    return ids[:used], event[:used]


@cache
def _load_writer() -> None:
    """Have `write_one` compiled, or loaded, before its caller.

    Of a function that several compiled modules hold, the first to be loaded is used by all; the copy inside
    `_write_run`, optimised once more than is good for it, takes a fifth longer.
    """
    disc = Body(shape="circle", size=(1.0,), position=(0.0, 0.0))
    scene = Scene(name="", category="", difficulty=1, text="", bodies=(disc,))
    words = np.zeros(0, np.int64)
    world, state = world_of(scene, words, np.zeros(1, np.int64), solids(scene), 1.0), scene.state
    write_one(
        world, scratch_for(1, 0, 99), state.position, state.velocity, state.angle, state.spin, 0,
        np.empty(99, np.int32), np.empty(1, np.int64), np.empty((1, 3)),
    )  # fmt: skip


class _Paper(threading.local):
    """Room to write on, kept: the system takes as long to hand out fresh memory as the writing takes."""

    def __init__(self) -> None:
        self.ids, self.event = np.empty(0, np.int32), np.empty(0, np.bool_)

    def of(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        if len(self.ids) < length:
            self.ids, self.event = np.empty(length, np.int32), np.empty(length, np.bool_)
        return self.ids, self.event


_PAPER = _Paper()


class Frames(Sequence[Encoded]):
    """A trajectory as tokens; item t is frame t's prompt with the answer that frame t + 1 gives to it."""

    def __init__(self, world, run: Trajectory, grid, shifts, seed: int) -> None:
        """
        Args:
            world: as `world_of` gives it.
            run: T frames.
            grid: values, ids, hints, words and thresholds, as `_answer` takes them.
            shifts: (T - 1,) how far the body names of each frame are moved on.
            seed: of item 0; each further one has one more.
        """
        count, prompt = run.angle.shape[1], room(world, run.angle.shape[1])
        ids, event = _PAPER.of(len(shifts) * (prompt + 5 * count + 1))
        self.seed = seed
        self.starts = np.zeros(len(shifts) + 1, np.int64)  # (T,) where each frame's prompt begins
        self.answers = np.zeros(len(shifts), np.int64)  # (T - 1,) where each frame's answer begins
        _load_writer()
        parts = (np.ascontiguousarray(part) for part in (run.position, run.velocity, run.angle, run.spin))
        _write_run(world, prompt, *parts, grid, shifts, ids, event, self.starts, self.answers)
        used = self.starts[-1]
        self.ids = ids[:used].copy()  # (L,)
        self.event = event[:used].copy()  # (L,) set for answers only

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, t):
        t = range(len(self))[t]
        begin, answer, end = self.starts[t], self.answers[t], self.starts[t + 1]
        labels, event = np.full(end - begin, -100, np.int64), np.zeros(end - begin, np.bool_)
        labels[answer - begin :], event[answer - begin :] = self.ids[answer:end], self.event[answer:end]
        return Encoded(seed=self.seed + t, input_ids=self.ids[begin:end].astype(np.int64), labels=labels, event=event)
