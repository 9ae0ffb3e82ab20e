"""`impulse` text cut into its islands: bodies that touch or hold each other, directly or through others.

A simulator solves each island by itself (Chipmunk does, and so do Box2D and Bullet), so a frame's answer is the sum of
its islands' answers. Each island is a document of its own:

    self ... / touch ... / link ...      the records of its bodies, in the order of the whole text
    next
    oK ...                               one line a body
    end

Headers (`world`, `wall`, `ball`, `box` ...) are left out: whatever acts on a body is spelled out in its own frame
beside it, so that a document does not change when its scene is moved, turned, mirrored or given more bodies. Fifty
bodies that are scattered cost as much as fifty scenes of one body; only a pile is long. A scene may have any number of
bodies: only those of a document need names, and a pile of more than there are is cut into several documents.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np

from physworld.text.codecs._impulse_guide import ImpulseGuide
from physworld.text.codecs._impulse_kernel import compiled
from physworld.text.codecs._impulse_words import (
    COAST,
    END,
    FIRST_BODY,
    LENGTH,
    MAX_BODIES,
    NEXT,
    NUMBER_BASE,
    PARTNERS,
    REST,
    WORD,
)
from physworld.text.codecs._island_documents import Document, short, short_sample
from physworld.text.codecs._refusal import refusal
from physworld.text.codecs._scene_lines import as_lines
from physworld.text.codecs.impulse import EVENT_SPEED, ImpulseCodec
from physworld.types import Encoded, Sample, Scene, State, Trajectory

HEADER, SHARED = -1, -2  # labels of tokens that belong to no island: left out, and part of every document
MOST_BODIES = 4096  # that a scene file may hold
_WORDS = np.array([WORD["self"], NEXT, END, FIRST_BODY, MAX_BODIES])


class IslandCodec(ImpulseCodec):
    """One document per island; training samples hold one island of their frame, drawn by its number of bodies."""

    text_name = "islands"
    body_names: Collection[str] = frozenset(f"o{k}" for k in range(MOST_BODIES))

    def __init__(
        self,
        *,
        shuffle_names: bool = True,
        memory: bool = False,
        memory_dropout: float = 0.0,
        collision_sampling: float = 0.0,
    ) -> None:
        """
        Args:
            shuffle_names, memory, memory_dropout: see `ImpulseCodec`.
            collision_sampling: share of samples (validation's too) whose island is drawn by a struck body, if any is.
        """
        super().__init__(shuffle_names=shuffle_names, memory=memory, memory_dropout=memory_dropout)
        if (
            isinstance(collision_sampling, bool)
            or not isinstance(collision_sampling, int | float)
            or not 0 <= collision_sampling <= 1
        ):
            raise ValueError(f"collision_sampling={collision_sampling} must be a number from 0 to 1")
        self.collision_sampling = collision_sampling

    # --- scenes with more bodies than there are names: only within a document do names count

    def _lacks(self, scene: Scene) -> str:
        return refusal(scene, self.text_name)

    def _first_name(self, scene: Scene) -> int:
        """Of a crowd, names of whole frames begin behind all tokens; documents have the usual ones."""
        return FIRST_BODY if len(scene.bodies) <= self.most_bodies else self.vocabulary.size

    def _named(self, world: tuple[Any, ...], scene: Scene) -> tuple[Any, ...]:
        first = self._first_name(scene)
        if first == FIRST_BODY:
            return world
        header, _, *rest, words = world
        words = words.copy()
        words[1:3] = first, len(scene.bodies)
        return (header, np.flatnonzero(header >= first), *rest, words)

    def _labels(self, ids: np.ndarray, scene: Scene) -> tuple[np.ndarray, int]:
        words = _WORDS.copy()
        words[3:] = self._first_name(scene), max(MAX_BODIES, len(scene.bodies))
        found: tuple[np.ndarray, int] = _islands(ids, words, LENGTH, PARTNERS)
        return found

    def _documents(self, ids: np.ndarray, scene: Scene) -> list[Document]:
        """The islands of a frame's prompt, in the order of their first bodies."""
        label, count = self._labels(ids, scene)
        parts = [ids[(label == k) | (label == SHARED)] for k in range(count)]
        first = self._first_name(scene)
        if first == FIRST_BODY:
            return [Document(part, None, None) for part in parts]
        return [document for part in parts for document in short(part, first, self.most_bodies)]

    def encode(self, sample: Sample) -> Encoded:
        return self._one_island(super().encode(sample), sample.given.scene)

    def encode_frames(self, run: Trajectory, *, seed: int = 0) -> Sequence[Encoded]:
        return _Cut(partial(self._one_island, scene=run.scene), super().encode_frames(run, seed=seed))

    def _one_island(self, whole: Encoded, scene: Scene) -> Encoded:
        """The island of one listed body, each (or each that is struck) as likely; which one follows from the seed."""
        ids, first = whole.input_ids, self._first_name(scene)
        label, count = self._labels(ids, scene)
        kept = label == SHARED
        if not count:
            return Encoded(seed=whole.seed, input_ids=ids[kept], labels=whole.labels[kept], event=whole.event[kept])
        bodies = np.flatnonzero(ids == WORD["self"])
        draw = _scrambled(whole.seed)
        if (draw >> 32) % 1000 < 1000 * self.collision_sampling:
            struck = _struck(ids, bodies, self.vocabulary.values, first)
            bodies = bodies[struck] if struck.any() else bodies
        chosen = bodies[draw % len(bodies)]
        kept |= label == label[chosen]
        one = Encoded(seed=whole.seed, input_ids=ids[kept], labels=whole.labels[kept], event=whole.event[kept])
        return one if first == FIRST_BODY else short_sample(one, first, int(ids[chosen + 1]) - first, self.most_bodies)

    def documents(self) -> IslandCodec:
        return self

    def prompts(self, given: Trajectory) -> list[np.ndarray]:
        """The prompt of each island, in the order of their first bodies; none where every body flies freely.

        An island of more bodies than there are names is cut into several documents, each with a ring of neighbours
        around the bodies whose answer is taken from it.
        """
        return [document.ids for document in self._documents(self.prompt(given), given.scene)]

    def most_new_tokens(self, prompt: np.ndarray) -> int:
        """Of one island's answer."""
        return 5 * int((prompt == WORD["self"]).sum()) + 1

    def part_guide(self, prompts: Sequence[np.ndarray]) -> ImpulseGuide:
        """The grammar of the islands' answers."""
        bodies = [prompt[np.flatnonzero(prompt == WORD["self"]) + 1] - FIRST_BODY for prompt in prompts]
        return ImpulseGuide(bodies, self._masks)

    def join(self, given: Trajectory, answers: Sequence[np.ndarray]) -> np.ndarray:
        """The frame's answer from its islands', which come in the order of `prompts`.

        Its lines are in the order that the whole text lists bodies in.
        """
        first = self._first_name(given.scene)
        crowd = first != FIRST_BODY
        documents = self._documents(self.prompt(given), given.scene) if crowd else [None] * len(answers)
        lines: list[tuple[int, np.ndarray]] = []
        for answer, document in zip(answers, documents, strict=True):
            tokens = np.asarray(answer)
            tokens = tokens[: np.argmax(tokens == END)] if (tokens == END).any() else tokens
            begins = np.flatnonzero((tokens >= FIRST_BODY) & (tokens < FIRST_BODY + MAX_BODIES))
            if len(tokens) and (not len(begins) or begins[0] != 0):
                begins = np.concatenate([[0], begins])  # unreadable, and stays so: a line without its name
            own = [line for line in np.split(tokens, begins[1:]) if len(line)]
            if document is not None:
                own = document.long(own, first)
            lines += [(int(line[0]), line) for line in own]
        lines.sort(key=lambda line: line[0])  # the whole text lists bodies by number
        return np.concatenate([*(line for _, line in lines), [END]]).astype(np.int64)

    def text(self, ids: np.ndarray) -> str:
        """Ids as lines; those of a crowd's whole frame too."""
        tokens = [int(i) for i in ids]
        size = self.vocabulary.size
        words = self.tokenizer.convert_ids_to_tokens([min(token, size - 1) for token in tokens])
        crowd = any(token >= size for token in tokens)
        words = [f"o{token - size}" if token >= size else word for token, word in zip(tokens, words, strict=True)]
        names = range(size, max(tokens) + 1) if crowd else range(FIRST_BODY, FIRST_BODY + MAX_BODIES)
        return as_lines(tokens, words, {NEXT, END, *(self.word[w] for w in self.records)}, names, NEXT)

    def parse(self, text: str, given: Trajectory) -> State | None:
        ids = self.read_ids(text)
        first, words = self._first_name(given.scene), text.split()
        if first != FIRST_BODY and len(words) == len(ids):
            for at, word in enumerate(words):
                if word in self.body_names:
                    ids[at] = first + int(word[1:])
        return self.decode(ids, given)


class _Cut(Sequence[Encoded]):
    """Frames of which one island each is taken."""

    def __init__(self, cut: Callable[[Encoded], Encoded], frames: Sequence[Encoded]) -> None:
        self.cut, self.frames = cut, frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, t: Any) -> Any:
        return self.cut(self.frames[t])


