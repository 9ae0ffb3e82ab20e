"""`physworld serve` and `evaluate.py model=api` as commands: killed, started again, and told what is wrong."""

from __future__ import annotations

import functools
import json
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra `play` is not installed")

from commands import Command, start
from evaluations import SMALL, evaluate, rows
from servers import Scripted, completion
from tiny_lms import save_base

pytestmark = pytest.mark.slow
ARGUMENTS = ("model=api", "name=m", "codec=engine", "model.grammar=regex", "model.first_wait=0.2", "limit=1")


@functools.cache
def base(work: Path) -> Path:
    """A language model with random weights and a byte-level tokenizer."""
    return save_base(work / "base", "llama")


def serving(work: Path, port: int = 0) -> tuple[Command, str]:
    """A server that is ready, and its address."""
    command = start(work, "physworld", "serve", str(base(work)), "--name", "m", "--device", "cpu", "--port", str(port))
    command.wait_until(lambda: "Stop with Ctrl-C" in command.said)
    return command, command.said.split()[2]


def answered(cache: Path) -> int:
    if not (cache / "api.sqlite").exists():
        return 0
    with sqlite3.connect(cache / "api.sqlite") as file, suppress(sqlite3.OperationalError):  # no table yet
        found: int = file.execute("SELECT count(*) FROM answers").fetchone()[0]
        return found
    return 0


def figures(directory: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "model"} for row in rows(directory)]


def test_a_killed_server_loses_nothing_and_nothing_is_asked_twice(work: Path) -> None:
    """The evaluation waits for the server to come back; its report is that of the model in process."""
    evaluate(work, "model=hf", f"weights={base(work)}", "codec=engine", "hydra.run.dir=inside", "limit=1")
    first, url = serving(work)
    command = start(
        work, "evaluate.py", *SMALL, *ARGUMENTS, f"base_url={url}", "cache=kept", "hydra.run.dir=outside",
        "model.concurrency=1",
    )  # fmt: skip
    command.wait_until(lambda: answered(work / "kept") >= 2)
    first.kill()
    before = answered(work / "kept")
    second, again = serving(work, int(url.rpartition(":")[2].partition("/")[0]))
    try:
        done = command.end()
        assert done.returncode == 0, done.stdout + done.stderr
        assert again == url and before < answered(work / "kept")
        assert figures(work / "outside") == figures(work / "inside")
        cost = json.loads((work / "outside" / "metrics.json").read_text())["cost"]
        assert cost["asked now"] == answered(work / "kept") == cost["answers"]
    finally:
        second.kill()
    # The server is gone: everything comes from the cache, and the report is the same.
    evaluate(work, *ARGUMENTS, f"base_url={url}", "cache=kept", "hydra.run.dir=later")
    assert figures(work / "later") == figures(work / "outside")
    assert json.loads((work / "later" / "metrics.json").read_text())["cost"]["asked now"] == 0


def test_refusals_and_prose_are_not_parsed(work: Path) -> None:
    words = ["I'm sorry, but I cannot predict this.", "", "```\nFrame 5: All objects are at rest.\n```", "é" * 50]
    with Scripted(lambda body, number: (200, {}, completion(words[number % len(words)]))) as server:
        evaluate(work, *ARGUMENTS, f"base_url={server.url}", "cache=prose", "hydra.run.dir=prose", "shots=1")
    answers = [row for row in rows(work / "prose") if row["method"] == "model"]
    assert len(answers) == 2 and all(row["parsed"] is False and row["valid_frames"] == 0 for row in answers)
    assert all(body["prompt"].count("Predict next frame:") == 2 for body in server.bodies)  # a solved one first


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("model=api",), "model=api needs base_url="),
        (("model=api", "base_url=http://127.0.0.1:1/v1"), "model=api needs name="),
        (("base_url=http://127.0.0.1:1/v1", "run=shipped"), "is for model=api; leave it out"),
        ((*ARGUMENTS, "base_url=http://127.0.0.1:1/v1", "evaluation.samples=2"), "use evaluation.samples=0"),
        ((*ARGUMENTS, "base_url=http://127.0.0.1:1/v1", "model.key_from=NO_SUCH_KEY"), "is not set"),
        ((*ARGUMENTS, "base_url=http://127.0.0.1:1/v1", "codec=scene_text"), "writes with the tokenizer of pretrained"),
        ((*ARGUMENTS, "base_url=http://127.0.0.1:1/v1", "model.attempts=1"), "does not answer after 1 attempts"),
    ],
)
def test_a_mistake_is_one_sentence(work: Path, arguments: tuple[str, ...], says: str) -> None:
    said = evaluate(work, *arguments, "cache=none", fails=True)
    assert says in said and "Traceback" not in said
