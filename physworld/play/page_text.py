"""What the page without a server must know of the formats: island text's words, limits and numbers; scenes, files."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import physworld
from physworld.text.codecs._impulse_kernel import MAX_PARTNERS, MAX_PULLS, NO_SLIP
from physworld.text.codecs._impulse_words import FIRST_BODY, MAX_BODIES, NUMBER_BASE, RECORDS, WORD
from physworld.text.codecs._island_documents import MOST, OWN
from physworld.text.codecs._scene_dict import FIELDS, JOINTS, REMARKS, STATIC, UNSAID
from physworld.text.codecs._scene_dict import MAX_BODIES as LONGEST_LIST
from physworld.text.codecs._text import AT_REST, IN_MOTION, MOVING, SOME_MOVE
from physworld.text.codecs.impulse import MARGIN
from physworld.text.codecs.islands import IslandCodec
from physworld.text.codecs.scene_json import VERSION
from physworld.types import Body, Filter, Part, Scene, limits
from physworld.types.features import JOINTS as LACKING


def files() -> dict[str, Any]:
    """JSON-ready: what files.js must know of Scene JSONL."""
    return {
        "version": VERSION,
        "physworld": physworld.__version__,
        "moving": MOVING,
        "atRest": AT_REST,
        "inMotion": IN_MOTION,
        "someMove": SOME_MOVE,
    }


def scene_keys() -> dict[str, Any]:
    """JSON-ready: what check.js must know of a scene: keys, their types and defaults, what may be negative, bounds."""
    return {
        "keys": _keys(Scene),
        "body": _keys(Body),
        "part": _keys(Part),
        "filter": _keys(Filter),
        "static": {name: _keys(kind) for name, kind in STATIC.items()},
        "joints": {name: _keys(kind) for name, kind in JOINTS.items()},
        "fields": {name: _keys(kind) for name, kind in FIELDS.items()},
        "signed": [name for name, (_, signed) in limits.NUMBERS.items() if signed],
        "remarks": sorted(REMARKS),
        "bounds": {
            "list": LONGEST_LIST,
            "canvas": limits.MAX_CANVAS,
            "step": limits.LONGEST_STEP,
            "corners": limits.MAX_CORNERS,
            "parts": limits.MAX_PARTS,
            "bits": limits.BITS,
            "offCentre": limits.OFF_CENTRE,
        },
    }


def _keys(kind: type) -> dict[str, list[Any]]:
    """Key -> its type, and its default where it may be left out; null where it stays left out."""
    found: dict[str, list[Any]] = {}
    for field in fields(kind):
        unsaid = field.name in UNSAID.get(kind, ()) or (field.default == () and kind is not Scene)
        otherwise = [] if field.default is MISSING else [None if unsaid else field.default]
        found[field.name] = [str(field.type), *otherwise]
    return found


def text_of(codec: IslandCodec) -> dict[str, Any]:
    """JSON-ready: the codec's words and limits, as codec.js reads them."""
    return {
        "word": dict(WORD),
        "records": {word: list(counts) for word, counts in RECORDS.items()},
        "base": NUMBER_BASE,
        "firstBody": FIRST_BODY,
        "mostBodies": MAX_BODIES,
        "own": OWN,
        "around": MOST,
        "margin": MARGIN,
        "mostPartners": MAX_PARTNERS,
        "mostPulls": MAX_PULLS,
        "noSlip": NO_SLIP,
        "joints": {name: LACKING[kind] for name, kind in JOINTS.items() if kind in LACKING},
        "outputs": codec.vocabulary.outputs.tolist(),
        "orderedFrom": codec.vocabulary.ordered_from,
    }
