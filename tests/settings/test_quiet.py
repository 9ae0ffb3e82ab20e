"""quiet=true: results and mistakes, and nothing else; NO_COLOR is heard."""

from __future__ import annotations

import io
import os

import pytest
from rich.console import Console

from physworld.mains import MAINS, NEXT
from physworld.reporting.progress import Lines
from physworld.reporting.screen import screen
from physworld.settings.program import quiet, silence


@pytest.mark.parametrize(
    ("typed", "silent", "left"),
    [
        (["a=1", "quiet=true"], True, ["a=1"]),
        (["quiet=true", "quiet=false", "b"], False, ["b"]),
        (["quiet=ture"], False, ["quiet=ture"]),
    ],
)
def test_quiet_is_taken_off_the_command(typed: list[str], silent: bool, left: list[str]) -> None:
    assert quiet(typed) == (silent, left)


def test_silence_ends(capfd: pytest.CaptureFixture[str]) -> None:
    with silence():
        print("within", flush=True)
        os.write(1, b"within a child\n")
    print("after", flush=True)
    assert capfd.readouterr().out == "after\n"


def test_no_color_and_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown = io.StringIO()
    Console(file=shown, force_terminal=True, markup=False).print("red", style="red")
    screen(file=shown).print("plain", style="yellow")
    assert "\x1b[31m" not in shown.getvalue() and shown.getvalue().endswith("plain\n")


def test_off_a_terminal_a_line_a_minute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, *(10.0 * k for k in range(1, 13))])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    lines = Lines("Evaluating", 24)
    for _ in range(12):
        lines(2)
    assert [line.split(" · ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "Evaluating: 12 of 24",
        "Evaluating: 24 of 24",
    ]


def test_every_main_names_the_next() -> None:
    assert set(NEXT) == set(MAINS) and {verb for verb, _ in NEXT.values()} <= set(MAINS)
