"""`physworld play --export FOLDER`: the page as files that any web server can host, with nothing to compute on it.

The browser does what the server does otherwise: Chipmunk and the shipped model run as WebAssembly in a worker, the
codec and the geometry as JavaScript (web/), each tested equal to Python's. Why so, and not with Pyodide or onnxruntime:
docs/how_to/play.md.

    index.html  page/  what the served page is made of, with web/line.js in the place of page/line.js
    video.html  spatial.html  one sentence each: they need a server
    web/        the worker's modules, truth.wasm, think.wasm, weights.bin, text.json (words and sizes)
    scenes/     choices.json, and TYPE.json: difficulty -> scenes, fetched when they are asked for
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from string import Template
from typing import Any

from physworld import scenarios
from physworld.errors import UserError
from physworld.io.placing import placing
from physworld.play import limits
from physworld.play.page_text import files, scene_keys, text_of
from physworld.play.wasm import WEB, compiled
from physworld.play.weights import check, weights_of
from physworld.science import load
from physworld.seeding import generator
from physworld.text.codecs.islands import IslandCodec
from physworld.text.codecs.scene_json import scene_to_dict
from physworld.text.evaluation.baselines import BASELINES

PAGE = Path(__file__).parent / "page"
VARIANTS = 3  # scenes of each type and difficulty
ELSEWHERE = {  # tabs that need a server, and why
    "video": "Clips are simulated by NVIDIA Warp and sampled by PyTorch, which no browser runs.",
    "spatial": "Rules are judged and scenes are written by Python, which this page does without.",
}
# As of the server, and WebAssembly may be compiled.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; script-src 'self' 'wasm-unsafe-eval'; "
    "worker-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'"
)


def choices(models: list[str]) -> dict[str, Any]:
    """What the page offers: scene types, their categories, and models."""
    return {
        "types": [
            {"name": name, "category": scenarios.category(name), "held_out": name in scenarios.HELD_OUT}
            for name in scenarios.names()
        ],
        "categories": list(scenarios.CATEGORIES),
        "models": models,
    }


def export(folder: Path, *, chipmunk: Path | None = None) -> list[tuple[str, int]]:
    """Write the page; the same command may run again over what it made.

    Args:
        chipmunk: pymunk's source distribution; None = fetched by pip, or kept from the last time.

    Returns:
        (file, bytes), the largest first.

    Raises:
        UserError: a tool is missing, or another file lies where one belongs.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--export {folder} is a file; give a folder.")
    binaries = compiled(chipmunk)
    model = load("shipped")
    assert isinstance(model.codec, IslandCodec)  # what was shipped is known
    weights, sizes = weights_of(check(model.network))
    with placing(folder, "--export") as work:
        (work / "scenes").mkdir()
        _page(work)
        for name, data in {**binaries, "weights.bin": weights}.items():
            (work / "web" / name).write_bytes(data)
        _write(
            work / "web" / "text.json",
            {
                **text_of(model.codec),
                "sizes": sizes,
                "limits": limits.for_page(),
                "files": files(),
                "scene": scene_keys(),
            },
        )
        _write(work / "scenes" / "choices.json", choices(["shipped", *BASELINES]))
        for name in scenarios.names():
            _write(work / "scenes" / f"{name}.json", {level: _scenes(name, level) for level in range(1, 6)})
    made = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(((str(path.relative_to(folder)), path.stat().st_size) for path in made), key=lambda file: -file[1])


def _page(work: Path) -> None:
    """HTML, style and scripts."""
    needs_server = [f"{tab}*" for tab in ELSEWHERE] + ["sphere.js", "hearing.js"]
    shutil.copytree(PAGE, work / "page", ignore=shutil.ignore_patterns("index.html", "line.js", *needs_server))
    shutil.copytree(WEB, work / "web", ignore=shutil.ignore_patterns("*.c", "*.html", "line.js"))
    shutil.copyfile(WEB / "line.js", work / "page" / "line.js")
    pages = {"index": (PAGE / "index.html").read_text(encoding="utf-8")}
    empty = Template((WEB / "elsewhere.html").read_text(encoding="utf-8"))
    for tab, sentence in ELSEWHERE.items():
        pages["index"] = pages["index"].replace(f'href="{tab}"', f'href="{tab}.html"')
        link = f'href="{tab}.html"'
        pages[tab] = empty.substitute(title=tab, sentence=sentence).replace(link, f'{link} aria-current="page"')
    policy = f'<head>\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    for name, html in pages.items():
        (work / f"{name}.html").write_text(html.replace("<head>", policy, 1), encoding="utf-8")


def _scenes(name: str, difficulty: int) -> list[dict[str, Any]]:
    """The first scenes that the served page draws."""
    return [scene_to_dict(scenarios.build(name, generator(0, "val", k), difficulty)) for k in range(VARIANTS)]


def _write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, separators=(",", ":"), allow_nan=False), encoding="utf-8")
