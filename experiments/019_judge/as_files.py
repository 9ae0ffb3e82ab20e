"""The study's clean clips as MP4 files, to time the command itself.

PYTHONPATH=. python experiments/019_judge/as_files.py FOLDER OUT [COUNT]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from families import FAMILIES, FPS, kept

from physworld.io.images import write_mp4

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path, help="with the rendered clips; what is missing is rendered")
parser.add_argument("out", type=Path)
parser.add_argument("count", type=int, nargs="?", default=20, help="clips of each family")
options = parser.parse_args()
options.out.mkdir(parents=True, exist_ok=True)
for family in FAMILIES:
    for index in range(options.count):
        write_mp4(options.out / f"{family}_{index}.mp4", kept(options.folder, family, index, blur=False).frames, FPS)
