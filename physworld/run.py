"""What the commands do. A system is a folder of this package that holds a task.py; here is what they share."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import lightning.pytorch as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.console import Console

from physworld.errors import FormatError, UserError, suggest
from physworld.lm.preference import Collapsed
from physworld.runs import directory as runs
from physworld.runs.checkpoints import check_fits, read_checkpoint, start_from
from physworld.runs.wiring import epoch_steps
from physworld.settings import checks
from physworld.training.callbacks import Interrupted
from physworld.training.fit import fit, resume_command
from physworld.training.parts import Parts

console = Console()
# What evaluate.py offers for text runs alone.
OF_TEXT = (
    *("scenario", "suite", "limit", "difficulties", "scenes", "export", "predictions"),
    *("model", "weights", "base", "engine", "engine_python", "codec"),
)
# What predict.py offers, by the runs that take it.
OF_PREDICTION = {
    "text": ("input", "row", "frames", "start"),
    "spatial": ("input", "mode", "repair"),
    "video": ("prompt", "image", "seed"),
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


def build(cfg: DictConfig) -> Parts:
    """Construct everything, and draw and encode one sample, so that a wrong pairing shows in a second.

    Raises:
        UserError: the configuration asks for something that is not there or does not fit together.
    """
    checks.whole("global_batch", cfg.global_batch, 1)
    if cfg.steps is None:
        cfg.steps = epoch_steps(cfg)
    for name in ("seed", "steps", "global_batch", "validate_every", "checkpoint_every"):
        checks.whole(name, cfg[name], 0 if name == "seed" else 1)
    checks.settings(cfg)
    if ("codec" in cfg.model) != (cfg.data.task == "video"):  # a video model brings its own codec
        raise UserError(
            "This data and model do not fit together: clips (data=video_...) go with model=tiny_video or cogvideox."
        )
    pl.seed_everything(cfg.seed, verbose=False)
    parts: Parts = system(cfg.data.task).build(cfg)
    return parts


def train(cfg: DictConfig) -> float:
    """Train, evaluate, report. Returns the figure that a search lowers."""
    hydra = HydraConfig.get()
    sweep = hydra.mode == RunMode.MULTIRUN
    instantiate(cfg.hardware).refuse_sweep(multirun=sweep, arguments=shlex.join(hydra.overrides.task))
    # Lightning names the first rank's directory to the others, whether the command does or not.
    named = runs.first_rank() and (
        sweep or any(o.lstrip("+").startswith("hydra.run.dir=") for o in hydra.overrides.hydra)
    )
    directory = runs.relative(hydra.runtime.output_dir)
    with runs.held(directory):
        return _train(cfg, directory, named)


def _train(cfg: DictConfig, directory: Path, named: bool) -> float:
    checkpoint = runs.find_checkpoint(cfg.ckpt, directory, named=named) if cfg.ckpt is not None else None
    kept = runs.kept_checkpoints(directory)
    if checkpoint is None and kept:
        raise UserError(
            f"{directory} already holds a run; continue it with ckpt={kept[0]}, or choose another hydra.run.dir."
        )
    hydra = HydraConfig.get()
    saved = read_checkpoint(checkpoint) if checkpoint is not None else None
    reached = int(saved["global_step"]) if saved is not None else 0
    parts = build(cfg)
    if checkpoint is not None and saved is not None:
        check_fits(checkpoint, saved, parts.module)
        if reached > cfg.steps:
            raise UserError(f"{checkpoint} is at step {reached} already; steps={cfg.steps} must be {reached} or more.")
    resolved: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    if cfg.init_from is not None:
        start_from(parts.module.network, runs.find_run(cfg.init_from, "init_from"), resolved)
    size = sum(p.numel() for p in parts.module.network.parameters())
    console.print(
        f"{size:,} parameters, {cfg.steps} steps of {cfg.global_batch} samples -> {directory}", highlight=False
    )
    try:
        trained = fit(cfg, resolved, parts, directory, checkpoint, reached)
    except Interrupted as stopped:
        console.print(f"Stopped after step {stopped}; it is saved. Continue with:", highlight=False)
        print(f"  {resume_command(directory)}")
        raise SystemExit(130) from None
    except FormatError as broken:  # a data file; from a worker, its own traceback comes first
        print(f"What was trained so far is in {directory}/checkpoints; when the file is mended, continue with:")
        print(f"  {resume_command(directory)}")
        raise UserError(str(broken).strip().splitlines()[-1].rpartition("FormatError: ")[2]) from None
    except Collapsed as collapse:
        raise UserError(f"{collapse} The last good weights are in {directory}/checkpoints.") from None
    network = parts.module.eval_network()  # gathers a sharded network, so every rank takes part
    if not trained.first_rank:
        return 0.0
    headline, score = system(cfg.data.task).conclude(
        cfg,
        parts,
        network,
        directory,
        command=shlex.join(["python", "train.py", *hydra.overrides.task]),
        cost={**trained.cost, "parameters": size},
    )
    groups = {group: hydra.runtime.choices[group] for group in ("data", "codec", "scenario", "curriculum")}
    trained.log_result(resolved, groups, headline)
    console.print(f"TensorBoard:  tensorboard --logdir {directory.parent}", highlight=False)
    return float(score)


def evaluate(cfg: DictConfig) -> None:
    """Score a finished run.

    Raises:
        UserError: options that only text runs know are given for another; they would change nothing.
    """
    task = _task_of(cfg.run)
    for override in HydraConfig.get().overrides.task if task != "text" else ():
        name = override.partition("=")[0].lstrip("+~").partition(".")[0]
        if name in OF_TEXT:
            raise UserError(f"{name}= is for text runs, and run={cfg.run} is a {task} one; leave it out.")
    with runs.held(runs.relative(HydraConfig.get().runtime.output_dir)):
        system(task).evaluate(cfg)


def predict(cfg: DictConfig) -> None:
    """What a finished run says to one given input."""
    task = _task_of(cfg.run)
    for override in HydraConfig.get().overrides.task:
        name = override.partition("=")[0].lstrip("+~")
        owners = [owner for owner, names in OF_PREDICTION.items() if name in names]
        if owners and task not in owners:
            runs.find_run(cfg.run)  # or it says what is wrong with run= itself
            reads = 'prompt="..."' if task == "video" else "input=FILE"
            raise UserError(
                f"{name}= is for {' and '.join(owners)} runs; run={cfg.run} is a {task} one, which reads {reads}."
            )
    system(task).predict(cfg)


def simulate(cfg: DictConfig) -> None:
    """Write data and pictures as files."""
    system(cfg.task).simulate(cfg)


def _task_of(run: Any) -> str:
    """The system that a run (of several, the first) belongs to; without a readable one, text's own verbs speak."""
    first = next(iter(run), None) if isinstance(run, ListConfig) else run
    try:
        data = runs.read_config(runs.find_run(first)).get("data")
    except UserError:
        return "text"
    return str(data.get("task", "text")) if isinstance(data, dict) else "text"
