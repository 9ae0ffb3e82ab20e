"""What the commands do. A system is a folder of this package that holds a task.py; here is what they share."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from physworld.errors import FormatError, UserError, suggest
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.runs import sweeps
from physworld.runs.state import Record, recorded
from physworld.seeding import short
from physworld.settings import checks, limits
from physworld.settings.messages import options
from physworld.settings.program import OF_THE_RUN, loading, typed_command
from physworld.settings.reading import belongs, only, own_evaluation, refuse_unread

if TYPE_CHECKING:
    from physworld.training.fit import Trained
    from physworld.training.parts import Parts

console = screen()
# What this module and training/ read, whatever the system; a system's task.py says what it reads besides.
TRAINED = (
    *("data", "model", "hardware", "trainer", "seed", "steps", "global_batch", "validate_every"),
    *("checkpoint_every", "ckpt", "init_from", "logger", "early_stopping", "max_time", "skip_steps", "keep_last"),
)
# What a plan takes, so that a command of train.py can be planned, and does not read.
UNPLANNED = ("ckpt", "init_from", "logger", "early_stopping", "max_time", "skip_steps", "keep_last", "checkpoint_every")
SHARED = {
    "train": TRAINED,
    "plan": (*TRAINED, "gpu", "mfu", "price"),
    "evaluate": ("run",),
    "predict": ("run",),
    "simulate": ("task",),
}


def systems() -> list[str]:
    """The folders of this package that hold a task.py."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/task.py"))


def system(name: str) -> ModuleType:
    """A system's task.py.

    Raises:
        UserError: there is no such system.
    """
    if name not in systems():
        raise UserError(f"task={name} is unknown.{suggest(name, systems())} Choose one of {', '.join(systems())}.")
    return importlib.import_module(f"physworld.{name}.task")


def reads(verb: str) -> dict[str, list[str]]:
    """Top-level groups and keys that a verb reads, by system."""
    own = "train" if verb == "plan" else verb
    return {name: [*SHARED[verb], *system(name).READS[own]] for name in systems()}


def asked(verb: str, name: str, cfg: DictConfig, what: str) -> DictConfig:
    """What the verb of a system reads of a configuration, checked; torch is not loaded yet.

    Raises:
        UserError: something else was typed, a setting cannot be what it is, or a package is not installed.
    """
    hydra = HydraConfig.get()
    refuse_unread(
        hydra.overrides.task, cfg, verb=verb, system=name, reads=reads(verb), choices=hydra.runtime.choices, what=what
    )
    kept = only(cfg, [key for key in reads(verb)[name] if verb != "plan" or key not in UNPLANNED])
    typed = {override.partition("=")[0].partition(".")[0] for override in checks.overrides()}
    if verb == "plan" and (idle := sorted(typed & set(UNPLANNED))):
        console.print(f"Note: {', '.join(idle)} {'changes' if len(idle) == 1 else 'change'} nothing in a plan.")
    limits.check(kept)
    if verb in ("train", "plan"):
        _refuse_codec(kept, name, hydra.runtime.choices)
    else:
        _refuse_training()
    system(name).check(kept)
    if runs.first_rank():
        loading(f"what {name} needs")
    return kept


def _refuse_training() -> None:
    """Evaluating and predicting are one process on one device: the rest of the hardware is training's, and so is how
    much each validation looks at."""
    for override in checks.overrides():
        key = override.partition("=")[0]
        if key.startswith("evaluation.val_"):
            raise UserError(f"{key} is for the validations of a training, and here is none; leave it out.")
        if key.startswith("hardware.") and key != "hardware.accelerator":
            raise UserError(f"{key} is for training; here hardware.accelerator says where it runs, so leave it out.")


def _refuse_codec(cfg: DictConfig, name: str, choices: Mapping[str, str]) -> None:
    """Refuse the codec of another system; one that is not of physworld's may be meant for any."""
    others = [other for other in systems() if other != name]
    if "codec" in cfg and any(belongs(cfg.codec, other) for other in others):
        own = [choice for choice, node in options("codec").items() if belongs(node, name)]
        raise UserError(
            f"codec={choices['codec']} does not write {name} samples, which data={choices['data']} gives; "
            f"choose a codec of {name} ({', '.join(own)}), or other data."
        )


