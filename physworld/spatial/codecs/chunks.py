"""Spatial scenes as tokens that a small model can learn: resolved briefs in, Spatial9Scene JSON out.

The prompt is a brief: rules resolved onto stems, in output order (spatial/scene/brief.py), one line per object:

    brief fmt=iamf style=club section=drop energy=0.9
    @3","class":"kick","az_deg":0 low,"width":0 high,"width":0.1 still lufs=-10 transient=1 leadness=0.3 band=low
    ...
    rules#5" holds#6" conflict
    scene

The answer is the scene's canonical JSON in chunks, a key and its value being one token (`,"az_deg":35`), so what a
rule pins is copied as the token that the brief has beside the stem, in the order of the answer. Stems and rules have
numbers (`@3`, `#5`) instead of names: ids never reach the model. The first number follows from the payload's text, so
that every number is met.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from physworld.lm.guides import MatcherGuide
from physworld.lm.tokenizers import CHARACTERS, END, PAD, word_tokenizer
from physworld.spatial.codecs.grammar import chunk_tokenizer, scene_guide, scene_schema
from physworld.spatial.codecs.words import (
    FINISH,
    LAST,
    MOVED,
    NEXT,
    NO_MOTION,
    chunk,
    families,
    label,
    number,
    plain_words,
)
from physworld.spatial.scene.brief import Brief, Target, inside
from physworld.spatial.scene.documents import Payload, SpatialScene
from physworld.spatial.scene.engineer import LEAST_SWEEP, dominant, engineer, tenths
from physworld.spatial.scene.reading import (
    Invalid,
    dumps,
    parse_json,
)
from physworld.spatial.scene.rules import tag
from physworld.spatial.scene.terms import (
    DIALS,
    MOST_OBJECTS,
    MOST_RULES,
    POSE,
)
from physworld.types import Encoded, Sample, TokenFamily, Vocabulary

NUMBERED = re.compile(r'"([@#][0-9]+)"')


class SpatialCodec:
    """Briefs and scenes as chunk tokens, and back."""

    context_frames = target_frames = 1
    extra_words: tuple[str, ...] = ()
    pointers: ClassVar[bool] = False  # whether answers point at stems instead of spelling what these have

    def __init__(self, *, numbered_from_payload: bool = True, settled: bool = False) -> None:
        """
        Args:
            numbered_from_payload: the first stem number follows from the payload; False = always 1, for reading.
            settled: a brief also says what separation makes of an object: the place that keeps it from its partners
                (where the engineer's search puts both of them), and that it stands still, as what must not come near
                another does. Without it a network has to find that place by itself.
        """
        self.numbered_from_payload, self.settled = numbered_from_payload, settled
        numbered = families()
        words = [*plain_words(), *(token for family in numbered.values() for token, _ in family), *self.extra_words]
        self.tokenizer = word_tokenizer(words)
        self._id: dict[str, int] = self.tokenizer.get_vocab()
        self._text = [token for token, _ in sorted(self._id.items(), key=lambda item: item[1])]
        self.end_id, self.pad_id = self._id[END], self._id[PAD]
        self._families = tuple(
            TokenFamily(ids=np.array([self._id[token] for token, _ in family]), values=np.array([v for _, v in family]))
            for family in numbered.values()
        )

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary.of_words(len(self._text), pad=self.pad_id, end=self.end_id, families=self._families)

    # --- writing

    def encode(self, sample: Sample) -> Encoded:
        """Prompt and answer; only the answer is scored. `event` marks what a rule decides."""
        prompt = self.prompt(sample.given)
        answer, ruled = self.answer(sample.target, sample.given)
        ids = np.concatenate([prompt, answer])
        labels = ids.copy()
        labels[: len(prompt)] = -100
        event = np.concatenate([np.zeros(len(prompt), bool), ruled])
        return Encoded(seed=sample.seed, input_ids=ids, labels=labels, event=event)

    def prompt(self, given: Brief) -> np.ndarray:
        return np.array([self._id[piece] for piece in self._brief(given)], np.int64)

    def prompt_text(self, given: Brief) -> str:
        return "".join(self._brief(given))

    def answer(self, scene: SpatialScene, given: Brief) -> tuple[np.ndarray, np.ndarray]:
        """(ids with the end token, which of them a rule decides).

        Raises:
            ValueError: a value is off the grid, or an id is not the brief's.
        """
        pieces = list(self._scene(scene, given))
        try:
            ids = np.array([self._id[piece] for piece, _ in pieces] + [self.end_id], np.int64)
        except KeyError as error:
            raise ValueError(f"this scene has {error.args[0]!r}, which is off the grid of the strict profile") from None
        return ids, np.array([ruled for _, ruled in pieces] + [False])

    def firstnumber(self, payload: Payload) -> int:
        return zlib.crc32(dumps(payload).encode()) % MOST_OBJECTS if self.numbered_from_payload else 0

    def labels(self, given: Brief) -> tuple[dict[str, str], list[str]]:
        """(stem id -> `@3` of every object of the brief, `#5` of every rule)."""
        first = self.firstnumber(given.payload)
        names = {given.stem(p).id: label("@", (first + p) % MOST_OBJECTS + 1) for p in range(len(given.objects))}
        return names, [label("#", (first + n) % MOST_RULES + 1) for n in range(len(given.payload.rules))]

    def _brief(self, given: Brief) -> Iterator[str]:
        payload = given.payload
        yield f"brief fmt={payload.target_format}"
        yield f" style={payload.style}"
        yield f" section={payload.section}"
        yield f" energy={tenths(payload.overall.energy):g}\n"
        names, numbers = self.labels(given)
        called = list(names.values())
        found = self._places(given)
        for place, target in enumerate(given.objects):
            stem = given.stem(place)
            yield f'{called[place]}"'
            yield f',"class":"{stem.track_class}"'
            yield from _target(target, called, found.get(place), short=self.settled)
            yield f" lufs={int(np.floor(stem.lufs + 0.5))}"
            yield f" transient={tenths(stem.transient):g}"
            yield f" leadness={tenths(stem.leadness):g}"
            yield f" band={dominant(stem)}"
            yield "\n"
        yield "rules"
        excused = given.broken()
        seen: set[str] = set()
        for n, rule in enumerate(payload.rules):
            yield f'"{numbers[n]}"'
            yield " conflict" if n in excused else " again" if tag(rule) in seen else " holds"
            seen.add(tag(rule))
        yield "\n"
        yield "scene\n"

    def _places(self, given: Brief) -> dict[int, tuple[float, float]]:
        """Azimuth and elevation of objects that must keep apart from others."""
        if not self.settled or not any(target.apart for target in given.objects):
            return {}
        things = engineer(given.payload, given).objects
        return {k: (things[k].az_deg, things[k].el_deg) for k, target in enumerate(given.objects) if target.apart}

    def _scene(self, scene: SpatialScene, given: Brief) -> Iterator[tuple[str, bool]]:
        """(token, whether a rule decides it)."""
        names, numbers = self.labels(given)
        targets = {given.stem(p).id: target for p, target in enumerate(given.objects)}
        tags: dict[str, str] = {}
        for n, rule in enumerate(given.payload.rules):
            tags.setdefault(tag(rule), numbers[n])
        bed = scene.bed
        yield f'{{"version":"{scene.version}","bed":{{"layout":"{bed.layout}"', False
        yield chunk("loudness_target_lufs", bed.loudness_target_lufs), False
        yield f',"room_preset":"{bed.room_preset}"}},"objects":[{{"id":"', False
        for n, thing in enumerate(scene.objects):
            if thing.id not in names:
                raise ValueError(f"{thing.id} is no object of this brief")
            target = targets[thing.id]
            yield f'{names[thing.id]}"', False
            yield f',"class":"{thing.track_class}"', False
            ruled = {
                "az_deg": target.az is not None or bool(target.apart),
                "el_deg": target.el != (-45.0, 90.0) or bool(target.apart),
                "dist_m": target.anchored,
                "width": target.width != (0.0, 1.0),
            }
            for name in (*POSE, *DIALS):
                yield chunk(name, getattr(thing, name)), ruled.get(name, False)
            rest = NEXT if n + 1 < len(scene.objects) else LAST
            if not thing.motion:
                yield NO_MOTION + rest, target.still or target.reach < 180
                continue
            for k, key in enumerate(thing.motion):
                yield (f',"motion":[{{"t":{number(key.t)}' if k == 0 else f'}},{{"t":{number(key.t)}'), False
                for name in POSE:
                    yield chunk(name, getattr(key, name)), target.reach < 180
            yield MOVED + rest, False
        for n, text in enumerate(scene.constraints_applied):
            if text not in tags:
                raise ValueError(f"{text} is no rule of this brief")
            yield f'{"," if n else ""}"{tags[text]}"', True
        yield FINISH, True

    # --- reading

    def text(self, output: np.ndarray) -> str:
        """The answer as text, up to its end token; stems and rules still have numbers."""
        pieces = []
        for token in output:
            if token in (self.end_id, self.pad_id):
                break
            pieces.append(self._text[token])
        return "".join(pieces)

    def ended(self, output: np.ndarray) -> bool:
        """Whether the answer came to its end token."""
        return bool((output == self.end_id).any())

    def decode(self, output: np.ndarray, given: Brief) -> Any:
        """The parsed JSON with names in the place of numbers, or None: no JSON. It may still break every rule."""
        return self.read(self.text(output), given)

    def read(self, text: str, given: Brief) -> Any:
        """Like `decode`, of text."""
        try:
            data = parse_json(text)
        except Invalid:
            return None
        if not isinstance(data, dict):
            return data
        names, numbers = self.labels(given)
        stems = {number: name for name, number in names.items()}
        tags = {number: tag(rule) for number, rule in zip(numbers, given.payload.rules, strict=True)}
        for thing in data["objects"] if isinstance(data.get("objects"), list) else []:
            if isinstance(thing, dict) and isinstance(thing.get("id"), str):
                thing["id"] = stems.get(thing["id"], thing["id"])
        said = data.get("constraints_applied")
        if isinstance(said, list):
            data["constraints_applied"] = [tags.get(s, s) if isinstance(s, str) else s for s in said]
        return data

    def spell(self, text: str, given: Brief) -> str:
        """An answer's text with names in the place of numbers; the beginning of a text gives the beginning of this."""
        names, numbers = self.labels(given)
        called = {number: name for name, number in names.items()}
        called |= {number: tag(rule) for number, rule in zip(numbers, given.payload.rules, strict=True)}
        return NUMBERED.sub(
            lambda found: json.dumps(called[found[1]]) if found[1] in called else found[0],
            text,
        )

    def guide(self, given: Sequence[Brief], mode: str) -> MatcherGuide | None:
        """The grammar of these answers; None for raw, where any token may follow any other."""
        if mode == "raw":
            return None
        schemas = []
        for brief in given:
            names, numbers = self.labels(brief)
            schemas.append(scene_schema(brief, mode, list(names.values()), numbers, pointers=self.pointers))
        return scene_guide(self._guided, schemas, self.end_id, self._chunks)

    @cached_property
    def _guided(self) -> Any:
        return chunk_tokenizer(self.tokenizer, self._text, self.tokenizer.all_special_ids, self.end_id)

    @cached_property
    def _chunks(self) -> np.ndarray:
        """(V,) bool: tokens longer than one character; those are there only so that any text can be written."""
        single = {*CHARACTERS, *self.tokenizer.all_special_tokens}
        return np.array([text not in single for text in self._text])

    def max_new_tokens(self, given: Brief) -> int:
        """Room for every object with three keyframes, a circle with five, and every rule."""
        circles = sum(target.pattern == "circle" for target in given.objects)
        return 8 + len(given.objects) * 24 + circles * 8 + len(given.payload.rules)

    def scene_text(self, scene: SpatialScene, given: Brief) -> str:
        """The scene as its answer's text."""
        return "".join(piece for piece, _ in self._scene(scene, given))


def _target(target: Target, called: Sequence[str], found: tuple[float, float] | None, *, short: bool) -> Iterator[str]:
    """What one object must keep to, as grid values: tokens that its answer can repeat.

    Args:
        found: azimuth and elevation that keep it apart from its partners.
        short: a limit of motion below the engineer's least sweep is " still".
    """
    if found is not None:
        yield chunk("az_deg", found[0])
    elif target.az is not None:
        yield chunk("az_deg", target.az[0])
    if found is not None:
        yield chunk("el_deg", found[1])
        if target.anchored and target.preferred is not None:
            yield chunk("dist_m", _grid("dist_m", target.dist, target.preferred[2]))
    elif target.anchored and target.preferred is not None:
        yield chunk("el_deg", _grid("el_deg", target.el, target.preferred[1]))
        yield chunk("dist_m", _grid("dist_m", target.dist, target.preferred[2]))
    elif target.el != (-45.0, 90.0):
        yield " low"
        yield chunk("el_deg", _grid("el_deg", target.el, target.el[0]))
        yield " high"
        yield chunk("el_deg", _grid("el_deg", target.el, target.el[1]))
    if target.width != (0.0, 1.0):
        yield chunk("width", target.wide)
    if target.still or (short and (target.apart or target.reach < LEAST_SWEEP)):
        yield " still"
    elif target.reach < 180:
        yield f" reach={int(target.reach)}"
    for place, least in target.apart:
        yield " apart"
        yield f'{called[place]}"'
        yield f" {int(np.ceil(least - 1e-9))}deg"


def _grid(name: str, bounds: tuple[float, float], near: float) -> float:
    found = inside(name, *bounds, near=near)
    assert found is not None  # a brief never narrows an interval to nothing
    return found