def _scrambled(seed: int) -> int:
    """A whole number in which neighbouring seeds have nothing in common (splitmix64, Steele et al. 2014)."""
    mask = (1 << 64) - 1
    z = (int(seed) + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def _struck(ids: np.ndarray, bodies: np.ndarray, values: np.ndarray, first: int) -> np.ndarray:
    """(M,) bool: the answer changes the velocity of the body whose `self` stands at `bodies`, with gravity and without.

    What lies on the ground is not struck, though the ground takes as much from it in every frame as gravity gives; nor
    is what falls. A field whose pull is as strong counts like a contact.
    """

    def numbers(at: np.ndarray) -> np.ndarray:
        return values[np.maximum(ids[np.minimum(at, len(ids) - 1)] - NUMBER_BASE, 0)]

    begin = int(np.flatnonzero(ids == NEXT)[0]) + 1
    crowd = first != FIRST_BODY
    names = (ids[begin:] >= first) & (crowd | (ids[begin:] < first + MAX_BODIES))
    said = begin + np.flatnonzero(names) + 1  # one line a body, in the order of their `self`
    word = ids[said]
    _, _, _, vn, vt, _, gn, gt = (numbers(bodies + k) for k in range(2, 10))
    along = np.where(word == REST, -vn - gn, numbers(said))
    across = np.where(word == REST, -vt - gt, numbers(said + 1))
    acted = np.maximum(np.abs(along), np.abs(across)) > EVENT_SPEED
    return (word != COAST) & acted & (np.maximum(np.abs(along + gn), np.abs(across + gt)) > EVENT_SPEED)


@compiled
def _islands(ids: np.ndarray, words: np.ndarray, length: np.ndarray, partners: np.ndarray) -> tuple[np.ndarray, int]:
    """(label (L,) of every token: its island, HEADER or SHARED; number of islands). The answer may be there or not."""
    own, after, end, first, most = words
    parent = np.arange(most)
    listed = np.zeros(most, np.bool_)
    owner = np.full(len(ids), -1, np.int64)  # body that a token belongs to
    label = np.full(len(ids), -1, np.int64)
    at, acting, answering, body = 0, False, False, -1
    while at < len(ids):
        word = ids[at]
        if answering:
            if word == end:
                label[at] = -2
                break
            if first <= word < first + most:
                body = word - first
            owner[at] = body
            at += 1
            continue
        if word == after:
            label[at] = -2
            answering = True
            at += 1
            continue
        count = length[word]
        if word == own:
            acting = True
            listed[ids[at + 1] - first] = True
        if acting:
            body = ids[at + 1] - first
            owner[at : at + count] = body
            if partners[word] and first <= ids[at + 2] < first + most:
                a, b = body, ids[at + 2] - first
                while parent[a] != a:
                    a = parent[a]
                while parent[b] != b:
                    b = parent[b]
                parent[max(a, b)] = min(a, b)
        at += count
    number = np.full(most, -1, np.int64)
    islands = 0
    for k in range(most):
        root = k
        while parent[root] != root:
            root = parent[root]
        if listed[k]:
            if number[root] < 0:
                number[root] = islands
                islands += 1
            number[k] = number[root]
    for k in range(len(ids)):
        if owner[k] >= 0:
            label[k] = number[owner[k]]
    return label, islands
