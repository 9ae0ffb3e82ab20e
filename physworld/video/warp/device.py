"""NVIDIA Warp, set up once. Kernels are compiled at their first use and kept in Warp's own cache folder."""

from __future__ import annotations

import os
import sys

import warp as wp

wp.config.log_level = wp.LOG_ERROR
wp.config.enable_backward = False  # nothing here is differentiated, and compiling takes half as long


def _start() -> None:
    """`wp.init` without the line that its native half writes on every machine that has no NVIDIA driver."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        wp.init()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


_start()

DEVICES = ("cpu", "cuda")


def device(name: str) -> str:
    """'auto' is a CUDA device where there is one.

    Raises:
        ValueError: no such device here.
    """
    if name == "auto":
        return "cuda:0" if wp.is_cuda_available() else "cpu"
    if name == "cuda":
        name = "cuda:0"
    if name != "cpu" and not (name.startswith("cuda") and wp.is_cuda_available()):
        raise ValueError(f"device={name} is not available here; choose cpu or auto")
    return name
