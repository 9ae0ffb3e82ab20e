"""--help: the groups and keys of a main on two screens, or one node with what the configuration files say of it."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from physworld.errors import UserError
from physworld.settings.messages import CONFIG_DIR, explain_key, option_names

OF_GROUP = re.compile(r"^  - (\w+): \w+ # (.+)$", re.MULTILINE)  # what a main says of a group, in its defaults
GROUPS = {
    "scenario": "what is simulated: default, seen, heldout, all, a category, or one type",
    "curriculum": "how hard the scenes are: a stage, a mixture, or a schedule",
    "ood": "moves every scene out of distribution; ood.level (0 to 1) says how far",
    "data": "where samples come from",
    "codec": "how a sample is written as tokens and read back",
    "model": "the network, its optimiser and its learning rate",
    "hardware": "devices, precision, micro-batch; never changes the experiment",
    "logger": "where curves and pictures go; several: logger=[tensorboard,csv]",
    "early_stopping": "ends a run that no longer improves",
    "evaluation": "how a model is scored",
    "suite": "which scenes are scored",
    "debug": "three steps through everything, one batch, a profile, or a step made again",
    "experiment": "named combinations worth repeating",
    "hparams_search": "searches, with -m",
}


def show(verb: str, does: str, arguments: Sequence[str]) -> None:
    """Print the help of a main, or of the nodes that are named beside --help.

    Raises:
        UserError: there is no such node.
    """
    overrides = [a for a in arguments if "=" in a and not a.startswith("-")]
    nodes = [a for a in arguments if "=" not in a and not a.startswith(("-", "~"))]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        cfg = compose(verb, overrides, return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        files = loader.compute_defaults_list(verb, overrides, RunMode.RUN).defaults
    groups = [group for group in GROUPS if group in cfg.hydra.runtime.choices]
    said = comments((str(file.config_path), str(file.package or "")) for file in files)
    lines: list[str] = []
    for node in nodes:
        lines += _of_node(node, cfg, said, groups, verb, overrides)
    print("\n".join(lines or _overview(verb, does, cfg, said, groups)))


def _overview(verb: str, does: str, cfg: DictConfig, said: dict[str, str], groups: Sequence[str]) -> list[str]:
    program = sys.argv[0] if sys.argv[0].startswith("physworld ") else f"python {Path(sys.argv[0]).name}"
    lines = [
        does, "",
        f"  {program} GROUP=OPTION KEY=VALUE ...   run with that choice; -m KEY=A,B runs every combination",
        f"  {program} --help NODE                  a group or a node (model, model.network) with its comments",
        f"  {program} --cfg job                    the whole configuration; --hydra-help: Hydra's own flags",
        f"  {program} quiet=true ...               nothing on the screen but mistakes", "",
        "Groups, with what is chosen now",
    ]  # fmt: skip
    own = dict(OF_GROUP.findall((CONFIG_DIR / f"{verb}.yaml").read_text(encoding="utf-8")))
    for group in groups:
        chosen = cfg.hydra.runtime.choices[group]
        lines += [f"  {f'{group}={chosen or chr(45)}':<22}{own.get(group, GROUPS[group])}"]
        if group not in ("scenario", "ood") and (chosen or group not in own):
            named = [f"{name}{_size(group, name)}" for name in option_names(group)]
            if len(named) < 4:  # beside what the group is
                lines[-1] += f": {', '.join(named)}"
                continue
            lines += textwrap.wrap(", ".join(named), 120, initial_indent=" " * 24, subsequent_indent=" " * 24)
    lines += ["", "Settings"]
    for key in cfg:
        if key not in (*groups, "hydra", "trainer") and cfg[key] != {}:  # which some other option fills
            value = cfg[key] if not isinstance(cfg[key], DictConfig) else "..."
            lines.append(_cut(f"  {f'{key!s}={_plain(value)} ':<22}{said.get(str(key), '')}").rstrip())
    return lines


def _of_node(
    node: str, cfg: DictConfig, said: dict[str, str], groups: Sequence[str], verb: str, overrides: Sequence[str]
) -> Iterator[str]:
    if node in groups:
        yield f"{node}: {GROUPS[node]}"
        names = option_names(node)
        width = max(map(len, names)) + 2
        listed = names if len(names) <= 40 else []
        yield from (_cut(f"  {name:<{width}}{_title(node, name)}") for name in listed)
        if not listed:
            yield from textwrap.wrap(", ".join(names), 118, initial_indent="  ", subsequent_indent="  ")
        if node not in cfg:
            return
        yield ""
    value = OmegaConf.select(cfg, node)
    if value is None and (unknown := explain_key(node, verb, overrides)):
        raise UserError(unknown)
    if not isinstance(value, DictConfig):
        yield f"{node}: {_plain(value)}{_behind(said.get(node))}"
        return
    yield f"{node}:{_behind(said.get(node))}"
    yield from _written(OmegaConf.to_container(value), said, f"{node}.", "  ")


def _written(tree: Any, said: dict[str, str], at: str, indent: str) -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{key}:{_behind(said.get(f'{at}{key}'))}"
            yield from _written(value, said, f"{at}{key}.", f"{indent}  ")
        else:
            yield f"{indent}{key}: {_plain(value)}{_behind(said.get(f'{at}{key}'))}"


def _behind(comment: str | None) -> str:
    return f"  # {comment}" if comment else ""


def _plain(value: Any) -> str:
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"[{', '.join(map(_plain, value))}]" if isinstance(value, list) else str(value)


def _cut(line: str) -> str:
    """As much as a terminal is wide; all of it for a file or another program."""
    return line[: shutil.get_terminal_size().columns] if sys.stdout.isatty() else line


def comments(files: Any) -> dict[str, str]:
    """What the files that make a configuration say of each key: the comment behind it, or those above it.

    Args:
        files: (path below conf/ without its ending, package) of each, later ones win.
    """
    found: dict[str, str] = {}
    for name, package in files:
        path = CONFIG_DIR / f"{name}.yaml"
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            lines = text.splitlines()
            for key, line in _lines_of(yaml.compose(text)):
                behind = re.search(r"\s#\s*(.*)", lines[line])
                above: list[str] = []
                while not behind and line > len(above) and lines[line - 1 - len(above)].lstrip().startswith("#"):
                    above.insert(0, lines[line - 1 - len(above)].lstrip("# "))
                comment = behind.group(1) if behind else " ".join(above) if line > 2 else ""
                if comment:
                    found[f"{package}.{key}" if package not in ("", "_global_") else key] = comment
    return found


def _lines_of(node: Any, at: str = "") -> Iterator[tuple[str, int]]:
    """(dotted key, line) of everything in a YAML document."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield f"{at}{key.value}", key.start_mark.line
            yield from _lines_of(value, f"{at}{key.value}.")


def _title(group: str, name: str) -> str:
    """The first comment of an option's file."""
    path = CONFIG_DIR / group / f"{name}.yaml"
    if not path.is_file():
        return ""
    heads = [line.lstrip("# ") for line in path.read_text(encoding="utf-8").splitlines()[:2] if line.startswith("#")]
    return next((line for line in heads if not line.startswith("@package")), "")


def _size(group: str, name: str) -> str:
    """' (2.1 M)', where the option's first comment says so."""
    size = re.search(r"(\d[\d.]*)[ -]?([MB])\b", _title(group, name), re.IGNORECASE) if group == "model" else None
    return f" ({size.group(1)} {size.group(2).upper()})" if size else ""