def build(cfg: DictConfig) -> Parts:
    """Construct everything, and draw and encode one sample, so that a wrong pairing shows in a second.

    Raises:
        UserError: the configuration asks for something that is not there or does not fit together.
    """
    name = system_for(cfg)
    if cfg.steps is None:
        cfg.steps = steps_of(cfg)
    kept = only(cfg, reads("train")[name])
    limits.check(kept)
    system(name).check(kept)
    import lightning.pytorch as pl

    pl.seed_everything(short(cfg.seed), verbose=False)
    parts: Parts = system(name).build(kept)
    return parts


def steps_of(cfg: DictConfig) -> int:
    """Optimiser steps of steps=null: an epoch of the curriculum."""
    from physworld.runs.wiring import epoch_steps

    limits.check(cfg)
    return epoch_steps(cfg)


def system_for(cfg: DictConfig) -> str:
    """The system that a training configuration is for.

    Raises:
        UserError: its data and its model do not fit together.
    """
    only(cfg, ("data", "model", "evaluation"))  # none is null
    name = str(cfg.data.task)
    system(name)
    if ("codec" in cfg.model) != (name == "video"):  # a video model brings its own codec
        raise UserError(
            "This data and model do not fit together: clips (data=clips, video_...) go with tiny_video or cogvideox."
        )
    if "evaluation" in system(name).READS["train"]:
        _refuse_evaluation(cfg, name)
        cfg.evaluation = own_evaluation(cfg.evaluation, name)
    return name


def _refuse_evaluation(cfg: DictConfig, name: str) -> None:
    """Refuse another system's evaluation that was typed; a preset's is exchanged for this system's own."""
    for override in checks.overrides():
        if override.startswith(("evaluation=", "evaluation.")) and not belongs(cfg.evaluation, name):
            own = [choice for choice, node in options("evaluation").items() if belongs(node, name)]
            raise UserError(f"{override} is not for {name} models; leave it out, or choose among {', '.join(own)}.")


def train(cfg: DictConfig) -> float:
    """Train, evaluate, report. Returns the figure that a search lowers."""
    hydra = HydraConfig.get()
    name = system_for(cfg)
    asked("train", name, cfg, f"model={hydra.runtime.choices['model']}")
    sweep = hydra.mode == RunMode.MULTIRUN
    search = hydra.runtime.choices["hparams_search"]
    if search is not None and not sweep and cfg.ckpt is None:  # one trial may be continued by itself
        command = typed_command("train", ["-m", *hydra.overrides.task])
        raise UserError(f"hparams_search={search} searches with -m alone: {command}")
    instantiate(cfg.hardware).refuse_sweep(multirun=sweep, arguments=shlex.join(hydra.overrides.task))
    # Lightning names the first rank's directory to the others, whether the command does or not.
    named = runs.first_rank() and (
        sweep or any(o.lstrip("+").startswith("hydra.run.dir=") for o in hydra.overrides.hydra)
    )
    directory = runs.relative(hydra.runtime.output_dir)
    with runs.held(directory):
        if sweep and cfg.ckpt is None:
            again = sweeps.again(directory, cfg)
            if again.score is not None:
                console.print(f"{directory} is finished already.", soft_wrap=True)
                return again.score
            cfg.ckpt = again.ckpt
        return _train(cfg, name, directory, named)


