"""What a run keeps of itself, and what is told from it."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import socket
import time
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from physworld.errors import UserError
from physworld.runs import registry, state
from physworld.runs.directory import find_named, write_json

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("outputs").mkdir()
    return Path("outputs")


def run(path: Path, score: float, **headline: float) -> Path:
    with state.recorded(path, verb="train", command="python train.py") as record:
        record.set(step=3, steps=3)
        record.better("val/loss", score + 1, 2)
        record.better("val/loss", score + 2, 3)
        record.finish(score)
    (path / "config.yaml").write_text("seed: 0\n")
    write_json(path / "metrics.json", {"headline": headline})
    return path


def _hangs(path: Path) -> None:
    with state.recorded(path, verb="train", command="python train.py seed=7") as record:
        record.write(step=5, steps=9)
        time.sleep(60)


def killed(path: Path) -> None:
    process = FORK.Process(target=_hangs, args=(path,))
    process.start()
    while (state.read(path) or {"step": 0})["step"] != 5:
        time.sleep(0.005)
    assert registry.one(str(path)).state == "running"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def said(what: object) -> str:
    console = Console(width=200, no_color=True, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    what(console)  # type: ignore[operator]
    return console.export_text()


def test_how_a_run_ends_is_its_state(place: Path) -> None:
    run(place / "a", 2.0)
    assert state.read(place / "a")["state"] == "finished"  # type: ignore[index]
    kept = state.read(place / "a")
    assert kept is not None and kept["best"] == {"name": "val/loss", "value": 3.0, "step": 2} and kept["score"] == 2.0
    for error, ended in (
        (UserError("it diverged"), "failed"), (SystemExit(130), "stopped"), (SystemExit(-1), "stopped"),
        (KeyboardInterrupt(), "stopped"), (state.Pruned("given up"), "pruned"),
    ):  # fmt: skip
        with pytest.raises(type(error)), state.recorded(place / "b", verb="train", command=""):
            raise error
        assert state.read(place / "b")["state"] == ended  # type: ignore[index]
    assert run(place / "c", math.inf) and json.loads((place / "c/run.json").read_text())["score"] is None


def test_the_best_figure_is_of_weights_that_the_run_still_has(place: Path) -> None:
    run(place / "a", 2.0)  # its best is of step 2
    for step, kept in ((5, 3.0), (2, 3.0), (0, None), (5, None)):  # begun anew, and once gone it stays so
        with state.recorded(place / "a", verb="train", command="") as record:
            record.goes_on(step, 9)
        found = state.read(place / "a")
        assert found is not None and (found["best"] and found["best"]["value"]) == kept and found["step"] == step


def test_a_killed_run_is_dead_and_its_command_is_told(place: Path) -> None:
    run(place / "a", 1.0)
    killed(place / "b")
    assert [(one.name, one.state) for one in registry.found()] == [("a", "finished"), ("b", "dead")]
    text = said(lambda console: registry.dead(place, console))
    assert f"b: killed on {socket.gethostname()} at step 5" in text and "python train.py seed=7" in text
    assert "a:" not in text


def test_a_run_elsewhere_is_dead_when_it_is_silent_and_a_clock_that_jumps_kills_none() -> None:
    record = {"state": "running", "host": "elsewhere", "pid": 1, "heartbeat": 1000.0}
    assert not state.dead(record, 1000.0 + state.DEAD) and state.dead(record, 1001.0 + state.DEAD)
    assert not state.dead(record, 0.0)  # the clock went back
    assert not state.dead({**record, "state": "finished"}, 1e9)
    here = {**record, "host": socket.gethostname(), "pid": os.getpid()}
    assert not state.dead({**here, "heartbeat": time.time()}, 1e10)  # a disk that hung


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="only Linux tells when a process began")
def test_a_process_that_began_after_the_last_sign_of_life_is_another_one() -> None:
    here = {"state": "running", "host": socket.gethostname(), "pid": os.getpid()}
    began = state._began(os.getpid())
    assert began is not None and began < time.time() < began + 1e6
    assert state.dead({**here, "heartbeat": began - 60.0}, time.time())  # of before the machine was started again
    assert not state.dead({**here, "heartbeat": began + 1.0}, time.time())
    assert state._began(2**22 + 1) is None


def test_runs_are_ranked_by_a_figure(place: Path) -> None:
    for name, score in (("x/a", 3.0), ("x/b", 1.0), ("c", 2.0)):
        run(place / name, score, parse_rate=1 / score)
    order = ["x/b", "c", "x/a"]
    rows = said(lambda console: registry.best("score", place, console)).split("\n")[1:4]
    assert [row.split()[0] for row in rows] == order
    rows = said(lambda console: registry.best("parse_rate", place, console, highest=True)).split("\n")[1:4]
    assert [row.split()[0] for row in rows] == order
    with pytest.raises(
        UserError, match=r"No run has the figure parse_rat\. Choose one of parse_rate\. All 2 are listed by: "
    ):
        registry.best("parse_rat", place, Console())
    assert said(lambda console: registry.best(None, place, console)).split("\n")[:2] == [
        "parse_rate: 3 runs",
        "score: 3 runs",
    ]
    run(place / "d", 1.0, **{f"figure@{k}": k for k in range(30)})
    with pytest.raises(UserError) as caught:
        registry.best("nope", place, Console())
    assert str(caught.value).count(",") == registry.FEW - 1 and "All 32 are listed by: " in str(caught.value)
    assert find_named("x/b") == place / "x" / "b" and find_named("x/c") is None


def test_what_is_removed_is_said_first_and_a_running_one_never(place: Path) -> None:
    run(place / "a", 1.0)
    assert "would be removed" in said(lambda console: registry.rm(["a"], console, yes=False))
    assert (place / "a").is_dir()
    with (
        state.recorded(place / "b", verb="train", command=""),
        pytest.raises(UserError, match=r"b is running; stop it first\."),
    ):
        registry.rm(["a", "b"], Console(), yes=True)
    told = said(lambda console: registry.rm(["a", str(place / "a"), "a"], console, yes=True))
    assert told.count("removed") == 1
    assert [one.name for one in registry.found()] == ["b"]
    with pytest.raises(UserError, match="aa is no run"):
        registry.rm(["aa"], Console(), yes=True)


@pytest.mark.parametrize("headline", [[1], 3, "x", None])
def test_a_headline_that_is_none_takes_no_other_run_away(headline: object, place: Path) -> None:
    run(place / "a", 1.0)
    run(place / "b", 2.0)
    write_json(place / "b" / "metrics.json", {"headline": headline})
    assert "b" in said(lambda console: registry.best("score", place, console))


def test_a_damaged_or_unwritable_record_harms_nothing(place: Path) -> None:
    run(place / "a", 1.0)
    (place / "a" / "run.json").write_text('{"state": "fin')
    assert state.read(place / "a") is None and registry.one("a").state == "finished"  # by its metrics
    whole = json.loads((run(place / "b", 1.0) / "run.json").read_text())
    del whole["sum"]  # as earlier versions wrote it
    for number, wrong in enumerate(
        ({"heartbeat": "now"}, {"started": 1e300}, {"pid": -1}, {"best": 5}, {"step": None})
    ):
        (place / f"c{number}").mkdir()  # and with no config.yaml
        (place / f"c{number}" / "run.json").write_text(json.dumps(whole | wrong))
        assert state.read(place / f"c{number}") is None
    (place / "b" / "run.json").write_text(json.dumps(whole))
    assert state.read(place / "b") == whole
    assert said(partial(registry.ls, place)).count("unknown") == 5
    assert "state   unknown" in said(partial(registry.show, "c0"))
    registry.dead(place, Console(quiet=True))
    (place / "file").write_text("")
    with state.recorded(place / "file" / "b", verb="train", command="") as record:  # a folder that cannot be
        record.write(step=1)
