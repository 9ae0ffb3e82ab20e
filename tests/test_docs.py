"""README, docs/ and CONTRIBUTING say what is there: links and paths exist, commands compose, examples run."""

from __future__ import annotations

import ast
import dataclasses
import functools
import pkgutil
import re
import shlex
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

import physworld as physworld_package
from physworld import renamed
from physworld.cli import main as physworld
from physworld.metrics.scores import Metric
from physworld.types import Trajectory

from plain_texts import trajectory
from repository import CONF, ROOT, composed

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [*sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "physworld").rglob("README.md"))]
PAGES += [ROOT / "benchmarks" / "README.md", ROOT / "experiments" / "README.md"]
each = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
MAINS = ("train", "evaluate", "predict", "simulate", "plan")
MAIN = re.compile(rf"(?:python |physworld |torchrun .*?)({'|'.join(MAINS)})(?:\.py)? ")
# What begins in one of the repository's folders and ends in a file's suffix.
NAMED = re.compile(r"`((?:physworld|conf|tests|docs|benchmarks|notebooks|experiments)/[\w./-]+)`")
NEW = re.compile(r"[A-Z_]+")  # what the reader is to name
GROUPS = {"scenario", "ood", *(path.name for path in CONF.iterdir() if path.is_dir())}


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and MkDocs make them."""
    heads = re.findall(r"^#+ (.*)$", text(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """(main, overrides) of every command in a page, in blocks and in the middle of a line."""
    for line in re.sub(r" \\\n\s*", " ", text(page)).splitlines():
        for found in [line, *re.findall(r"`([^`]+)`", line)]:
            match = MAIN.match(found.strip())
            if match:
                words = shlex.split(
                    found.strip()[match.end() :].partition("  #")[0].partition(" # ")[0], comments=False
                )
                yield match[1], words


def overrides(words: list[str]) -> list[str]:
    """What Hydra composes: no flags, nothing that the reader is to name, of a sweep the first value."""
    kept = []
    for word in words:
        key, given, value = word.partition("=")
        if not given or word.startswith("-") or key.startswith("hydra") or NEW.fullmatch(value) or "|" in value:
            continue  # what begins with hydra is of launchers, which are packages of their own
        if "-m" in words and not value.startswith("["):
            value = value.partition(",")[0]
        kept.append(f"{key}={value}")
    return kept


@functools.cache
def chosen(main: str, *groups: str) -> DictConfig:
    return composed(main, *groups)


def check(main: str, words: list[str]) -> None:
    """Groups are composed; every other override has to name a key of what they give (quicker than composing it too)."""
    given = [override.partition("=")[::2] for override in overrides(words)]
    groups = [f"{key}={value}" for key, value in given if key in GROUPS]
    cfg = chosen(main, *groups)
    for key in [key for key, _ in given if key not in GROUPS]:
        parent, _, leaf = key.rpartition(".")
        node = OmegaConf.select(cfg, parent, throw_on_missing=True) if parent else cfg
        assert node is not None and leaf in node, f"{key} is unknown"


def test_the_readme_is_short() -> None:
    assert len(text(ROOT / "README.md").splitlines()) <= 150


@each
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text(page), flags=re.DOTALL)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@each
def test_paths_exist(page: Path) -> None:
    named = {path for path in NAMED.findall(text(page)) if not re.search(r"NAME|NNN|/group/", path)}
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.slow
@each
def test_commands_compose(page: Path) -> None:
    for main, words in commands(page):
        try:
            check(main, words)
        except Exception as error:
            raise AssertionError(f"{page.name}: {main}.py {' '.join(words)}: {error}") from error


@each
def test_settings_have_todays_names(page: Path) -> None:
    if page.name != "CHANGELOG.md":  # tells of the old ones
        old = [*renamed.SETTINGS, *renamed.CHOICES]
        assert [name for name in old if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w])", text(page))] == []


def test_a_command_that_does_not_compose_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```\npython train.py model=nonsense  # a comment\n```\nor `python simulate.py count=3`\n")
    assert list(commands(page)) == [("train", ["model=nonsense"]), ("simulate", ["count=3"])]
    with pytest.raises(Exception, match="nonsense"):
        check("train", ["model=nonsense"])
    with pytest.raises(AssertionError, match="nonsense is unknown"):
        check("train", ["model.nonsense=3"])


def test_the_navigation_has_every_page() -> None:
    def names(node: Any) -> Iterator[str]:
        if isinstance(node, str):
            yield node
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from names(child)

    # Its icons are tags of MkDocs' own; the navigation is plain.
    head = "\nnav:\n"
    navigation = yaml.safe_load(text(ROOT / "mkdocs.yml").partition(head)[2])
    made = {"reference/renamed.md"}  # by docs/hooks.py
    written = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert set(names(navigation)) == written | made


def test_python_in_the_pages_can_be_read_and_imports_what_exists() -> None:
    for page in PAGES:
        for block in re.findall(r"^( *)```python\n(.*?)^ *```", text(page), flags=re.DOTALL | re.MULTILINE):
            code = re.sub(rf"^{block[0]}", "", block[1], flags=re.MULTILINE)
            tree = ast.parse(code if not code.startswith('"centre') else f"{{{code}}}")
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and re.match(r"physworld\b(?!\.sines)", node.module or ""):
                    for alias in node.names:  # sines is the modality that a page adds
                        pkgutil.resolve_name(f"{node.module}:{alias.name}")


def test_the_example_scenario_is_one() -> None:
    """docs/how_to/scenario.md: bodies inside the picture, apart, at every difficulty."""
    code = re.search(r"```python\n(.*?)```", text(ROOT / "docs" / "how_to" / "scenario.md"), flags=re.DOTALL)
    assert code is not None
    space: dict[str, Any] = {}
    exec(code[1], space)
    for difficulty in range(1, 6):
        for seed in range(20):
            scene = space["build"](np.random.default_rng(seed), difficulty)
            position, reach = scene.state.position, scene.bodies[0].reach
            apart = np.linalg.norm(position[:, None] - position, axis=-1) + np.eye(len(position)) * 1e3
            assert apart.min() >= 2 * reach
            assert (position > 50 + reach).all() and (position < np.array([750, 550]) - reach).all()


def test_the_example_metric_is_one() -> None:
    """docs/how_to/metric.md: the function and its entry, zero for equal trajectories and the shift of shifted ones."""
    page = text(ROOT / "docs" / "how_to" / "metric.md")
    function, entry = (textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL))
    space: dict[str, Any] = {"np": np, "Trajectory": Trajectory, "Metric": Metric}
    exec(f"from __future__ import annotations\n{function}\nMETRICS = {{{entry}}}", space)
    (metric,) = space["METRICS"].values()
    truth = trajectory(5)
    shifted = dataclasses.replace(truth, position=truth.position + np.array([3.0, 4.0]))
    assert metric.function(truth, truth) == 0
    assert abs(metric.function(truth, shifted) - 5) < 1e-9


def test_the_example_modality_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/how_to/modality.md: its source, codec and task make a batch and a loss."""
    page = text(ROOT / "docs" / "how_to" / "modality.md")
    sines, task = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    data, codec = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    package, inner = types.ModuleType("physworld.sines"), types.ModuleType("physworld.sines.sines")
    package.sines = inner  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "physworld.sines", package)
    monkeypatch.setitem(sys.modules, "physworld.sines.sines", inner)
    monkeypatch.setattr(physworld_package, "sines", package, raising=False)
    exec(sines, vars(inner))
    space: dict[str, Any] = {}
    exec(task, space)
    cfg = composed("train", "debug=smoke", "hardware=cpu", "hardware.num_workers=0")
    cfg = OmegaConf.merge(cfg, {"global_batch": 8})
    cfg.data, cfg.codec = OmegaConf.create(data), OmegaConf.create(codec)
    parts = space["build"](cfg)
    batch = next(iter(parts.data.train_dataloader()))
    network = parts.module.network
    logits, target, _ = network.scored(batch.input_ids, batch.labels)
    assert len(target) == 8 * 17 and bool(network.losses(logits, target).isfinite().all())
    sample = parts.data.train.sample(3)
    back = parts.data.codec.decode(parts.data.codec.encode(sample).input_ids[17:], sample.given)
    assert np.abs(back - sample.target).max() <= 0.005 + 1e-12
    assert set(space["score"](network.eval(), parts.data.codec, seed=0, split="val", count=2)) >= {"rmse", "parse_rate"}


def test_the_verbs_that_the_pages_name_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        physworld(["--help"])
    known = capsys.readouterr().out
    blocks = [block for page in PAGES for block in re.findall(r"```\n(.*?)```", text(page), flags=re.DOTALL)]
    said = {verb for block in blocks for verb in re.findall(r"^physworld (\w+)", block, flags=re.MULTILINE)}
    assert said and sorted(verb for verb in said if verb not in known) == []
