"""The mains, `python train.py` and `physworld train` alike: train, evaluate, predict, simulate, plan."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

import physworld.settings.groups  # noqa: F401  registers the groups that code makes
from physworld.errors import UserError
from physworld.settings.messages import CONFIG_DIR, explain, job, options, rename, run_main
from physworld.settings.program import OF_THE_RUN, OFFERED, at_home, quiet, silence, typed_command
from physworld.settings.reading import own_evaluation

MAINS = {  # what each does, for --help
    "train": "Train a model on freshly simulated scenes, score it and write its report.",
    "evaluate": "Score finished runs on scenes they have never seen.",
    "predict": "Let a finished run go on from one given scene, payload or caption.",
    "simulate": "Make data and pictures.",
    "plan": "Say what a training run would need and cost: memory, hours, price. Takes what train takes.",
}
NEXT = {  # what one usually does after a verb: another verb and what is typed behind it
    "train": ("evaluate", ["run=last", "suite=heldout"]),
    "evaluate": ("predict", ["run=last", "input=scene.jsonl"]),
    "predict": ("evaluate", ["--help"]),
    "simulate": ("train", ["--help"]),
    "plan": ("train", ["--help"]),
}


def composed(verb: str, overrides: list[str]) -> DictConfig:
    """The configuration of a main, for a command beside the mains.

    Raises:
        UserError: one sentence, as the main itself would say.
    """
    rename(overrides)
    try:
        with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            return hydra.compose(verb, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, verb, overrides)) from None


def offer_scenarios(arguments: Sequence[str]) -> None:
    """Scene types that only the typed task has are choices of scenario=, too."""
    from physworld import run

    name = next((a.partition("=")[2] for a in reversed(arguments) if a.startswith("task=")), "")
    if not any(a.startswith("scenario=") for a in arguments) or name not in run.systems():
        return
    for scene in run.system(name).scene_types() if "scenario" in run.reads("simulate")[name] else ():
        node = {"names": [scene]}
        ConfigStore.instance().store(group="scenario", name=scene, node=node, provider=f"physworld.{name}")


def offer_evaluation(arguments: list[str]) -> None:
    """evaluation=of_the_run is the run's own; other systems' runs than text's are judged by it unless one is typed."""
    from physworld import run
    from physworld.runs import directory as runs

    typed = {name.lstrip("+"): value for name, _, value in (argument.partition("=") for argument in arguments)}
    first = typed.get("run", "").strip("[]'\" ").split(",")[0] or None
    name = run.system_of(first)
    try:
        own = runs.read_config(runs.find_run(first)).get("evaluation")
    except UserError:  # evaluate itself says what is wrong with run=
        return
    own = own if isinstance(own, dict) else options("evaluation").get(name)
    if own is None or "evaluation" not in run.reads("evaluate")[name]:
        return
    node = own_evaluation(own, name)  # smoke runs of earlier versions hold text's
    ConfigStore.instance().store(group="evaluation", name=OF_THE_RUN, node=node, provider="physworld.mains")
    if name != "text" and "evaluation" not in typed:
        arguments.append(OFFERED)


def main(verb: str, arguments: Sequence[str] | None = None) -> None:
    """Run one of the MAINS.

    Args:
        arguments: what was typed behind the verb; None = what is in sys.argv, of a script with the verb's name.
    """
    if arguments is not None:
        sys.argv = [f"physworld {verb}", *arguments]
    given = sys.argv[1:]
    at_home(given)
    rename(given)
    silent, given = quiet(given)
    sys.argv[1:] = given

    @job
    def task(cfg: DictConfig) -> Any:
        from physworld import run  # late: help and shell completion need no more than Hydra
        from physworld.runs.directory import refuse_a_run

        if verb not in ("train", "evaluate"):  # which know what they may add to
            refuse_a_run(Path(HydraConfig.get().runtime.output_dir))
        return run.VERBS[verb](cfg)

    def start() -> None:
        if {"--help", "-h"} & set(given):
            from physworld.settings.help import show

            show(verb, MAINS[verb], given)
            return
        if verb == "simulate":
            offer_scenarios(given)
        if verb == "evaluate":
            offer_evaluation(given)
            sys.argv[1:] = given
        hydra.main(config_path=str(CONFIG_DIR), config_name=verb, version_base="1.3")(task)()
        if sys.stdout.isatty() and verb in NEXT:  # a pipe or a file gets results alone
            print(f"Next: {typed_command(*NEXT[verb])}")

    with silence() if silent else nullcontext():
        run_main(start, verb)
