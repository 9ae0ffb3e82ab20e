"""Names of files made from words that a file brought along."""

from __future__ import annotations

import hashlib
import re
import unicodedata

LONGEST = 80  # characters
MOST_BYTES = 200  # of UTF-8; file systems take 255, and a suffix comes behind
DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)  # of Windows
MARKED = re.compile(r"-[0-9a-f]{8}")


def no_formula(text: str) -> str:
    """For a cell of a CSV file: what begins like a formula gets an apostrophe, as spreadsheets know it."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def whole_text(text: str) -> str:
    """Text that can be written as UTF-8: half a character, or a byte of a file's name that is none, is spelt out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def safe_name(text: str) -> str:
    """One part of a path, on any system, and another one for every other text.

    Letters and digits of any script, `-`, `_` and `.` are kept. What had to change gets a short hash of the text behind
    it, so that no two texts meet. (Names that differ in case alone do, on file systems that mind no case.)
    """
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in unicodedata.normalize("NFC", text))
    name = re.sub(r"^\.+|\.+$", lambda dots: "_" * len(dots[0]), name)
    if DEVICES.fullmatch(name):
        name = f"_{name}"
    fits = 0 < len(name) <= LONGEST and len(name.encode()) <= MOST_BYTES
    if name == text and fits and not MARKED.fullmatch(name[-9:]):
        return name
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = name[: LONGEST - 9].encode()[: MOST_BYTES - 9].decode("utf-8", "ignore")
    return f"{kept or '_'}-{mark}"
