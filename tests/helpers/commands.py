"""The mains as a person runs them."""

from __future__ import annotations

import os
import subprocess
import sys
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


def command(main: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / main), *arguments]


def run(where: Path, main: str, *arguments: str) -> str:
    """A command that must succeed; returns what it printed."""
    done = subprocess.run(
        command(main, *arguments), cwd=where, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b
