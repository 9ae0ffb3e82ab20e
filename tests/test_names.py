"""Names in strings and globs find what they name: a file that moves would break them without an error."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Any

import pytest
import yaml

from physworld import renamed
from physworld.runs.directory import read_config
from physworld.runs.trusted import NAMES, trusted
from physworld.settings.messages import CONFIG_DIR
from physworld.spatial.scene.reading import schema
from physworld.text import shards
from physworld.text.evaluation import store
from physworld.video.backbones import SHIPPED

from repository import CONF, GOLDEN, ROOT

PACKAGE = ROOT / "physworld"


def targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from targets(value)


def configured() -> list[str]:
    """Every class that a configuration file names."""
    files = sorted(CONF.rglob("*.yaml"))
    return sorted({name for file in files for name in targets(yaml.safe_load(file.read_text()) or {})})


@pytest.mark.parametrize("name", configured())
def test_classes_of_the_configuration_exist_and_are_trusted(name: str) -> None:
    assert callable(resolve_name(name))
    assert trusted(name)


@pytest.mark.parametrize(
    "name",
    ["os.system", "physworld.run.train", "physworld.runs.directory.Path", "physworld.cli.main",
     "physworld.lm.gpt.turns", "physworld.settings.messages.Any", "physworld.io.atomic.Path",
     "physworld.lm.vllm_generator.VllmLM", "physworld.lm.gpt.torch.Generator", "physworld.lm.gpt.np.Generator",
     "physworld.text.build.evaluation.Evaluation"],
)  # fmt: skip
def test_other_names_are_not_trusted(name: str) -> None:
    assert not trusted(name)


def test_what_our_modules_import_from_elsewhere_is_not_trusted() -> None:
    """`physworld.text.report.figures.SummaryWriter` would write a folder for whoever names it."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            outside = isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("physworld")
            if outside or isinstance(node, ast.Import):
                names = [f"{module}.{one.asname or one.name}" for one in node.names]
                found.update({name: trusted(name) for name in names if NAMES.fullmatch(name)})
    assert "physworld.text.report.figures.SummaryWriter" in found and len(found) > 100
    assert [name for name, passes in found.items() if passes] == []
    assert trusted("physworld.lm.gpt.Nobody") and trusted("physworld.lm.nowhere.Nobody")  # who uses them finds none


@pytest.mark.parametrize(("old", "new"), sorted(renamed.CLASSES.items()))
def test_moved_classes_lie_where_the_table_says(old: str, new: str) -> None:
    assert isinstance(resolve_name(f"physworld.{new}"), type)
    assert old not in renamed.CLASSES.values()


def test_an_old_runs_configuration_reads_as_todays(tmp_path) -> None:
    """first_release.yaml is the shipped run's configuration as the first release wrote it."""
    (tmp_path / "config.yaml").write_text((GOLDEN / "first_release.yaml").read_text())
    assert read_config(tmp_path) == read_config(PACKAGE / "pretrained")


def test_the_cache_digest_reads_everything_that_makes_an_answer() -> None:
    for pattern in store.ANSWERING:
        assert list(store.PACKAGE.glob(pattern)), pattern
    read = {path.relative_to(PACKAGE).as_posix() for pattern in store.ANSWERING for path in PACKAGE.glob(pattern)}
    assert {"text/rollout.py", "text/codecs/impulse.py", "lm/gpt.py", "lm/kv_cache.py", "sim/contacts.py"} <= read


def test_the_shard_digest_reads_everything_that_shapes_a_shard() -> None:
    for pattern in shards.SHAPING:
        assert list(shards.PACKAGE.glob(pattern)), pattern
    read = {
        path.relative_to(PACKAGE).as_posix()
        for pattern in shards.SHAPING
        for place in PACKAGE.glob(pattern)
        for path in shards._python_files(place)
    }
    wanted = {"types/scenes.py", "sim/chipmunk.py", "sim/ood.py", "scenarios/tower.py", "text/codecs/scene_parquet.py"}
    assert wanted | {"text/shards.py", "io/compression.py", "errors.py"} <= read


def test_folders_that_code_names_are_there() -> None:
    assert (CONFIG_DIR / "train.yaml").is_file()
    assert (SHIPPED / "config.json").is_file()
    assert schema("scene")["type"] == "object" and schema("payload")["type"] == "object"


def test_every_codec_option_is_named_as_its_class() -> None:
    """Messages make `codec=engine` of EngineCodec."""
    for file in sorted((CONF / "codec").glob("*.yaml")):
        name = yaml.safe_load(file.read_text())["_target_"].rpartition(".")[2]
        assert re.fullmatch(r"[A-Z]\w*Codec", name)


def test_no_trusted_class_starts_a_program() -> None:
    """A stranger's run may name any of them, with any settings."""
    starting = re.compile(r"subprocess|Popen|os\.(system|exec|spawn|popen)|runpy|importlib|(?<![.\w])(eval|exec)\(")
    found = []
    for path in sorted((ROOT / "physworld").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and trusted(f"{module}.{node.name}"):
                found += [node.name] if starting.search(ast.get_source_segment(text, node) or "") else []
    assert found == []
