"""The plan of the house: arrows point down, nothing runs in a circle, and no system imports another.

A system is a folder of physworld that holds a task.py; it needs no entry here.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from repository import ROOT

PACKAGE = ROOT / "physworld"
SYSTEMS = {path.parent.name for path in PACKAGE.glob("*/task.py")}
FLOORS = (  # rooms of one floor do not import each other
    {"accumulators", "errors", "optim", "renamed", "seeding", "types"},
    {"protocols"},
    {"data", "io", "scenarios", "sim"},
    {"lm", "metrics", "reporting", "settings"},
    {"drawing", "models", "runs"},
    {"judge", "training"},
    SYSTEMS,
    {"datasets", "run", "science"},
    {"mains", "play", "serve"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
CONFIGURATION = {"hydra", "omegaconf"}
KNOW_HYDRA = {"mains", "run", "runs", "settings", "training"}
VERBS = {
    "build",
    "candidates",
    "conclude",
    "controls",
    "evaluate",
    "plan",
    "predict",
    "simulate",
    "task",
}  # of a system: know Hydra, too
PLAIN = {"errors", "renamed", "seeding", "types"}  # the standard library and numpy alone
NO_TORCH = {"errors", "io", "metrics", "scenarios", "seeding", "sim", "types"}  # they load in a blink


def imported(source: str, module: str, known: set[str]) -> set[str]:
    """Absolute names of everything a module imports, wherever in the file; `from package import module` is module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parent, *([node.module] if node.module else [])])
            found |= {name if (name := f"{base}.{alias.name}") in known else base for alias in node.names}
    return found


def room(module: str) -> str:
    """'physworld.sim.pymunk_sim' -> 'sim'."""
    return module.split(".")[1]


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def complaints(module: str, source: str) -> list[str]:
    """Every arrow of one module that points the wrong way."""
    mine, wrong = room(module), []
    if mine not in FLOOR:
        return [f"{module} stands on no floor: add {mine} to FLOORS"]
    for name in sorted(imported(source, module, set(MODULES))):
        outer = name.split(".")[0]
        if outer != "physworld":
            if mine in PLAIN and outer not in sys.stdlib_module_names and outer != "numpy":
                wrong.append(f"{module} imports {outer}")
            if mine in NO_TORCH and outer in ("torch", "lightning", "transformers", "diffusers"):
                wrong.append(f"{module} imports {outer}")
            knows = mine in KNOW_HYDRA or (mine in SYSTEMS and module.split(".")[2] in VERBS)
            if outer in CONFIGURATION and not knows:
                wrong.append(f"{module} imports {outer}")
        elif name != "physworld" and room(name) != mine and FLOOR.get(room(name), 99) >= FLOOR[mine]:
            wrong.append(f"{module} (floor {FLOOR[mine]}) imports {name} (floor {FLOOR.get(room(name))})")
    return wrong


def arrows() -> dict[str, set[str]]:
    known = set(MODULES)
    return {name: imported(path.read_text(encoding="utf-8"), name, known) & known for name, path in MODULES.items()}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a loop; empty where there is none."""
    state: dict[str, int] = {}

    def visit(name: str, trail: list[str]) -> list[str]:
        state[name] = 1
        for other in sorted(graph[name] - {name}):
            if state.get(other) == 1:
                return [*trail[trail.index(other) :], other] if other in trail else [name, other]
            if other not in state and (found := visit(other, [*trail, other])):
                return found
        state[name] = 2
        return []

    for name in graph:
        if name not in state and (found := visit(name, [name])):
            return found
    return []


@pytest.mark.parametrize("name", [name for name in MODULES if name != "physworld"])
def test_arrows_point_down(name: str) -> None:
    assert complaints(name, MODULES[name].read_text(encoding="utf-8")) == []


def test_nothing_runs_in_a_circle() -> None:
    assert circle(arrows()) == []


def test_a_circle_is_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]


def test_there_are_three_systems() -> None:
    assert {"text", "video", "spatial"} <= SYSTEMS


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("physworld.types", "import scipy"),
        ("physworld.types", "from physworld.sim.pymunk_sim import simulate"),
        ("physworld.sim.pymunk_sim", "import torch.nn"),
        ("physworld.metrics.errors", "from physworld.text.codecs.card import CardCodec"),
        ("physworld.text.codecs.card", "from omegaconf import DictConfig"),
        ("physworld.lm.gpt", "from physworld.text.sources.physics import PhysicsSource"),
        ("physworld.lm.gpt", "from physworld.runs.checkpoints import load_model"),
        ("physworld.lm.gpt", "def f():\n    from physworld import run"),
        ("physworld.lm.gpt", "from ..text.codecs import impulse"),
        ("physworld.lm.gpt", "from physworld.settings import checks"),
        ("physworld.text.rollout", "from physworld.spatial.scene import rules"),
        ("physworld.video.network", "from physworld.text.task import build"),
        ("physworld.data", "import physworld.text.codecs.impulse"),
        ("physworld.novelty", ""),
    ],
)
def test_the_check_sees_a_wrong_arrow(module: str, line: str) -> None:
    assert complaints(module, line)


def test_mains_are_thin() -> None:
    for name in ("train", "evaluate", "predict", "simulate"):
        lines = (ROOT / f"{name}.py").read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 30, name


def test_rooms_have_a_size() -> None:
    """A file of more than 400 lines holds more than one thought."""
    files = {*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")}
    assert [f"{path}" for path in sorted(files) if len(path.read_text(encoding="utf-8").splitlines()) > 400] == []
