"""Requests of many clients become batches of one generator, and their tokens go back one by one.

A batch is whatever waits when the one before it is done. Each request has a grammar of its own (or none); the guide of
a batch asks them in turn, and is also where tokens are seen as they come and where an answer nobody waits for ends.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from physworld.lm.guides import MatcherGuide
from physworld.protocols import Generator, Guide
from physworld.seeding import generator

LINGER = 0.005  # s: requests that come together answer together
UNREAD = (IndexError, KeyError, ValueError)  # what a network of ours comes to at a prompt that is none


class Unreadable(Exception):
    """A prompt that the model cannot read."""

    field = "prompt"

    def __str__(self) -> str:
        return f"The model cannot read this prompt ({super().__str__()[:200]})."


class Unfollowed(Unreadable):
    """A grammar that could not be followed to the end of its answer."""

    field = "response_format"

    def __str__(self) -> str:
        return f"The grammar cannot be followed to its end ({Exception.__str__(self)[:200]})."


@dataclass(kw_only=True, eq=False)
class Job:
    prompt: np.ndarray  # (L,) int64
    most: int  # tokens of the answer
    guide: Guide | None  # of this answer alone: row 0
    temperature: float = 0.0  # 0 = the answer that the model says without drawing
    seed: int = 0
    tell: Callable[[list[int]], None] = lambda tokens: None  # called, from another thread, with tokens as they come
    answer: Future[np.ndarray] = field(default_factory=Future)  # ids up to and including the end token
    left: bool = False  # nobody waits any more
    _told: int = 0
    _ended: bool = False

    def hear(self, tokens: Sequence[int], end_id: int) -> None:
        """The answer goes on; what a finished row is still fed is none of it."""
        fresh: list[int] = []
        for token in tokens:
            if self._ended:
                break
            fresh.append(int(token))
            self._told += 1
            self._ended = token == end_id or self._told >= self.most
        if fresh:
            self.tell(fresh)


class Batches:
    """One thread that answers."""

    def __init__(self, model: Generator, end_id: int, size: int, *, most_rows: int, most_waiting: int) -> None:
        """
        Args:
            size: width of the model's scores, V.
        """
        self._model, self._end, self._size, self._most = model, end_id, size, most_rows
        self._waiting: queue.Queue[Job] = queue.Queue(maxsize=most_waiting)
        self.answered = 0
        threading.Thread(target=self._work, daemon=True).start()

    def put(self, job: Job) -> bool:
        """False: too many wait already."""
        try:
            self._waiting.put_nowait(job)
        except queue.Full:
            return False
        return True

    def _work(self) -> None:
        while True:
            jobs = [self._waiting.get()]
            while len(jobs) < self._most:
                try:
                    jobs.append(self._waiting.get(timeout=LINGER))
                except queue.Empty:
                    break
            # Noise makes every row of a batch a draw, so the others go by themselves.
            for drawn in (False, True):
                some = [job for job in jobs if (job.temperature > 0) is drawn and not job.left]
                some = [job for job in some if job.answer.set_running_or_notify_cancel()]  # from here on it is made
                if some:
                    self._answer(some, drawn)

    def _answer(self, jobs: list[Job], drawn: bool) -> None:
        rngs = [generator(job.seed, "test", 0) for job in jobs]

        def noise(shape: tuple[int, int]) -> np.ndarray:
            """Gumbel noise of each answer's own seed (see `text.rollout.Sampling`)."""
            if len(jobs) == 1:  # networks that say bodies side by side ask for a row of each
                return (jobs[0].temperature * rngs[0].gumbel(size=shape)).astype(np.float32)
            if shape[0] != len(jobs):
                raise ValueError("rows of several answers cannot be told apart, so each answer is drawn by itself")
            rows = [job.temperature * rng.gumbel(size=shape[1]) for job, rng in zip(jobs, rngs, strict=True)]
            return np.stack(rows).astype(np.float32)

        try:
            answers = self._model.generate(
                [job.prompt for job in jobs], [job.most for job in jobs], self._end,
                Together(jobs, self._size, self._end), noise=noise if drawn else None,
            )  # fmt: skip
        except Exception as error:  # of a network, of many kinds: it is told to whoever asked, and the server goes on
            for job in jobs:
                if len(jobs) > 1 and not job._told:  # what one prompt did must not cost another its answer
                    self._answer([job], drawn)
                else:
                    job.answer.set_exception(Unreadable(error) if isinstance(error, UNREAD) else error)
            return
        self.answered += len(jobs)
        for job, ids in zip(jobs, answers, strict=True):
            fault = job.guide.fault if isinstance(job.guide, MatcherGuide) else ""
            if fault:
                job.answer.set_exception(Unfollowed(fault))
            else:
                job.answer.set_result(ids)


class Together:
    """The guides of several answers as one (see `physworld.protocols.Guide`)."""

    expressions = None

    def __init__(self, jobs: Sequence[Job], size: int, end_id: int) -> None:
        self._jobs, self._end = jobs, end_id
        self._free = np.ones(size, bool)
        self._over = np.zeros(size, bool)
        self._over[end_id] = True

    def forced(self, rows: Sequence[int]) -> list[list[int]]:
        found = []
        for row in rows:
            job = self._jobs[row]
            tokens = [] if job.guide is None or job.left else job.guide.forced([0])[0]
            job.hear(tokens, self._end)
            found.append(tokens)
        return found

    def allowed(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        return np.stack([self._mask(self._jobs[row]) for row in rows]), np.arange(len(rows))

    def _mask(self, job: Job) -> np.ndarray:
        if job.left:
            return self._over
        if job.guide is None:
            return self._free
        masks, which = job.guide.allowed([0])
        mask = masks[which[0]]
        if len(mask) < len(self._free):  # an embedding table may be longer than its vocabulary
            mask = np.append(mask, np.zeros(len(self._free) - len(mask), bool))
        return mask[: len(self._free)]

    def advance(self, rows: Sequence[int], tokens: Sequence[int]) -> None:
        for row, token in zip(rows, tokens, strict=True):
            job = self._jobs[row]
            if job.guide is not None:
                job.guide.advance([0], [token])
            job.hear([token], self._end)
