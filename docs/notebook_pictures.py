"""Pictures of the documentation that notebooks draw: `python docs/notebook_pictures.py`, or some of them by number.

Each notebook is executed as it stands (one to three minutes of one core), and the pictures named in KEPT are written to
docs/NAME.png or .gif. Needs the packages of the extra `dev`.

    python docs/notebook_pictures.py 06
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# Number of the notebook -> place among its pictures -> name in docs/.
KEPT = {
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", metavar="NUMBER", help=f"{', '.join(KEPT)}; by default all of them")
    options = parser.parse_args()
    if unknown := sorted(set(options.numbers) - set(KEPT)):
        parser.error(f"{unknown[0]} is no notebook with pictures in docs/; choose among {', '.join(KEPT)}.")
    for number in options.numbers or KEPT:
        (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            client = NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": folder}})
            client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})
        shown = pictures(notebook)
        for place, name in KEPT[number].items():
            suffix, content = shown[place]
            written = HERE / f"{name}.{suffix}"
            written.write_bytes(content)
            print(f"{written.relative_to(ROOT)}: {len(content) // 1000} kB")


if __name__ == "__main__":
    main()
