"""Pages of the documentation that are made from the code: settings, Python interface, scenario types, old names.

MkDocs calls `on_config`, `on_files` and `on_page_markdown`. No page is written into docs/, so none can become stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from omegaconf import DictConfig, OmegaConf

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from physworld import renamed  # noqa: E402
from physworld.settings.groups import scenario_sets  # noqa: E402
from physworld.settings.help import comments  # noqa: E402
from physworld.settings.messages import CONFIG_DIR  # noqa: E402
from physworld.sim import ood  # noqa: E402

PACKAGE = ROOT / "physworld"
MAINS = ("train", "evaluate", "predict", "simulate", "plan")
TABLE = ["| setting | default | meaning |", "| :-- | :-- | :-- |"]
CORE = ("types", "errors", "seeding", "data", "optim")  # loose modules, on one page of the Python interface
CLIPS = ROOT / "experiments" / "006_video" / "clips.png"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The pages made here join the reference's part of the navigation."""
    reference = next(entry["Reference"] for entry in config.nav or [] if "Reference" in entry)
    reference.append({"Scenario types": "reference/scenarios.md"})
    reference.append({"Settings": [*(f"reference/settings/{name}.md" for name in (*MAINS, *groups()))]})
    reference.append({"Python": [f"reference/api/{name}.md" for name in api_pages()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    pages = {f"reference/settings/{name}.md": settings_of_main(name) for name in MAINS}
    pages |= {f"reference/settings/{group}.md": settings_of_group(group) for group in groups()}
    pages |= {f"reference/api/{name}.md": api_page(name, modules) for name, modules in api_pages().items()}
    pages["reference/scenarios.md"] = (PACKAGE / "scenarios" / "README.md").read_text(encoding="utf-8")
    pages["reference/renamed.md"] = old_names()
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    files.append(File.generated(config, CLIPS.name, abs_src_path=str(CLIPS)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A picture that lies beside its experiment is shown here as well; other files of the repository are not linked."""
    return markdown.replace(f"../{CLIPS.relative_to(ROOT).as_posix()}", CLIPS.name)


# --- settings


def groups() -> list[str]:
    """Groups of conf/ that physworld itself defines, and the two that are made from code."""
    return sorted(
        [*(path.name for path in CONFIG_DIR.iterdir() if path.is_dir() and path.name != "hydra"), "ood", "scenario"]
    )


def said_of(file: Path) -> dict[str, str]:
    """Dotted key of an option's file -> its comment."""
    return comments([(file.relative_to(CONFIG_DIR).with_suffix("").as_posix(), "")])


def title(file: Path) -> str:
    """The first comment of a file, which says what the option is for."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.lstrip("# "))
    return " ".join(lines)


def rows(node: Any, said: dict[str, str], prefix: str = "") -> Iterator[str]:
    """A table row for each setting that can be given on the command line."""
    for key, value in node.items():
        name = f"{prefix}{key}"
        if key in ("_partial_", "_convert_"):
            continue
        if isinstance(value, dict) and value:
            if said.get(name):
                yield row(name, "", said[name])
            yield from rows(value, said, f"{name}.")
        else:
            yield row(name, value, said.get(name, ""))


def row(name: str, value: Any, comment: str) -> str:
    shown = (
        ""
        if value == ""
        else f"`{'null' if value is None else str(value).lower() if isinstance(value, bool) else value}`"
    )
    cells = [f"`{name}`", shown, comment]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def composed(main: str) -> DictConfig:
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose(main, return_hydra_config=True)


def of_option(group: str, name: Any) -> dict[str, str]:
    """Whole key -> comment of an option, and of the options that it starts from."""
    file = CONFIG_DIR / group / f"{name}.yaml"
    if not file.is_file():
        return {}
    source = file.read_text(encoding="utf-8")
    starts = [entry for entry in (yaml.safe_load(source) or {}).get("defaults", []) if isinstance(entry, str)]
    inside = "" if "@package _global_" in source else f"{group}."
    found: dict[str, str] = {}
    for start in starts:
        found |= of_option(group, start)
    return found | {f"{inside}{key}": comment for key, comment in said_of(file).items() if comment}


def settings_of_main(main: str) -> str:
    """Every setting of a command as it is composed without options."""
    cfg = composed(main)
    choices = {group: name for group, name in cfg.hydra.runtime.choices.items() if not group.startswith("hydra")}
    said: dict[str, str] = {}
    for group, name in choices.items():
        said |= of_option(group, name)
    file = CONFIG_DIR / f"{main}.yaml"
    said |= {key: comment for key, comment in said_of(file).items() if comment}
    tree = OmegaConf.to_container(OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"]))
    links = [f"| [`{g}`]({g}.md) | `{'null' if n is None else n}` |" for g, n in choices.items() if g in groups()]
    return "\n".join(
        [f"# {main}.py", "", title(file), "", "## Groups", "", "| group | default |", "| :-- | :-- |", *links, "",
         "## Settings", "", "As composed without options; give any of them as `KEY=VALUE`.", "",
         *TABLE, *rows(tree, said)]
    )  # fmt: skip


def settings_of_group(group: str) -> str:
    """Every option of a group: what it is for, and what its file sets."""
    lines = [f"# {group}", ""]
    if group == "scenario":
        lines += ["Made from the files in `physworld/scenarios`. Several types: `scenario.names=[a,b]`.", "",
                  "| option | types |", "| :-- | :-- |"]  # fmt: skip
        return "\n".join([*lines, *(f"| `{k}` | {', '.join(v)} |" for k, v in scenario_sets().items())])
    if group == "ood":
        lines += ["Made from `physworld/sim/ood.py`. `ood.level` (above 0, at most 1): how far a scene is moved.", "",
                  *(f"* `ood={name}`" for name in ("none", *ood.FAMILIES))]  # fmt: skip
        return "\n".join(lines)
    for file in sorted((CONFIG_DIR / group).glob("*.yaml")):
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        chosen = [entry for entry in tree.pop("defaults", []) if entry != "_self_"]
        package = "" if "@package _global_" in file.read_text(encoding="utf-8") else f"{group}."
        lines += [f"## {group}={file.stem}", "", title(file), ""]
        starts = [f"`{entry}`" for entry in chosen if isinstance(entry, str)]
        brings = [
            f"`{k.removeprefix('override ').lstrip('/')}={v}`"
            for e in chosen
            if isinstance(e, dict)
            for k, v in e.items()
        ]
        lines += [f"Starts from {', '.join(starts)}.", ""] if starts else []
        lines += [f"Brings {', '.join(brings)}.", ""] if brings else []
        said = {f"{package}{key}": comment for key, comment in said_of(file).items()}
        table = list(rows(tree, said, package))
        lines += [*TABLE, *table, ""] if table else []
    return "\n".join(lines)


# --- the Python interface


def api_pages() -> dict[str, list[str]]:
    """Page -> the modules on it: one page for each package below physworld, one for its loose modules."""
    pages: dict[str, list[str]] = {"core": [f"physworld.{name}" for name in CORE]}
    for package in sorted(path.parent for path in PACKAGE.glob("*/__init__.py")):
        if package.name in ("models", "scenarios"):
            continue
        files = [path for path in sorted(package.rglob("*.py")) if not path.name.startswith("_")]
        if files:
            pages[package.name] = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    return pages


def api_page(name: str, modules: list[str]) -> str:
    head = "The modules that everything else uses." if name == "core" else f"Modules of `physworld/{name}`."
    return "\n\n".join([f"# {name}", head, *(f"::: {module}" for module in modules)])


def old_names() -> str:
    """What physworld/renamed.py still reads."""
    text = (
        "Configurations of old runs, saved networks and typed commands may still use these names; a command that does "
        "prints the new one. The table is `physworld/renamed.py`."
    )
    lines = ["# Old names", "", text, ""]
    for head, table in (("Settings", renamed.SETTINGS), ("Options", renamed.CHOICES), ("Classes", renamed.CLASSES)):
        lines += [
            f"## {head}",
            "",
            "| old | new |",
            "| :-- | :-- |",
            *(f"| `{old}` | `{new}` |" for old, new in table.items()),
            "",
        ]
    return "\n".join(lines)
