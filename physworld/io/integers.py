"""Integers in JSON of others."""

from __future__ import annotations

from physworld.errors import FormatError

LONGEST = 300  # digits; floats end at 309, and Python is slow to read many more


def whole_number(digits: str) -> int:
    """For `json.loads`: an integer, unless no float can hold it.

    Raises:
        FormatError: names its first digits.
    """
    if len(digits) > LONGEST:
        raise FormatError(f"{digits[:20]}... has {len(digits)} digits, which is too large a number")
    return int(digits)
