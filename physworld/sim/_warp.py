"""L1: NVIDIA Warp, set up once. Kernels are compiled at their first use and kept in Warp's own cache folder."""

from __future__ import annotations

import warp as wp

wp.config.log_level = wp.LOG_ERROR  # it warns on every machine without an NVIDIA driver
wp.config.enable_backward = False  # nothing here is differentiated, and compiling takes half as long
wp.init()

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
