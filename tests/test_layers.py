"""Imports point only downwards: L0 data, L1 physics, L2 samples and text, L3 learning, L4 everything together."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "physworld"
LAYERS = {
    0: ("types", "seeding", "files"),
    1: (
        "geometry", "scenarios", "sim", "pen", "render", "metrics", "baselines", "ood", "gallery", "strips",
        "published", "spatial",
    ),
    2: ("sources", "codecs"),
    3: ("data", "clip_data", "models"),
    4: (
        "rollout", "report", "run", "runs", "evaluation", "training", "callbacks", "checkpoints", "hardware", "errors",
        "conf_store", "cli", "checks", "tasks", "generation", "candidates", "charts",
        "exhibits", "judging", "paper", "pictures", "placing", "ranking",
        "recorded", "report_html", "sections", "store", "suites",
        "spatial_evaluation", "spatial_report", "outlets",
        "video_judge", "video_report", "video_files", "video_scores", "video_callbacks",
        "pairing", "artefacts", "speed", "stages", "gguf_file", "own_states",
    ),
}  # fmt: skip
LAYER = {name: layer for layer, names in LAYERS.items() for name in names}
CONFIGURATION = {"hydra", "omegaconf"}
# What a model may know of a codec without knowing which codec it is.
ABSTRACT = {"physworld.lm.vocabulary"}


def imported(source: str, module: str) -> set[str]:
    """Absolute names of everything a module imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parent, *([node.module] if node.module else [])])
            # `from physworld import runs` names a module, `from physworld.runs.directory import find_run` names a thing in one.
            found |= {f"{base}.{alias.name}" if base == "physworld" else base for alias in node.names}
    return found


def part_of(module: str) -> str:
    """'physworld.sim.pymunk_sim' -> 'sim'."""
    return module.split(".")[1]


def complaints(module: str, source: str) -> list[str]:
    """Every arrow of one module that points the wrong way."""
    mine = part_of(module)
    if mine not in LAYER:
        return [f"{module} has no layer: add it to LAYERS"]
    layer, wrong = LAYER[mine], []
    for name in sorted(imported(source, module)):
        outer = name.split(".")[0]
        if outer != "physworld":
            third_party = outer not in sys.stdlib_module_names
            if layer == 0 and third_party and outer != "numpy":
                wrong.append(f"{module} (L0) imports {outer}")
            if layer <= 1 and outer in ("torch", "lightning"):
                wrong.append(f"{module} (L{layer}) imports {outer}")
            if layer < 4 and outer in CONFIGURATION:
                wrong.append(f"{module} (L{layer}) imports {outer}")
            continue
        if name == "physworld":
            continue
        theirs = part_of(name)
        if LAYER.get(theirs, 4) > layer:
            wrong.append(f"{module} (L{layer}) imports {name} (L{LAYER.get(theirs, 4)})")
        if {mine, theirs} == {"models", "sources"}:
            wrong.append(f"{module} imports {name}: models and sources meet in Batch only")
        if mine in ("data", "clip_data", "models") and theirs == "codecs" and name not in ABSTRACT:
            wrong.append(f"{module} imports {name}: run.py passes the codec in")
    return wrong


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name != "physworld":
            found.append((name, path))
    return found


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_arrows_point_down(name: str, path: Path) -> None:
    assert complaints(name, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("physworld.types", "import scipy"),
        ("physworld.types", "from physworld.sim.pymunk_sim import simulate"),
        ("physworld.sim.pymunk_sim", "import torch.nn"),
        ("physworld.metrics.errors", "from physworld.text.codecs.card import CardCodec"),
        ("physworld.text.codecs.card", "from omegaconf import DictConfig"),
        ("physworld.lm.gpt", "from physworld.text.sources.physics import PhysicsSource"),
        ("physworld.text.sources.physics", "def f():\n    from physworld import models"),
        ("physworld.lm.gpt", "from ..codecs import impulse"),
        ("physworld.data", "import physworld.text.codecs.impulse"),
        ("physworld.data", "from physworld import run"),
        ("physworld.novelty", ""),
    ],
)
def test_the_check_sees_a_wrong_arrow(module: str, line: str) -> None:
    assert complaints(module, line)


def test_mains_are_thin() -> None:
    for name in ("train", "evaluate", "predict", "simulate"):
        lines = (ROOT / f"{name}.py").read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 30, name
