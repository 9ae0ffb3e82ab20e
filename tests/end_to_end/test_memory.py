"""What asks for more memory than there is ends with one sentence, and leaves nothing half made."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from commands import ENVIRONMENT
from repository import ROOT

ROOM = 3 * 1024**3  # bytes of addresses; the pictures below take 7 GB


def test_too_little_memory_is_said_in_one_sentence(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "simulate.py", "scenario=pong", "count=1", "format=gif", "frames=20000", f"out={tmp_path}/x"],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM)),
    )  # fmt: skip
    assert ended.returncode == 1 and "There is too little memory for this (Unable to allocate" in ended.stderr
    assert "Traceback" not in ended.stderr and not list(tmp_path.rglob("*.gif"))


def test_a_job_of_a_sweep_with_too_little_memory_leaves_the_others_theirs(tmp_path: Path) -> None:
    """A search would else try the same trial again whenever it goes on."""
    ended = subprocess.run(
        [sys.executable, "simulate.py", "-m", "scenario=orbit", "count=1", "frames=1000000000000000,5",
         f"out={tmp_path}/x", f"hydra.sweep.dir={tmp_path}/sweep"],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 1 and "There is too little memory for this (Unable to allocate" in ended.stderr
    assert "Traceback" not in ended.stderr and len(list(tmp_path.rglob("*.jsonl"))) == 1
