"""The words of `impulse` text (see impulse.py); numbers come after them."""

from __future__ import annotations

MAX_BODIES = 128
BODY_WORDS = [f"o{i}" for i in range(MAX_BODIES)]
# word -> how many words, then numbers, follow it on its line
RECORDS = {
    "world": (0, 3), "wall": (0, 8), "peg": (0, 5), "field": (0, 4), "mutual": (0, 2), "wind": (0, 3),
    "pin": (2, 5), "hinge": (2, 4), "rope": (2, 5), "spring": (2, 7), "motor": (2, 2),
    "ball": (1, 10), "box": (1, 11), "self": (1, 8),
    "link": (2, 8), "tie": (2, 8), "hold": (2, 9), "coil": (2, 9), "drive": (2, 3),
    "touch": (2, 13), "touch2": (2, 21), "pull": (1, 5), "air": (1, 3),
}  # fmt: skip
WORDS = ["pad", "end", "next", "coast", "rest", "fixed", *RECORDS, *BODY_WORDS]
NUMBER_BASE = len(WORDS)
WORD = {w: i for i, w in enumerate(WORDS)}
PAD, END, NEXT, COAST, REST = (WORD[w] for w in ("pad", "end", "next", "coast", "rest"))
FIRST_BODY = WORD["o0"]
