"""What an object can do is said by its Protocol (physworld/protocols.py): nobody feels for it with `hasattr`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from repository import ROOT

PACKAGE = ROOT / "physworld"
CONFIG = "configurations of transformers models differ from family to family"
ALLOWED = {  # file -> (times, why)
    "errors.py": (4, "partials that Hydra made, and errors of libraries of many kinds"),
    "lm/generator.py": (1, CONFIG),
    "lm/gguf.py": (1, CONFIG),
    "lm/kv_cache.py": (5, CONFIG),
    "lm/packed_lm.py": (2, CONFIG),
    "lm/packing.py": (5, CONFIG),
    "lm/parts.py": (6, f"{CONFIG}; 4-bit weights are bitsandbytes' own"),
    "scenarios/__init__.py": (1, "a scenario's module may leave its sources of energy out"),
    "training/hardware.py": (1, "not every system's os knows which cores a process may use"),
    "video/network.py": (1, "diffusers gives a transformer this attribute with its first adapter"),
}


def feelers(source: str) -> Iterator[int]:
    """Lines that ask an object what it is by `hasattr`, `getattr` with a default, or a partial's `keywords`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr == "keywords":
            yield node.lineno
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name, count = node.func.id, len(node.args)
            if name == "hasattr" or (name == "getattr" and count == 3):
                yield node.lineno


def test_objects_are_asked_by_their_protocol() -> None:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        lines = list(feelers(path.read_text(encoding="utf-8")))
        if lines:
            found[path.relative_to(PACKAGE).as_posix()] = len(lines)
    assert found == {file: times for file, (times, _) in ALLOWED.items()}


def test_codecs_have_a_type() -> None:
    for system in ("lm", "runs", "text", "spatial"):
        for path in sorted((PACKAGE / system).rglob("*.py")):
            assert "codec: Any" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("line", ["hasattr(x, 'y')", "getattr(x, 'y', None)", "make.keywords['network']"])
def test_the_check_sees_a_feeler(line: str) -> None:
    assert list(feelers(line)) == [1]


@pytest.mark.parametrize("line", ["getattr(x, name)", "keywords = 3", "'hasattr(x, y)'"])
def test_the_check_lets_others_pass(line: str) -> None:
    assert not list(feelers(line))
