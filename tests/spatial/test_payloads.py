"""Files of payloads, and how far a long answer is."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
import zstandard
from rich.console import Console

from physworld.reporting.progress import Lines, bar, rate
from physworld.spatial.scene.reading import MOST_BYTES, dumps
from physworld.spatial.sources.payloads import holds_many, read_payloads

from spatial_tools import payload

PACKED = {"": bytes, ".gz": gzip.compress, ".GZ": gzip.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("name", ["a.jsonl", "a.JSONL", "a.b.ndjson", "a.json", "A.JSON", "payload"])
@pytest.mark.parametrize("packed", PACKED)
def test_suffixes_in_any_case_and_packed(name: str, packed: str, tmp_path: Path) -> None:
    asked, many = payload(), name.lower().endswith(("jsonl", "ndjson"))
    path = tmp_path / (name + packed)
    path.write_bytes(PACKED[packed]((dumps(asked) + "\n").encode() * (2 if many else 1)))
    assert holds_many(path) == many
    assert [one.payload for one in read_payloads(path)] == [asked] * (2 if many else 1)


def test_lines_have_their_own_numbers_and_the_others_go_on(tmp_path: Path) -> None:
    good = dumps(payload())
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([good, "", "   ", "[]", "x" * (2 * MOST_BYTES), good, "{}"]), encoding="utf-8")
    found = list(read_payloads(path))
    assert [one.name.rpartition(" ")[2] for one in found] == ["1", "4", "5", "6", "7"]
    assert [one.payload is None for one in found] == [False, True, True, False, True]
    assert "too many" in found[2].problem and all(one.problem for one in found if one.payload is None)


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"x" * 100_000)[:60])
    with pytest.raises(EOFError):
        list(read_payloads(tmp_path / "a.jsonl.gz"))


def test_progress_has_a_rate_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines("Validating", 512, every=0.0)
    lines.begun -= 100  # s ago
    lines(64)
    said = capsys.readouterr().out
    assert said.startswith("Validating: 64 of 512 · 38.4/min · 700 s left") or "38.3/min" in said
    with bar("Evaluating", 3, Console(force_terminal=False)) as advance:
        advance(3)
    assert capsys.readouterr().out == "", "what is done in a moment says nothing"
    assert rate(2.5) == "2.5/s" and rate(0.5) == "30.0/min"


def test_a_terminal_shows_a_bar() -> None:
    screen = io.StringIO()
    with bar("Evaluating", 4, Console(file=screen, force_terminal=True, width=120)) as advance:
        advance(2)
    assert "Evaluating" in screen.getvalue() and "2/4" in screen.getvalue()
