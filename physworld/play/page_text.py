"""What the page without a server must know of the formats: island text's words, limits and numbers; scene files."""

from __future__ import annotations

from typing import Any

import physworld
from physworld.text.codecs._impulse_kernel import MAX_PARTNERS, MAX_PULLS, NO_SLIP
from physworld.text.codecs._impulse_words import FIRST_BODY, MAX_BODIES, NUMBER_BASE, RECORDS, WORD
from physworld.text.codecs._island_documents import MOST, OWN
from physworld.text.codecs._scene_dict import JOINTS
from physworld.text.codecs._text import AT_REST, IN_MOTION, MOVING, SOME_MOVE
from physworld.text.codecs.impulse import MARGIN
from physworld.text.codecs.islands import IslandCodec
from physworld.text.codecs.scene_json import VERSION
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
