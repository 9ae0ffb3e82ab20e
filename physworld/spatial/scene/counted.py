"""Who plays in which style, counted; and two styles that are kept from training.

`COUNTED` is what the metadata of MedleyDB (Bittner et al. 2014, ISMIR; github.com/marl/medleydb, commit 537bb7b, MIT)
says of its songs' stems, those of published recordings included: genre -> style as in `GENRES`, a stem's first
instrument -> class (singers and rappers lead_vocal, "vocalists" and choirs back_vocal, any drums but single kicks,
snares and cymbals drums_bus, synthesizers and samplers synth_lead, organs and electric pianos piano, room microphones
ambience, woodwind and what is left other). It has too little rap (3 songs), and no ambient or film music: there the
judged bands of `people.BANDS` stand.

Levels, transients, leadness and bands are those of `draw.CHARACTER`, with twice its spread. They are judged: there is
no recording here that could be measured. `physworld describe` measures anybody's own.
"""

from __future__ import annotations

import numpy as np

from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.draw import HELD_OUT_COUNTS, HELD_OUT_PAIRS
from physworld.spatial.scene.people import BANDS, MOST, draw_band
from physworld.spatial.scene.terms import SECTIONS, STYLES

HELD_OUT_STYLES = ("jazz", "cinematic")  # one counted, one judged; never in training on `counted`
GENRES = {
    "Rock": "rock", "Pop": "pop", "Singer/Songwriter": "pop", "Jazz": "jazz", "Classical": "orchestral",
    "Electronic/Fusion": "club",
}  # fmt: skip
# style: songs, stems of each class in all of them, number of stems -> songs (20 is 20 and more)
COUNTED: dict[str, tuple[int, dict[str, int], dict[int, int]]] = {
    "club": (
        20,
        {"lead_vocal": 8, "back_vocal": 1, "bass": 8, "drums_bus": 40, "synth_lead": 30, "guitar": 14, "piano": 9,
         "strings": 1, "fx": 15, "other": 7},
        {2: 1, 3: 1, 4: 3, 5: 3, 6: 3, 7: 1, 8: 2, 9: 3, 10: 1, 11: 1, 12: 1},
    ),
    "jazz": (
        34,
        {"lead_vocal": 3, "back_vocal": 1, "kick": 1, "bass": 28, "drums_bus": 34, "synth_lead": 3, "guitar": 14,
         "piano": 28, "strings": 2, "brass": 21, "ambience": 15, "other": 28},
        {2: 1, 3: 5, 4: 4, 5: 9, 6: 6, 7: 8, 8: 1},
    ),
    "orchestral": (
        59,
        {"lead_vocal": 14, "back_vocal": 1, "kick": 2, "snare": 1, "hihat": 4, "bass": 14, "drums_bus": 10,
         "synth_lead": 1, "guitar": 1, "piano": 30, "strings": 120, "brass": 27, "fx": 8, "ambience": 26, "other": 93},
        {2: 11, 3: 5, 4: 19, 5: 6, 6: 8, 7: 1, 9: 1, 15: 2, 17: 1, 18: 2, 19: 2, 20: 1},
    ),
    "pop": (
        84,
        {"lead_vocal": 94, "back_vocal": 33, "kick": 2, "snare": 2, "hihat": 5, "bass": 64, "drums_bus": 101,
         "synth_lead": 66, "guitar": 100, "piano": 37, "strings": 19, "brass": 8, "fx": 10, "ambience": 3, "other": 13},
        {1: 1, 2: 4, 3: 6, 4: 17, 5: 13, 6: 6, 7: 4, 8: 7, 9: 6, 10: 8, 11: 6, 12: 3, 13: 2, 15: 1},
    ),
    "rock": (
        97,
        {"lead_vocal": 94, "back_vocal": 19, "hihat": 2, "bass": 90, "drums_bus": 107, "synth_lead": 14, "guitar": 154,
         "piano": 8, "strings": 1, "brass": 1, "fx": 7, "dialogue": 4, "ambience": 6, "other": 8},
        {3: 4, 4: 38, 5: 31, 6: 5, 7: 6, 8: 6, 10: 5, 11: 1, 15: 1},
    ),
}  # fmt: skip


def draw_counted(rng: np.random.Generator, *, new: bool = False) -> Payload:
    """A payload whose stems are as counted, a function of the generator's state; rules and ids are as people's.

    Args:
        new: of the styles that are kept from training; else of the others.
    """
    styles = [style for style in STYLES if (style in HELD_OUT_STYLES) == new]
    style, section = str(rng.choice(styles)), str(rng.choice(SECTIONS))
    while (style, section) in HELD_OUT_PAIRS:
        style, section = str(rng.choice(styles)), str(rng.choice(SECTIONS))
    if style not in COUNTED:
        counts = [n for n in range(1, MOST + 1) if n not in HELD_OUT_COUNTS]
        return draw_band(rng, style, section, int(rng.choice(counts)), BANDS[style].split(), odd=0.0)
    _, classes, lengths = COUNTED[style]
    seen = {n: songs for n, songs in lengths.items() if n not in HELD_OUT_COUNTS}
    count = int(rng.choice(list(seen), p=np.array(list(seen.values())) / sum(seen.values())))
    usual = [name for name, stems in classes.items() for _ in range(stems)]
    return draw_band(rng, style, section, count, usual, odd=0.0)
