"""What `physworld judge` takes. Apart from what it does, so that other verbs need not load that."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from physworld.errors import UserError
from physworld.io.placing import refuse_unmade

GRAVITY = 9.81  # m/s²


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="MP4, MOV, GIF, WebM, MKV, AVI files, or numbered pictures")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="compare with its clips of the same names")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the report goes; by default outputs/judge/FOLDER"
    )
    parser.add_argument("--fps", type=float, metavar="N", help="frames a second, instead of what the files say")
    parser.add_argument(
        "--pixels-per-metre", type=float, metavar="N", help="scale of the clips; else g is in px/s² only"
    )
    parser.add_argument(
        "--body-diameter", type=float, metavar="M", help="m, of the largest moving body: gives the scale"
    )
    parser.add_argument("--gravity", type=float, default=GRAVITY, metavar="G", help="what is right, m/s² (9.81)")
    parser.add_argument("--view", choices=("side", "top"), default="side", help="top: nothing falls in the picture")
    parser.add_argument(
        "--controls",
        type=int,
        default=24,
        metavar="N",
        help="clips that are made again, with the law kept and with a law broken (24)",
    )
    parser.add_argument("--pictures", type=int, default=24, metavar="N", help="clips that the report shows (24)")
    parser.add_argument("--most-frames", type=int, default=1000, metavar="N", help="longer clips are discarded (1000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")


def refuse(options: argparse.Namespace) -> None:
    """What can be told before libraries are loaded.

    Raises:
        UserError: the folder would be compared with itself, or no report can be put where it was asked for.
    """
    if options.against is not None and options.against.resolve() == options.folder.resolve():
        raise UserError(f"--against {options.against} is the folder that is judged; give another one.")
    if options.out is not None:
        refuse_unmade(options.out)
