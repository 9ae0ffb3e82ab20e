"""What the page without a server must know of island text: words, limits and the numbers that a model may say."""

from __future__ import annotations

from typing import Any

from physworld.text.codecs._impulse_kernel import MAX_PARTNERS, MAX_PULLS, NO_SLIP
from physworld.text.codecs._impulse_words import FIRST_BODY, MAX_BODIES, NUMBER_BASE, RECORDS, WORD
from physworld.text.codecs._island_documents import MOST, OWN
from physworld.text.codecs._scene_dict import JOINTS
from physworld.text.codecs.impulse import MARGIN
from physworld.text.codecs.islands import IslandCodec
from physworld.types.features import JOINTS as LACKING


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
