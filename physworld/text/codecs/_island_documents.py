"""Documents of scenes that have more bodies than there are names: each names its own bodies anew, from `o0` on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from physworld.text.codecs._impulse_words import FIRST_BODY, LENGTH, NEXT, PARTNERS, WORD
from physworld.types import Encoded

OWN, MOST = 32, 64  # where an island is cut: bodies of a document whose answer is taken from it, and with neighbours


class Document(NamedTuple):
    ids: np.ndarray  # (L,) the prompt
    bodies: np.ndarray | None  # numbers of the bodies that it calls o0, o1 ...; None: it calls them by their number
    own: frozenset[int] | None  # numbers of those whose answer is taken from it; None: all

    def long(self, lines: Sequence[np.ndarray], first: int) -> list[np.ndarray]:
        """Lines of its answer under the names of the whole frame, which begin at `first`; those of neighbours go."""
        assert self.bodies is not None and self.own is not None
        found = []
        for line in lines:
            name = int(line[0]) - FIRST_BODY
            if not 0 <= name < len(self.bodies):
                found.append(line)  # unreadable, and stays so
            elif int(self.bodies[name]) in self.own:
                found.append(np.concatenate([[first + self.bodies[name]], line[1:]]))
        return found


def short(island: np.ndarray, first: int, names: int) -> list[Document]:
    """An island's prompt as one document, or as several where it has more bodies than there are names.

    Args:
        first: id of the name of body 0 in `island`, above all other tokens.
        names: how many there are in a document.
    """
    lines = _lines(island)
    bodies = sorted({int(line[1]) - first for line in lines})
    if len(bodies) <= names:
        return [_document(lines, bodies, bodies, first)]
    near: dict[int, list[int]] = {body: [] for body in bodies}
    for line in lines:
        if PARTNERS[line[0]] and line[2] >= first:
            near[int(line[1]) - first].append(int(line[2]) - first)
            near[int(line[2]) - first].append(int(line[1]) - first)
    left, found = dict.fromkeys(bodies), []
    while left:
        own = _spread([next(iter(left))], near, OWN, set(left))
        for body in own:
            del left[body]
        found.append(_document(lines, sorted(_spread(own, near, MOST, set(bodies))), own, first))
    return found


def short_sample(island: Encoded, first: int, body: int, names: int) -> Encoded:
    """A training sample of the document that answers for `body`."""
    begin = int(np.flatnonzero(island.input_ids == NEXT)[0]) + 1
    prompt, answer = island.input_ids[:begin], island.input_ids[begin:]
    document = next(part for part in short(prompt, first, names) if part.own is not None and body in part.own)
    assert document.bodies is not None
    named = np.isin(answer - first, document.bodies)
    # a line goes on until the next name; `end` stays
    line = np.maximum.accumulate(np.where(answer >= first, np.arange(len(answer)), 0))
    kept = named[line]
    kept[-1] = True
    answer = _renamed(answer[kept], document.bodies, first)
    ids = np.concatenate([document.ids, answer])
    labels = np.concatenate([np.full(len(document.ids), -100), answer])
    event = np.concatenate([np.zeros(len(document.ids), bool), island.event[begin:][kept]])
    return Encoded(seed=island.seed, input_ids=ids, labels=labels, event=event)


def _lines(island: np.ndarray) -> list[np.ndarray]:
    found, at = [], 0
    while at < len(island) and island[at] != NEXT:
        found.append(island[at : at + LENGTH[island[at]]])
        at += LENGTH[island[at]]
    return found


def _spread(start: Sequence[int], near: dict[int, list[int]], most: int, among: set[int]) -> list[int]:
    """Bodies `among` those given that are nearest to the first ones by steps from partner to partner, up to `most`."""
    found, place = dict.fromkeys(start), list(start)
    for at in count():
        if at == len(place) or len(found) >= most:
            return list(found)
        for body in near[place[at]]:
            if body in among and body not in found and len(found) < most:
                found[body] = None
                place.append(body)
    raise AssertionError


def _document(lines: list[np.ndarray], bodies: Sequence[int], own: Sequence[int], first: int) -> Document:
    """The lines of these bodies; what is further away stands still."""
    known, kept = set(bodies), []
    for line in lines:
        if int(line[1]) - first not in known:
            continue
        if PARTNERS[line[0]] and line[2] >= first and int(line[2]) - first not in known:
            line = line.copy()
            line[2] = WORD["fixed"]
        kept.append(line)
    ids = _renamed(np.concatenate([*kept, [NEXT]]), np.array(bodies), first)
    return Document(ids, np.array(bodies), frozenset(own))


def _renamed(ids: np.ndarray, bodies: np.ndarray, first: int) -> np.ndarray:
    """Names of the whole frame -> names of a document of these bodies, which are in ascending order."""
    place = np.searchsorted(bodies, np.maximum(ids - first, 0)).clip(max=len(bodies) - 1)
    return np.where(ids >= first, FIRST_BODY + place, ids).astype(np.int64)