def _train(cfg: DictConfig, name: str, directory: Path, named: bool) -> float:
    checkpoint = runs.find_checkpoint(cfg.ckpt, directory, named=named) if cfg.ckpt is not None else None
    kept = runs.kept_checkpoints(directory)
    if checkpoint is None and kept:
        raise UserError(
            f"{directory} already holds a run; continue it with ckpt={kept[0]}, or choose another hydra.run.dir."
        )
    from physworld.runs.checkpoints import check_fits, read_newest, start_from  # late: they load torch
    from physworld.training.resuming import before, changes, refuse_forgotten

    hydra = HydraConfig.get()
    saved = None
    if checkpoint is not None:
        checkpoint, saved = read_newest(checkpoint)
    reached = int(saved["global_step"]) if saved is not None else 0
    was = before(checkpoint) if checkpoint is not None else None
    begun = runs.flatten(runs.read_config(directory)) if (directory / "config.yaml").is_file() else was or {}
    sweeps.settle_last(cfg, begun, Path(hydra.sweep.dir) if hydra.mode == RunMode.MULTIRUN else None)
    if cfg.init_from is not None and cfg.init_from not in runs.BROUGHT:
        cfg.init_from = str(runs.relative(str(runs.find_run(cfg.init_from, "init_from").absolute())))
    elif cfg.init_from is None and was is not None:
        cfg.init_from = was.get("init_from")
    if cfg.steps is None:
        cfg.steps = steps_of(cfg)
    resolved: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    if checkpoint is not None and was is not None:
        refuse_forgotten(checkpoint, was, resolved)
    if checkpoint is not None and reached > cfg.steps:
        raise UserError(f"{checkpoint} is at step {reached} already; steps={cfg.steps} must be {reached} or more.")
    changed = changes(checkpoint, was, resolved, reached) if checkpoint is not None and was is not None else []
    parts = build(cfg)
    if checkpoint is not None and saved is not None:
        check_fits(checkpoint, saved, parts.module)
    held = {} if saved is None else saved["state_dict"]
    lacking = [name for name, _ in parts.module.network.named_parameters() if f"network.{name}" not in held]
    if cfg.init_from is not None and lacking:  # else the checkpoint holds all of it, further on
        start_from(parts.module.network, runs.find_run(cfg.init_from, "init_from"), resolved)
    size = sum(p.numel() for p in parts.module.network.parameters())
    said = f"{size:,} parameters, {cfg.steps} steps of {cfg.global_batch} samples -> {directory}"
    console.print(said, soft_wrap=True)
    if checkpoint is not None and checkpoint.absolute().parent.parent != directory.absolute():
        console.print(f"Goes on from {checkpoint}, in a folder of its own.", soft_wrap=True)
    command = typed_command("train", hydra.overrides.task)
    with recorded(directory, verb="train", command=command) as record:
        record.goes_on(reached, cfg.steps)
        trained = _fit(cfg, resolved, parts, directory, checkpoint, reached, changed, record)
        headline, score = _conclude(cfg, name, parts, directory, trained, command, size)
        if not trained.first_rank:
            return 0.0
        trained.log_result(directory, headline, score)
        record.finish(score)
    if "tensorboard" in cfg.logger:
        console.print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(directory.parent))}", soft_wrap=True)
    return float(score)


def _fit(
    cfg: DictConfig,
    resolved: dict[str, Any],
    parts: Parts,
    directory: Path,
    checkpoint: Path | None,
    reached: int,
    changed: Sequence[str],
    record: Record,
) -> Trained:
    """The training loop; what ends it early is told with the command that goes on."""
    from physworld.data import StreamData
    from physworld.lm.preference import Collapsed
    from physworld.training import endings, finite
    from physworld.training.fit import fit, resume_command
    from physworld.training.stopping import Interrupted

    try:
        return fit(cfg, resolved, parts, directory, checkpoint, reached, changed, record)
    except Interrupted as stopped:
        if runs.first_rank():
            console.print(f"Stopped after step {stopped}; it is saved. Continue with:")
            print(f"  {resume_command(directory)}")
        raise SystemExit(stopped.code) from None
    except FormatError as broken:  # a data file; from a worker, its own traceback comes first
        problem = str(broken).strip().splitlines()[-1].rpartition("FormatError: ")[2]
        if not runs.kept_checkpoints(directory):
            raise UserError(f"{problem}. Nothing was trained: the first checkpoint was not reached.") from None
        print(f"What was trained so far is in {directory}/checkpoints; when the file is mended, continue with:")
        print(f"  {resume_command(directory)}")
        raise UserError(problem) from None
    except RuntimeError as error:
        if not isinstance(parts.data, StreamData) or not (what := parts.data.died(error)):
            raise
        print(f"Continue with:\n  {resume_command(directory)}")
        raise UserError(f"{what} (seed={cfg.seed}). {endings.saved_before(directory)}") from None
    except Collapsed as collapse:
        raise UserError(f"{collapse} {endings.saved_before(directory)}") from None
    except finite.Diverged as diverged:
        raise UserError(endings.diverged(diverged, directory)) from None


