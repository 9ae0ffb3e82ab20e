"""Render the clips of the study ahead: PYTHONPATH=. python experiments/019_judge/render.py FOLDER [COUNT [FIRST]]

A clip that lies there is left alone, so it can be stopped at any time and started again.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from families import FAMILIES, kept

folder = Path(sys.argv[1])
count = int(sys.argv[2]) if len(sys.argv) > 2 else 20
first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
folder.mkdir(parents=True, exist_ok=True)
begun = time.process_time()
for blur in (False, True):
    for index in range(first, first + count):
        for family in FAMILIES:
            kept(folder, family, index, blur=blur)
        print(f"blur={blur} index={index}: {time.process_time() - begun:.0f} CPU s", flush=True)
