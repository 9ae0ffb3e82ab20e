"""Time and memory of a four-minute song with 20 stems through `physworld mix`.

python experiments/016_stems_to_sound/four_minutes.py OUT [TARGET] [SECONDS]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT)]

from songs import song  # noqa: E402


def main(out: Path, target: str, seconds: float) -> None:
    if not (out / "stems").exists():
        song(out / "stems", stems=20, seconds=seconds, seed=0)
    begin = time.time()
    command = [sys.executable, "-m", "physworld", "mix", str(out / "stems"), "--target", target, "--style", "club"]
    process = subprocess.Popen([*command, "--section", "drop", "--out", str(out / f"mix_{target}")], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    print(
        f"{target}: exit {os.waitstatus_to_exitcode(status)}, {time.time() - begin:.1f} s, "
        f"{usage.ru_utime + usage.ru_stime:.1f} CPU s, {usage.ru_maxrss / 1024:.0f} MiB at most"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("target", nargs="?", default="iamf")
    parser.add_argument("seconds", type=float, nargs="?", default=240.0)
    main(**vars(parser.parse_args()))
