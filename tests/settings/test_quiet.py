"""quiet=true: results and mistakes, and nothing else; NO_COLOR is heard."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from physworld import cli
from physworld.mains import MAINS, NEXT
from physworld.reporting.progress import Lines
from physworld.reporting.screen import screen
from physworld.settings.program import at_home, loading, quiet, silence

from repository import ROOT


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


def test_loading_is_said_once_and_not_in_silence(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    loading("what is there")
    monkeypatch.delitem(sys.modules, "torch")
    loading("it")
    with silence():
        loading("in silence")
    assert capfd.readouterr() == ("", "Loading it ...\n")


UNTIL_TORCH = """
import sys
from physworld import cli
class Ends:
    def find_spec(self, name, *_):
        if name == "torch":
            sys.exit(9)  # it would be loaded now
sys.meta_path.insert(0, Ends())
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("plan model=tiny_video", "Loading what video needs ...\n"),
        ("plan model=tiny_video quiet=true", ""),
        ("serve shipped", "Loading shipped ...\n"),
    ],
)
def test_a_command_says_that_it_loads(typed: str, said: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", UNTIL_TORCH, *typed.split()]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (9, "", said)


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


def test_every_other_verb_names_the_next(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    verbs = set(re.findall(r"^    ([a-z]+)(?= |$)", capsys.readouterr().out, re.MULTILINE))
    own = {verb.split()[0] for verb in cli.NEXT}
    assert own <= verbs - set(MAINS) and verbs - set(MAINS) - own == {"play", "serve"}, "these end with Ctrl-C"
    named = {words[1] for words in map(shlex.split, cli.NEXT.values()) if words[0] == "physworld"}
    assert named <= verbs
    assert cli.main(["compare", "shipped"]) == 0 and "Next:" not in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert cli.main(["compare", "shipped"]) == 0 and "Next: tensorboard --logdir outputs\n" in capsys.readouterr().out
    assert cli.main(["compare", "nothing/here"]) == 1 and "Next:" not in capsys.readouterr().out


def test_a_table_is_whole_off_a_terminal_or_as_wide_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(*[f"column number {k}" for k in range(10)])
    table.add_row(*["a cell that needs room"] * 10)
    for columns, widest in ((None, 240), ("100", 100)):
        monkeypatch.delenv("COLUMNS", raising=False)
        if columns is not None:
            monkeypatch.setenv("COLUMNS", columns)
        shown = io.StringIO()
        screen(file=shown).print(table)
        lines = shown.getvalue().splitlines()
        assert 80 < max(map(len, lines)) <= widest
        assert ("column number 9" in lines[1]) is (columns is None)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("input=~/scene.yaml", "input=HOME/scene.yaml"),
        ("hydra.run.dir='~/my runs'", "hydra.run.dir='HOME/my runs'"),
        ('run=[~/a,"~/b"]', 'run=[HOME/a,"HOME/b"]'),
        ("--out=~/page", "--out=HOME/page"),
        ("~steps", "~steps"),
        ("out=a~/b", "out=a~/b"),
        ("name=~", "name=~"),
        ("caption='it is ~/3 m'", "caption='it is ~/3 m'"),
    ],
)
def test_a_tilde_is_home_where_a_path_begins(typed: str, read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    arguments = [typed]
    at_home(arguments)
    assert arguments == [read.replace("HOME", "/home/ann")]
