"""Ctrl-C and SIGTERM end every verb with their own exit code, also where a library loses what they raise."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from physworld import cli
from physworld.settings.messages import run_main

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.fixture(autouse=True)
def foreground(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers of pytest ignore Ctrl-C; what was typed is pytest's."""
    monkeypatch.setattr(sys, "argv", ["train.py"])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("lost", [False, True])
def test_a_main(number: signal.Signals, code: int, lost: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def compiles() -> None:
        with suppress(*[KeyboardInterrupt] * lost):  # as ctypes does, around a callback
            signal.raise_signal(number)
        raise RuntimeError("no object yet.")

    with pytest.raises(SystemExit) as ended:
        run_main(compiles, "train")
    assert ended.value.code == code
    assert capsys.readouterr().err == ("Stopped (no object yet).\n" if lost else "Stopped.\n")


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("lost", [False, True])
def test_another_verb(
    number: signal.Signals, code: int, lost: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: object) -> tuple[int, str]:
        with suppress(*[KeyboardInterrupt] * lost):
            signal.raise_signal(number)
        raise RuntimeError("no object yet.")

    monkeypatch.setattr(cli, "_run", run)
    assert cli.main(["runs", "ls"]) == code
    assert capsys.readouterr().err == ("Stopped (no object yet).\n" if lost else "Stopped.\n")


def test_without_a_signal_it_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object = None) -> tuple[int, str]:
        raise RuntimeError("broken")

    monkeypatch.setattr(cli, "_run", fails)
    before = signal.getsignal(signal.SIGTERM)
    for end in (lambda: run_main(fails, "train"), lambda: cli.main(["runs", "ls"])):
        with pytest.raises(RuntimeError, match="broken"):
            end()
    assert signal.getsignal(signal.SIGTERM) is before
