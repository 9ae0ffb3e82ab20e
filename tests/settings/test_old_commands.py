"""Commands that the experiments were made with still compose: their names are read as today's where they changed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld import mains, renamed, run
from physworld.settings.reading import refuse_unread

from repository import CONF, ROOT

COMMAND = re.compile(r"python3? (train|evaluate|predict|simulate)\.py\b([^`\n|]*)")


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """(main, what was typed behind it) of every command in a README, in blocks and between backticks."""
    text = re.sub(r"\\\n\s*", " ", text)
    for found in COMMAND.finditer(text):
        line = re.split(r"\s#|[;&>]", found.group(2))[0]
        line = re.sub(r"\$\{?\w+\}?(\[@\])?", "1", line)  # a variable of the shell: a folder, a seed
        words = [word.removeprefix("[") for word in shlex.split(line) if "=" in word]  # [a=1 b=2]: with and without
        yield found.group(1), [word[:-1] if word.count("]") > word.count("[") else word for word in words]


READMES = sorted((ROOT / "experiments").glob("*/README.md"))
CASES = [(path.parent.name, *found) for path in READMES for found in commands(path.read_text(encoding="utf-8"))]


def test_commands_are_found() -> None:
    assert len(CASES) >= 25
    text = "`python train.py a=1 b=2` | x\nfor s in 0 1; do python evaluate.py run=$R/$s \\\n  seed=$s; done # c=3\n"
    assert list(commands(text)) == [("train", ["a=1", "b=2"]), ("evaluate", ["run=1/1", "seed=1"])]
    assert list(commands("python train.py run=[a,b] [data=x \\\n  data.y=[1]]")) == [
        ("train", ["run=[a,b]", "data=x", "data.y=[1]"])
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("experiment", "main", "typed"), CASES, ids=lambda value: str(value)[:60])
def test_an_experiments_command_composes(experiment: str, main: str, typed: list[str]) -> None:
    overrides = [renamed.in_override(word) for word in typed if not word.startswith("hydra/")]
    single = []
    for override in OverridesParser.create().parse_overrides(overrides):
        # Of a sweep, its first job.
        value = next(override.sweep_string_iterator()) if override.is_sweep_override() else None
        single.append(f"{override.get_key_element()}={value}" if value is not None else str(override.input_line))
    mains.offer_scenarios(single)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(main, single, return_hydra_config=True)
    if main == "train":  # of the others the run decides on the system, and the runs are not here
        refuse_unread(
            cfg.hydra.overrides.task, cfg, verb=main, system=cfg.data.task, reads=run.reads(main),
            choices=cfg.hydra.runtime.choices, what="this",
        )  # fmt: skip
