"""The words of `impulse` text (see impulse.py); numbers come after them."""

from __future__ import annotations

import numpy as np

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

# With memory, the last names are words for lines that say what they did in the frame before: word -> numbers of that.
MEMORY = {"touch": 2, "touch2": 4, "link": 1, "tie": 1, "hold": 2, "drive": 1}
MEMORY_BODIES = MAX_BODIES - len(MEMORY)
MEMORY_WORD = {word: id_ for word, id_ in WORD.items() if id_ < FIRST_BODY + MEMORY_BODIES}
MEMORY_WORD |= {f"{word}+": FIRST_BODY + MEMORY_BODIES + k for k, word in enumerate(MEMORY)}
MEMORY_RECORDS = {
    **RECORDS,
    **{f"{word}+": (RECORDS[word][0], RECORDS[word][1] + count) for word, count in MEMORY.items()},
}

LENGTH = np.ones(NUMBER_BASE, np.int64)  # tokens of a line that begins with this word
PARTNERS = np.zeros(NUMBER_BASE, np.bool_)  # words whose second name is a partner
# A name begins no line of a prompt, so that what memory makes of the last ones does not matter elsewhere.
for _word, (_names, _numbers) in MEMORY_RECORDS.items():
    LENGTH[MEMORY_WORD[_word]], PARTNERS[MEMORY_WORD[_word]] = 1 + _names + _numbers, _names == 2
