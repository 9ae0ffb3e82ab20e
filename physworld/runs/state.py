"""run.json: what a run is doing, for whoever looks at it from outside; one small file, always replaced whole.

    state       running, finished, stopped (it can go on), pruned (a search gave it up) or failed
    verb        train or evaluate                host, pid   where it runs, and as which process
    command     what was typed
    started     seconds since 1970, as are `heartbeat` (when the process last said that it lives) and `ended`
    step, steps optimiser steps done, and asked for
    best        {"name", "value", "step"} of the figure that `best.ckpt` is chosen by
    score       what a search lowers, once finished; null where it is not finite
    error       the last mistake, in one line
    sum         SHA-256 of the rest, by which damage is noticed

A process that is killed cannot write that it was: `dead` tells it by the heartbeat.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from physworld.errors import UserError, first_line
from physworld.io.checksums import digest_of
from physworld.runs.directory import first_rank, write_json
from physworld.settings import signals

FILE = "run.json"
HEARTBEAT = 15.0  # s between two signs of life
DEAD = 180.0  # s without one, after which a run on another machine counts as dead; file servers delay what is written
LATEST = 1e11  # s since 1970: the year 5138, which every clock can still write
STATES = ("running", "finished", "stopped", "pruned", "failed")


class Pruned(UserError):
    """A search has seen enough of this trial."""


class Record:
    """Keeps run.json of one run. It is there for onlookers: a disk on which it cannot be written stops no training."""

    def __init__(self, directory: Path, *, verb: str, command: str) -> None:
        now = time.time()
        self.path = directory / FILE
        self.content: dict[str, Any] = {
            "state": "running", "verb": verb, "command": command, "host": socket.gethostname(), "pid": os.getpid(),
            "started": now, "heartbeat": now, "ended": None, "step": 0, "steps": None, "best": None, "score": None,
            "error": None,
        }  # fmt: skip
        self._lock, self._over = threading.Lock(), threading.Event()

    def set(self, **values: Any) -> None:
        """Remember; the next sign of life writes it."""
        with self._lock:
            self.content.update(values)

    def write(self, **values: Any) -> None:
        with self._lock:
            self.content.update(values, heartbeat=time.time())
            with contextlib.suppress(OSError):
                write_json(self.path, {**self.content, "sum": _sum(self.content)})

    def goes_on(self, step: int, steps: int) -> None:
        """From a checkpoint's step, or from 0; a best figure of later steps is of weights that no longer count."""
        best = self.content["best"]
        self.set(step=step, steps=steps, best=best if best is not None and best["step"] <= step else None)

    def better(self, name: str, value: float, step: int) -> None:
        """One more value of the figure that is lowered; the lowest is kept."""
        best = self.content["best"]
        if math.isfinite(value) and (best is None or best["name"] != name or value < best["value"]):
            self.set(best={"name": name, "value": value, "step": step})

    def finish(self, score: float) -> None:
        self.set(state="finished", score=score if math.isfinite(score) else None)

    def _live(self) -> None:
        while not self._over.wait(HEARTBEAT):
            self.write()

    def end(self, **values: Any) -> None:
        self._over.set()
        self.write(ended=time.time(), **values)


@contextmanager
def recorded(directory: Path, *, verb: str, command: str) -> Iterator[Record]:
    """A command keeps its record while the block runs; how the block ends is what becomes of the run.

    Ranks beyond the first keep none: theirs is not written.
    """
    record = Record(directory, verb=verb, command=command)
    if not first_rank():
        yield record
        return
    before = read(directory)
    if before is not None:
        record.set(best=before["best"], step=before["step"])
    record.write()
    thread = threading.Thread(target=record._live, daemon=True)
    thread.start()
    try:
        yield record
    except Pruned as error:
        record.end(state="pruned", error=str(error))
        raise
    except (KeyboardInterrupt, SystemExit):  # of a person, a batch system, or a launcher that requeues the job
        record.end(state="stopped")
        raise
    except BaseException as error:
        if signals.exit_code(error) is not None:
            record.end(state="stopped")
        else:
            record.end(state="failed", error=first_line(error))
        raise
    else:
        record.end(state="finished")


def read(directory: Path) -> dict[str, Any] | None:
    """A run's record; None where it has none, or a damaged one."""
    try:
        found = json.loads((directory / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    blank = Record(directory, verb="", command="").content
    if not isinstance(found, dict) or not set(blank) <= set(found) or not _usable(found):
        return None
    written = found.pop("sum", None)  # earlier versions wrote none
    return found if written in (None, _sum(found)) else None


def _usable(record: dict[str, Any]) -> bool:
    """Whether everything is of the kind that is written; earlier versions wrote no sum to tell it by."""
    best = record["best"]
    return (
        record["state"] in STATES
        and all(is_number(record[key]) and 0 <= record[key] < LATEST for key in ("started", "heartbeat"))
        and (record["ended"] is None or (is_number(record["ended"]) and 0 <= record["ended"] < LATEST))
        and type(record["pid"]) is int and 0 < record["pid"] < 2**31
        and type(record["step"]) is int and (record["steps"] is None or type(record["steps"]) is int)
        and (record["score"] is None or is_number(record["score"]))
        and (best is None or (
            isinstance(best, dict) and {"name", "value", "step"} <= set(best) and is_number(best["value"])
            and type(best["step"]) is int
        ))
    )  # fmt: skip


def is_number(value: Any) -> bool:
    """Not an integer that no float can hold."""
    return type(value) is float or (type(value) is int and abs(value) < 2**63)


def _sum(content: dict[str, Any]) -> str:
    return digest_of(json.dumps(content, sort_keys=True))


def dead(record: dict[str, Any], now: float) -> bool:
    """Whether a run that says it is running no longer is: its process is gone, or has been silent for too long.

    A clock that jumps back makes no run dead: then the heartbeat is in the future.
    """
    if record["state"] != "running":
        return False
    if record["host"] == socket.gethostname():
        return not _alive(int(record["pid"]), float(record["heartbeat"]))
    return bool(now - float(record["heartbeat"]) > DEAD)


def _alive(pid: int, heartbeat: float) -> bool:
    """Whether the process is there that lived then; after a restart of the machine another one may have its number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    began = _began(pid)
    return began is None or began < heartbeat + 2 * HEARTBEAT


def _began(pid: int) -> float | None:
    """When a process began, s since 1970; None where the system does not tell."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        since_boot = int(after_name.split()[19]) / os.sysconf("SC_CLK_TCK")
        boot = next(line for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines() if "btime" in line)
        return int(boot.split()[1]) + since_boot
    except (OSError, ValueError, IndexError, StopIteration):  # no Linux
        return None
