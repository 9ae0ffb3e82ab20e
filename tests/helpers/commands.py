"""The mains as a person runs them, from a process that has imported their libraries: that is most of a short command.

Each command is a process of its own, with its own folder, environment, signals and exit code; it is forked from a
server of the standard library (multiprocessing's forkserver) instead of started with `python`.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

from repository import ROOT

ENVIRONMENT = {
    **os.environ,
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
    "COLUMNS": "200",
}
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(
    [
        "physworld.mains",
        *(f"physworld.text.{part}" for part in ("build", "evaluate", "predict", "simulate")),
        *(f"physworld.video.{part}" for part in ("build", "evaluate", "predict", "simulate")),
        *(f"physworld.spatial.{part}" for part in ("build", "evaluate", "predict", "simulate")),
        "physworld.training.fit",
        "physworld.cli",
        "warm",
    ]
)


class Command:
    """A main that is running; `said` and `complained` hold what it printed so far."""

    def __init__(self, where: Path, main: str, arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._out, self._err = (Path(self._folder.name) / name for name in ("stdout", "stderr"))
        before = dict(os.environ)
        # Of the server, where it is not there yet.
        os.environ.update({**ENVIRONMENT, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"})
        try:
            forkserver.ensure_running()
        finally:
            os.environ.clear()
            os.environ.update(before)
        what = (str(where), main, arguments, dict(env), str(self._out), str(self._err))
        self.process: ForkServerProcess = FORKING.Process(target=_main, args=what)
        self.process.start()

    @property
    def said(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def complained(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def wait_until(self, there: Callable[[], bool], seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while not there():
            assert self.process.is_alive() and time.monotonic() < deadline, self.said + self.complained
            time.sleep(0.002)

    def signal_all(self, number: int) -> None:
        """To it and to all that it started."""
        assert self.process.pid is not None
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.signal_all(signal.SIGKILL)
        self.process.join()

    def end(self, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        self.process.join(timeout)
        if self.process.is_alive():
            self.kill()
            raise AssertionError(f"not done after {timeout} s: {self.said}{self.complained}")
        assert self.process.exitcode is not None
        return subprocess.CompletedProcess(self.process.name, self.process.exitcode, self.said, self.complained)


def start(where: Path, main: str, *arguments: str, env: Mapping[str, str] = ENVIRONMENT) -> Command:
    """Start train.py, or another script of the repository, or a module by its dotted name."""
    command = Command(where, main, arguments, env)
    command.wait_until(command._out.exists)
    return command


def ended(
    where: Path, main: str, *arguments: str, env: Mapping[str, str] = ENVIRONMENT
) -> subprocess.CompletedProcess[str]:
    """A command from start to end, however it ends."""
    return start(where, main, *arguments, env=env).end()


def run(where: Path, main: str, *arguments: str) -> str:
    """A command that must succeed; returns what it printed."""
    done = ended(where, main, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _main(where: str, main: str, arguments: tuple[str, ...], env: dict[str, str], out: str, err: str) -> None:
    os.setsid()
    os.chdir(where)
    os.environ.clear()
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test that runs in the background ignores it
    for path, descriptor, stream in ((err, 2, sys.stderr), (out, 1, sys.stdout)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
        stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        if main.endswith(".py"):
            sys.argv = [str(ROOT / main), *arguments]
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            sys.argv = [main, *arguments]
            runpy.run_module(main, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def ends(where: Path, main: str, *arguments: str) -> str:
    """Run a main in an empty directory; check the manner of its end, return what it said."""
    done = ended(where, main, *arguments)
    said = done.stderr.strip()
    assert done.returncode == 1, done.stderr + done.stdout
    assert "Traceback" not in said and "\n" not in said, said
    return said
