"""Pictures of the documentation that notebooks draw: `python docs/notebook_pictures.py`, or some of them by number.

Each notebook is executed as it stands (at most three minutes of one core), its seconds are printed, and the pictures
named in KEPT are written to docs/NAME.png or .gif. Needs the packages of the extra `dev`.

    python docs/notebook_pictures.py 06
    python docs/notebook_pictures.py --time         # all seven, timed; no picture is written
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# Number of the notebook -> place among its pictures -> name in docs/.
KEPT = {
    "03": {0: "one_step_curves"},
    "05": {8: "placebo_ppe"},
    "07": {-1: "judge_track"},
    "06": {0: "spatial_scene", 2: "spatial_ears"},
}


def pictures(notebook: Any) -> list[tuple[str, bytes]]:
    """(suffix, content) of all that the cells show, in order."""
    found = []
    for cell in notebook.cells:
        for out in cell.get("outputs", []):
            data = out.get("data", {})
            inside = re.search(r'src="data:image/(gif|png);base64,([^"]+)"', data.get("text/html", ""))
            if inside:
                found.append((inside[1], base64.b64decode(inside[2])))
            for suffix in ("png", "gif"):
                if f"image/{suffix}" in data:
                    found.append((suffix, base64.b64decode(data[f"image/{suffix}"])))
    return found


def run(path: Path) -> Any:
    """The executed notebook; prints how long it took."""
    notebook = nbformat.read(path, as_version=4)
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": folder}})
        client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{path.stem}: {time.monotonic() - begun:.0f} s, {spent:.0f} s of CPU", flush=True)
    return notebook


def main() -> None:
    every = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", metavar="NUMBER", help=f"of {', '.join(every)}; by default all")
    parser.add_argument("--time", action="store_true", help="write no picture")
    options = parser.parse_args()
    if unknown := sorted(set(options.numbers) - set(every)):
        parser.error(f"{unknown[0]} is no notebook; choose among {', '.join(every)}.")
    for number in options.numbers or (every if options.time else KEPT):
        shown = pictures(run(every[number]))
        for place, name in ({} if options.time else KEPT.get(number, {})).items():
            suffix, content = shown[place]
            written = HERE / f"{name}.{suffix}"
            written.write_bytes(content)
            print(f"{written.relative_to(ROOT)}: {len(content) // 1000} kB")


if __name__ == "__main__":
    main()
