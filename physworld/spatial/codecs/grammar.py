"""Per-request grammars for scenes, and how they hold a model's answer to them (llguidance).

`schema` keeps the contract, the grids and the request's ids; `pinned` also writes the object list, what each object
must keep to and the applied rules. A grammar compares no two values: that times increase, that a first keyframe is the
static pose, that ids differ (schema) and that objects stay apart is left to the model, the checker and repair.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer

from physworld.lm.guides import MatcherGuide
from physworld.spatial.scene.brief import Brief, Target
from physworld.spatial.scene.rules import VERSION, tag
from physworld.spatial.scene.terms import CLASSES, DIALS, FORMATS, MOST_OBJECTS, POSE, ROOMS, SLACK, grid_values

MODES = ("raw", "schema", "pinned")
MOST_KEYFRAMES = 3
CIRCLE = 5  # keyframes of one


def scene_guide(
    tokenizer: LLTokenizer, schemas: Sequence[dict[str, Any]], end: int, preferred: np.ndarray | None = None
) -> MatcherGuide:
    """The grammar of an answer for each schema; what must come next is said without asking the network.

    Args:
        preferred: (V,) bool, the tokens to use wherever they will do: those that a model was trained to say.

    Raises:
        ValueError: a schema has no grammar.
    """
    # With `forcing` a mask holds only the tokenizer's own cut of the text that must come next. Where a key and its
    # value are one token, that would spell the key without the value.
    forcing = "" if preferred is None else '%llguidance {"no_forcing": true}\n'
    matchers = []
    for schema in schemas:
        text = json.dumps({**schema, "x-guidance": {"whitespace_flexible": False}})
        grammar = LLMatcher.grammar_from_lark(f"{forcing}start: %json {text}\n")
        matchers.append(LLMatcher(tokenizer, grammar, log_level=0))
        if matchers[-1].is_error():
            raise ValueError(f"this schema has no grammar: {matchers[-1].get_error()}")
    return MatcherGuide(matchers, tokenizer.vocab_size, end, fast_forward=True, preferred=preferred)


def scene_schema(
    brief: Brief,
    mode: str,
    names: Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
    *,
    pointers: bool = False,
) -> dict[str, Any]:
    """JSON Schema of one request's answer.

    Args:
        mode: schema or pinned.
        names: how the answer calls the brief's objects (by default the stems' ids).
        tags: how it calls the payload's rules (by default their tags).
        pointers: an object has no class, its motion no first keyframe, and other keyframes only what differs from it.
    """
    payload = brief.payload
    names = names if names is not None else [brief.stem(p).id for p in range(len(brief.objects))]
    tags = tags if tags is not None else [tag(rule) for rule in payload.rules]
    definitions = {name: {"enum": grid_values(name)} for name in (*POSE, *DIALS, "t", "loudness_target_lufs")}
    if mode == "pinned":
        objects: dict[str, Any] = {
            "type": "array",
            "prefixItems": [
                _object(_one(names[p]), _one(brief.stem(p).track_class), target, pointers)
                for p, target in enumerate(brief.objects)
            ],
            "items": False,
            "minItems": len(brief.objects),
            "maxItems": len(brief.objects),
        }
        broken, seen = brief.broken(), dict[str, str]()
        for n, rule in enumerate(payload.rules):
            if n not in broken:
                seen.setdefault(tag(rule), tags[n])
        claims: dict[str, Any] = _one(list(seen.values()))
        layout: dict[str, Any] = _one(payload.target_format)
    else:
        free = _object({"enum": list(names)}, {"enum": list(CLASSES)}, None, pointers)
        objects = {"type": "array", "items": free, "minItems": 1, "maxItems": MOST_OBJECTS}
        claims = {"type": "array", "items": {"enum": list(tags)}, "maxItems": len(tags)}
        if not tags:
            claims = _one([])
        layout = {"enum": list(FORMATS)}
    bed = {"layout": layout, "loudness_target_lufs": _ref("loudness_target_lufs"), "room_preset": {"enum": list(ROOMS)}}
    parts = {"version": _one(VERSION), "bed": _exact(bed), "objects": objects, "constraints_applied": claims}
    return {"$defs": definitions, **_exact(parts)}


def _one(value: Any) -> dict[str, Any]:
    return {"const": value}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _exact(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


def _object(name: dict[str, Any], kind: dict[str, Any], target: Target | None, pointers: bool) -> dict[str, Any]:
    values = {field: _ref(field) for field in (*POSE, *DIALS)}
    motion: dict[str, Any] = {"type": "array", "items": _key(values, _ref("t"), pointers), "maxItems": 8}
    if target is not None:
        values |= _pins(target)
        key = _key(values, _ref("t"), pointers)
        motion = _one([])
        if not target.still and target.reach > 0:
            begin = [] if pointers else [_key(values, _one(0.0), pointers)]
            end = _key(values, _one(1.0), pointers)
            between = (CIRCLE - 2,) if target.pattern == "circle" else range(MOST_KEYFRAMES - 1)
            moves = [
                {"type": "array", "prefixItems": keys, "items": False, "minItems": len(keys), "maxItems": len(keys)}
                for keys in ([*begin, *[key] * count, end] for count in between)
            ]
            motion = {"anyOf": moves if target.pattern is not None else [motion, *moves]}
    spelled = {} if pointers else {"class": kind}
    return _exact({"id": name, **spelled, **values, "motion": motion})


def _key(values: dict[str, Any], t: dict[str, Any], pointers: bool) -> dict[str, Any]:
    found = _exact({"t": t, **{name: values[name] for name in POSE}})
    return {**found, "required": ["t"]} if pointers else found


def _pins(target: Target) -> dict[str, Any]:
    """The fields that a target narrows, as lists of what is allowed."""
    found: dict[str, Any] = {}
    if target.az is not None:
        found["az_deg"] = {"enum": list(target.az)}
    for name, (low, high) in (("el_deg", target.el), ("dist_m", target.dist), ("width", target.width)):
        allowed = [value for value in grid_values(name) if low - SLACK <= value <= high + SLACK]
        if len(allowed) < len(grid_values(name)):
            found[name] = {"enum": allowed}
    return found


class _Tokens:
    """What llguidance wants to know of a tokenizer whose tokens are plain texts."""

    bos_token_id = None

    def __init__(self, tokenizer: Any, texts: Sequence[str], special: Sequence[int], end: int) -> None:
        self._tokenizer, self.eos_token_id = tokenizer, end
        self.special_token_ids = list(special)
        self.tokens = [text.encode() for text in texts]

    def __call__(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def chunk_tokenizer(tokenizer: Any, texts: Sequence[str], special: Sequence[int], end: int) -> LLTokenizer:
    """An llguidance tokenizer for tokens that are plain texts (`SpatialCodec`)."""
    from llguidance import TokenizerWrapper

    return LLTokenizer(TokenizerWrapper(_Tokens(tokenizer, texts, special, end)), n_vocab=len(texts), slices=[])
