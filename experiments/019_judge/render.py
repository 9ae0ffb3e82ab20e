"""Render the clips of the study ahead: PYTHONPATH=. python experiments/019_judge/render.py FOLDER [COUNT [FIRST]]

A clip that lies there is left alone, so it can be stopped at any time and started again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from families import FAMILIES, kept

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("count", type=int, nargs="?", default=20, help="clips of each family")
parser.add_argument("first", type=int, nargs="?", default=0, help="index of the first")
options = parser.parse_args()
folder, count, first = options.folder, options.count, options.first
folder.mkdir(parents=True, exist_ok=True)
begun = time.process_time()
for blur in (False, True):
    for index in range(first, first + count):
        for family in FAMILIES:
            kept(folder, family, index, blur=blur)
        print(f"blur={blur} index={index}: {time.process_time() - begun:.0f} CPU s", flush=True)