def _conclude(
    cfg: DictConfig, name: str, parts: Parts, directory: Path, trained: Trained, command: str, size: int
) -> tuple[dict[str, float], float]:
    """The final evaluation and the report: (main figures, the one that a search lowers)."""
    from physworld.training import endings, finite
    from physworld.training.fit import resume_command
    from physworld.training.stopping import Interrupted, stops_at_once

    try:
        with stops_at_once(cfg.steps):
            network = parts.module.eval_network()  # gathers a sharded network, so every rank takes part
            finite.refuse(network.state_dict(), step=cfg.steps)
            if not trained.first_rank:
                return {}, 0.0
            concluded: tuple[dict[str, float], float] = system(name).conclude(
                only(cfg, reads("train")[name]),
                parts,
                network,
                directory,
                command=command,
                cost={**trained.cost, "parameters": size},
            )
            return concluded
    except Interrupted as stopped:
        if runs.first_rank():
            said = f"Stopped in the final evaluation; {endings.done(directory, cfg.steps)}. Continue with:"
            console.print(said, soft_wrap=True)
            print(f"  {resume_command(directory)}")
        raise SystemExit(stopped.code) from None
    except finite.Diverged as diverged:
        raise UserError(endings.diverged(diverged, directory)) from None


def evaluate(cfg: DictConfig) -> None:
    """Score a finished run.

    Raises:
        UserError: an evaluation of another system is chosen.
    """
    name = system_of(cfg.run)
    kept = asked("evaluate", name, cfg, f"run={checks.typed(cfg.run)}")
    for run in cfg.run if isinstance(cfg.run, ListConfig) else [] if cfg.run is None else [cfg.run]:
        runs.find_run(run)
    if "evaluation" in kept and not belongs(kept.evaluation, name):
        choice = HydraConfig.get().runtime.choices["evaluation"]
        raise UserError(
            f"evaluation={choice} is not for {name} runs, and run={checks.typed(cfg.run)} is one; "
            f"leave it out, or choose evaluation={OF_THE_RUN}."
        )
    directory = runs.relative(HydraConfig.get().runtime.output_dir)
    command = typed_command("evaluate", HydraConfig.get().overrides.task)
    with runs.held(directory), recorded(directory, verb="evaluate", command=command):
        try:
            system(name).evaluate(kept)
        except KeyboardInterrupt:
            cache = kept.cache if "cache" in kept else None
            print(
                "The same command begins anew."
                if cache is None
                else f"Finished answers are kept in {cache}; the same command goes on from them."
            )
            raise


def predict(cfg: DictConfig) -> None:
    """What a finished run says to one given input."""
    runs.find_run(cfg.run)  # or it says what is wrong with run= itself
    name = system_of(cfg.run)
    system(name).predict(asked("predict", name, cfg, f"run={checks.typed(cfg.run)}"))


def plan(cfg: DictConfig) -> None:
    """Say what a training run would need and cost."""
    name, choices = system_for(cfg), HydraConfig.get().runtime.choices
    kept = asked("plan", name, cfg, f"model={choices['model']}")
    if kept.steps is None:
        kept.steps = steps_of(kept)
    from physworld.training.plan_report import report

    report(kept, system(name).plan, choices, runs.relative(HydraConfig.get().runtime.output_dir), console)


def simulate(cfg: DictConfig) -> None:
    """Write data and pictures as files."""
    name = str(cfg.task)
    chosen = system(name)  # or it says that there is no such system
    chosen.simulate(asked("simulate", name, cfg, f"task={name}"))


VERBS: dict[str, Callable[[DictConfig], Any]] = {
    verb.__name__: verb for verb in (train, evaluate, predict, simulate, plan)
}


def system_of(run: Any) -> str:
    """The system that a run (of several, the first) belongs to; without a readable one, text's own verbs speak."""
    first = next(iter(run), None) if isinstance(run, ListConfig) else run
    try:
        return runs.task_of(runs.find_run(first))
    except UserError:
        return "text"
