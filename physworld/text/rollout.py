"""A model's own output becomes its next input, many scenes at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from physworld.io.checksums import digest_of
from physworld.protocols import Generator, Noise
from physworld.seeding import generator
from physworld.text.codecs.frame_codec import DocumentsCodec, FrameCodec
from physworld.types import Scene, State, Trajectory

PARTS = 256  # documents that are answered side by side


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Drawing answers, token by token; the same seed draws the same."""

    temperature: float
    seed: int

    def noise(self, given: Sequence[Trajectory]) -> Noise:
        """Temperature times Gumbel noise: its argmax with the scores is a draw from softmax(scores / temperature)
        (Maddison et al. 2014, arXiv 1411.0030). The same moments draw the same, whatever is asked before them."""
        states = [getattr(moment, name).tobytes() for moment in given for name in State.__annotations__]
        rng = generator(self.seed, "test", int(digest_of(*states)[:15], 16))
        return lambda shape: self.temperature * rng.gumbel(size=shape).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rollout:
    predicted: list[Trajectory]  # num_frames each, the given frames not included
    parsed: list[int]  # frames that were readable before the first that was not
    missing: list[int] = field(default_factory=list)  # bodies without a readable line in that first unreadable frame
    drifted: list[int] = field(default_factory=list)  # readable frames that were not written as the format has it


class Store(Protocol):
    """Where finished batches of rollouts are kept."""

    def load(self, given: Sequence[Trajectory], num_frames: int) -> Rollout | None: ...
    def save(self, given: Sequence[Trajectory], num_frames: int, rollout: Rollout) -> None: ...
    def turn(self, given: Sequence[Trajectory], num_frames: int, *, wait: bool) -> AbstractContextManager[bool]:
        """One process at a time works on a batch: True within, or False when another does and we do not wait."""
        ...


@dataclass(frozen=True, kw_only=True)
class Room:
    """How prompt and answer of the first frame fit into what a model reads at once."""

    tokens: int  # that the model reads, prompt and answer together
    needed: int  # by the shortest prompt, with its answer, of the moment that needs least
    too_long: int  # moments whose shortest prompt does not fit: they count as not parsed
    shortened: int  # moments that lose their oldest frames
    cases: int

    @property
    def sentence(self) -> str:
        return (
            f"{self.too_long} of {self.cases} prompts do not fit into the {self.tokens} tokens that the model reads "
            f"at once and count as not parsed, {self.shortened} lose their oldest frames"
        )


def room(model: Generator | None, codec: FrameCodec, given: Sequence[Trajectory]) -> Room | None:
    """None where the model reads texts of any length, or a frame is several documents, whose whole is never asked."""
    limit = None if model is None else model.max_length
    if limit is None or not given or codec.documents() is not None:
        return None
    shortest, longest = [], []
    for moment in given:
        answer = codec.max_new_tokens(moment.scene)
        context = moment.window(len(moment) - codec.context_frames, len(moment))
        longest.append(len(codec.prompt(context)) + answer)
        last = context.window(len(context) - 1, len(context))
        shortest.append(len(codec.prompt(last)) + answer if longest[-1] > limit else longest[-1])
    return Room(
        tokens=limit,
        needed=min(shortest),
        too_long=sum(need > limit for need in shortest),
        shortened=sum(least <= limit < most for least, most in zip(shortest, longest, strict=True)),
        cases=len(given),
    )


def batches(given: Sequence[Trajectory], batch_size: int) -> list[list[int]]:
    """Indices that share a batch: like sizes together, so that little is padded."""
    order = sorted(range(len(given)), key=lambda i: len(given[i].scene.bodies))
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def rollout(
    model: Generator,
    codec: FrameCodec,
    given: Sequence[Trajectory],
    num_frames: int,
    *,
    batch_size: int = 64,
    guided: bool = True,
    sampling: Sampling | None = None,
    store: Store | None = None,
    progress: Callable[[int], None] | None = None,
) -> Rollout:
    """Continue every scene by `num_frames` frames.

    A scene whose output cannot be read stands still from there on and is counted in `parsed`.

    Args:
        given: context of at least codec.context_frames frames each.
        guided: keep answers within the format's grammar, where the codec knows one.
        sampling: draw answers; None = the one that the model says without drawing.
        store: finished batches are looked up and kept there.
        progress: called with the number of frames that have just been finished.
    """
    parts: list[tuple[list[int], Rollout]] = []
    for rows in batches(given, batch_size):
        some = [given[i] for i in rows]
        part = store.load(some, num_frames) if store is not None else None
        if part is None:
            with nullcontext(True) if store is None else store.turn(some, num_frames, wait=True):
                part = store.load(some, num_frames) if store is not None else None  # made while we waited
                if part is None:
                    noise = None if sampling is None else sampling.noise(some)
                    part = _Batch(model, codec, some, guided, noise).roll(num_frames, progress)
                    if store is not None:
                        store.save(some, num_frames, part)
        elif progress is not None:
            progress(len(rows) * num_frames)
        parts.append((rows, part))
    return _in_order(parts, len(given))


def fill(
    model: Generator,
    codec: FrameCodec,
    given: Sequence[Trajectory],
    num_frames: int,
    store: Store,
    *,
    share: int,
    shares: int,
    batch_size: int = 64,
    guided: bool = True,
    sampling: Sampling | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Put batches into the store for a later `rollout` of the same moments: first the own share, then what others left.

    Batches and their noise are those of `rollout`, so whoever answers them, the answers are the same. A process that is
    killed leaves its batches to the others.
    """
    parts = list(batches(given, batch_size))
    others = [rows for number, rows in enumerate(parts) if number % shares != share]
    for rows in [*parts[share::shares], *reversed(others)]:
        some = [given[i] for i in rows]
        with store.turn(some, num_frames, wait=False) as ours:
            if ours and store.load(some, num_frames) is None:
                noise = None if sampling is None else sampling.noise(some)
                store.save(some, num_frames, _Batch(model, codec, some, guided, noise).roll(num_frames, progress))
            elif progress is not None:
                progress(len(rows) * num_frames)


def _in_order(parts: list[tuple[list[int], Rollout]], count: int) -> Rollout:
    predicted: dict[int, Trajectory] = {}
    columns = {name: [0] * count for name in ("parsed", "missing", "drifted")}
    for rows, part in parts:
        predicted.update(zip(rows, part.predicted, strict=True))
        for name, column in columns.items():
            for row, value in zip(rows, getattr(part, name), strict=True):
                column[row] = value
    return Rollout(predicted=[predicted[i] for i in range(count)], **columns)


class _Batch:
    """Scenes that are rolled out side by side."""

    def __init__(
        self, model: Generator, codec: FrameCodec, given: Sequence[Trajectory], guided: bool, noise: Noise | None
    ) -> None:
        self.model, self.codec, self.guided, self.noise = model, codec, guided, noise
        self.context = [g.window(max(0, len(g) - codec.context_frames), len(g)) for g in given]
        self.room = model.max_length  # tokens of prompt and answer
        self.alive = list(range(len(given)))
        self.states: list[list[State]] = [[] for _ in given]
        self.parsed, self.missing, self.drifted = ([0] * len(given) for _ in range(3))

    def roll(self, num_frames: int, progress: Callable[[int], None] | None) -> Rollout:
        for _ in range(num_frames):
            answers = self._ask()
            for row in range(len(self.context)):
                self._take(row, answers.get(row))
            if progress is not None:
                progress(len(self.context))
        predicted = [Trajectory.of(c.scene, states) for c, states in zip(self.context, self.states, strict=True)]
        return Rollout(predicted=predicted, parsed=self.parsed, missing=self.missing, drifted=self.drifted)

    def _ask(self) -> dict[int, np.ndarray]:
        """Answers of the scenes that still go on."""
        documents = self.codec.documents()
        if documents is not None:
            return self._ask_parts(documents)
        prompts = [self._prompt(row) for row in self.alive]
        self.alive = [row for row, prompt in zip(self.alive, prompts, strict=True) if prompt is not None]
        if not self.alive:
            return {}
        now = [self.context[row] for row in self.alive]
        answers = self.model.generate(
            [prompt for prompt in prompts if prompt is not None],
            [self.codec.max_new_tokens(context.scene) for context in now],
            self.codec.end_id,
            self.codec.guide(now) if self.guided else None,
            noise=self.noise,
            rows=list(self.alive),
        )
        return dict(zip(self.alive, answers, strict=True))

    def _ask_parts(self, codec: DocumentsCodec) -> dict[int, np.ndarray]:
        """Answers that are put together from those to several documents a frame."""
        prompts_of = {row: codec.prompts(self.context[row]) for row in self.alive}
        asked = [(row, place, prompt) for row, own in prompts_of.items() for place, prompt in enumerate(own)]
        asked.sort(key=lambda part: len(part[2]))  # like sizes together, so that little is padded
        parts: dict[int, dict[int, np.ndarray]] = {row: {} for row in self.alive}
        for first in range(0, len(asked), PARTS):
            some = asked[first : first + PARTS]
            prompts = [prompt for _, _, prompt in some]
            answers = self.model.generate(
                prompts,
                [codec.most_new_tokens(prompt) for prompt in prompts],
                codec.end_id,
                codec.part_guide(prompts) if self.guided else None,
                noise=self.noise,
            )
            for (row, place, _), answer in zip(some, answers, strict=True):
                parts[row][place] = answer
        return {row: codec.join(self.context[row], [own[k] for k in range(len(own))]) for row, own in parts.items()}

    def _prompt(self, row: int) -> np.ndarray | None:
        """The oldest frames go first when there is no room; None when even the shortest prompt is too long."""
        prompt = self.codec.prompt(self.context[row])
        if self.room is None:
            return prompt
        answer = self.codec.max_new_tokens(self.context[row].scene)
        while len(prompt) + answer > self.room:
            if len(self.context[row]) == 1:
                return None
            self.context[row] = self.context[row].window(1, len(self.context[row]))
            prompt = self.codec.prompt(self.context[row])
        return prompt

    def _take(self, row: int, answer: np.ndarray | None) -> None:
        context = self.context[row]
        state = None if answer is None else self.codec.decode(answer, context)
        if state is not None and not _finite(state):
            state = None
        if answer is not None:
            self._inspect(row, answer, state)
        if state is None:
            if row in self.alive:
                self.alive.remove(row)
            state = context.frame(-1)
        else:
            self.parsed[row] += 1
        self.states[row].append(state)
        self.context[row] = _advance(context, context.scene, state, self.codec.history_frames)

    def _inspect(self, row: int, answer: np.ndarray, state: State | None) -> None:
        """Count what is missing from an unreadable answer, and readable answers in another hand."""
        missing, drifted = self.codec.inspect(answer, self.context[row], state)
        self.missing[row] += missing
        self.drifted[row] += drifted


def _finite(state: State) -> bool:
    return all(bool(np.isfinite(getattr(state, name)).all()) for name in State.__annotations__)


def _advance(context: Trajectory, scene: Scene, state: State, history: int) -> Trajectory:
    longer = context.then(Trajectory.of(scene, [state]))
    return longer.window(max(0, len(longer) - history), len(longer))
