"""Text physics: language models that continue 2-D rigid-body scenes written as text.

What the commands do for this system. Each function loads what it needs when it is called, so that a mistake in a
command is told before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from physworld.errors import UserError
from physworld.settings import checks

READS = {  # top-level groups and keys, besides what every system's run reads
    "train": ("codec", "evaluation", "scenario", "curriculum", "weights", "base"),
    "evaluate": (
        *("scenario", "hardware", "evaluation", "codec", "model", "suite", "weights", "base", "engine"),
        *("base_url", "name"),
        *("engine_python", "predictions", "export", "scenes", "difficulties", "limit", "split", "seed", "cache"),
        "shots",
        *("shards", "shard"),
    ),
    "predict": ("hardware", "input", "row", "frames", "start"),
    "simulate": (
        *("scenario", "curriculum", "ood", "count", "frames", "format", "compress", "split", "seed", "out"),
        *("shards", "shard", "input"),
    ),
}


def scene_types() -> tuple[str, ...]:
    """What scenario= offers beside the two-dimensional types."""
    return ()


def check(cfg: DictConfig) -> None:
    """Refuse what can be seen without torch."""
    if "format" in cfg and cfg.format == "parquet":
        checks.installed("parquet", "pyarrow", what="format=parquet")
    if "scenario" in cfg:
        names = checks.scenario_names(cfg.scenario.names)
        if "ood" not in cfg:  # simulate.py takes types in turn, and scores none
            checks.once("scenario.names", names)
    idle: dict[tuple[str, ...], str] = {}  # settings -> where they change nothing
    if OmegaConf.select(cfg, "data.source.kicked_scenes") == 0:
        kicks = ("data.source.kick_rate=", "data.source.kick_size=")
        idle[kicks] = "while data.source.kicked_scenes=0; leave one of them out"
    stages = ("curriculum.samples_per_stage=", "curriculum.keep_easier=")
    if any(typed.startswith("scenario.names=") for typed in checks.overrides()):
        idle[("scenario=",)] = "beside scenario.names=..., which goes before it; leave one of them out"
    if "ood" in cfg:  # simulate.py
        idle[stages] = "in scenes that are written, which have no stages; leave it out"
    elif OmegaConf.select(cfg, "curriculum.samples_per_stage", default=0) is None:
        idle[stages[1:]] = "without stages; give curriculum.samples_per_stage=N too, or leave it out"
    checks.refuse_idle(idle)
    if "input" in cfg:
        path = checks.file("input", cfg.input)
        if path is None and "shards" in cfg:  # simulate.py draws scenarios
            return
        if path is None:
            prompt = ", or a prompt as .txt" if "run" in cfg else ""
            raise UserError(f"input=FILE is missing; give a scene as YAML, JSONL (also .gz, .zst) or Parquet{prompt}.")
        if path.is_dir() or not path.exists():
            why = "it is a folder" if path.is_dir() else "there is no such file"
            raise UserError(f"input={path} cannot be read ({why}).")
    if "engine" in cfg:
        _check_candidates(cfg)
    if "model" in cfg and cfg.model is not None:
        if "curriculum" in cfg and checks.is_api(cfg.model):  # train.py and plan.py
            raise UserError("model=api is judged by evaluate.py, not trained; choose another one, such as gpt.")
        if "suite" in cfg and not checks.is_api(cfg.model):  # evaluate.py
            checks.with_weights(cfg)
        checks.pretrained(cfg)


def _check_candidates(cfg: DictConfig) -> None:
    """Refuse an evaluation of nothing, and a codec that no candidate is written with."""
    if cfg.model is None and cfg.weights is not None:
        raise UserError(f"weights={cfg.weights} needs model=hf beside it.")
    api = cfg.model is not None and checks.is_api(cfg.model)
    for key in ("base_url", "name"):
        if api and cfg[key] is None:
            raise UserError(f"model=api needs {key}=: base_url=http://HOST/v1 and the model's name there, name=MODEL.")
        if not api and cfg[key] is not None:
            raise UserError(f"{key}={cfg[key]} is for model=api; leave it out.")
    if api:
        _check_api(str(cfg.base_url), cfg.model)
    if api and (cfg.shards is not None or cfg.engine != "transformers"):
        raise UserError("model=api knows no shards= and no engine=; model.concurrency says how many answers at once.")
    checks.whole("shots", cfg.shots, 0)
    if cfg.shots and cfg.model is None:
        raise UserError(f"shots={cfg.shots} is for model=hf and model=api, which may not know the text; leave it out.")
    if cfg.export is not None or cfg.predictions is not None or cfg.model is not None:
        return
    if cfg.run is None or cfg.run == []:
        raise UserError(
            "Nothing to judge: give run=DIR (or run=last, run=[A,B]), model=hf weights=..., or predictions=FILE."
        )
    from physworld.metrics.scores import BASELINES, FLOOR, PLACEBO  # late: help needs no metrics

    for run in cfg.run if isinstance(cfg.run, ListConfig) else [cfg.run]:
        if str(run).lower().replace("-", "_") in (*BASELINES, PLACEBO, FLOOR) and not Path(str(run)).exists():
            raise UserError(f"run={run} names no run: {run} stands beside the model in every evaluation anyway.")
    if any(override.startswith(("codec=", "codec.")) for override in checks.overrides()):
        raise UserError(
            "codec= is for model=hf, predictions= and export=; a run brings its own codec, so leave it out."
        )


def _check_api(base_url: str, model: DictConfig) -> None:
    """Refuse an address that is none, and a key that is not there."""
    from physworld.lm.api_client import checked_url
    from physworld.lm.api_generator import key_of

    checked_url(base_url)
    key_of(model.key_from)


def build(cfg: DictConfig) -> Any:
    """Everything that a training run is made of (see `training.parts.Parts`)."""
    from physworld.text.build import build as run

    return run(cfg)


def plan(cfg: DictConfig, precision: str, micro_batch: int) -> Any:
    """What a training run is made of, without weights (see `training.plan.Planned`)."""
    from physworld.text.plan import plan as run

    return run(cfg, precision, micro_batch)


def conclude(
    cfg: DictConfig, parts: Any, network: Any, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the trained model, score it, write its report: (main figures, the one that a search lowers)."""
    from physworld.text.conclude import conclude as run

    return run(cfg, parts, network, directory, command=command, cost=cost)


def evaluate(cfg: DictConfig) -> None:
    """Score everything that the command line names, on one suite."""
    from physworld.text.evaluate import evaluate as run

    run(cfg)


def predict(cfg: DictConfig) -> None:
    """Roll one given scene forward."""
    from physworld.text.predict import predict as run

    run(cfg)


def simulate(cfg: DictConfig) -> None:
    """Write scenes as files."""
    from physworld.text.simulate import simulate as run

    run(cfg)


def numbers(metrics: Mapping[str, Any], about: Any) -> list[Any]:
    """What of a metrics.json stands on a leaderboard (see `runs.leaderboard`); [] where it is another system's."""
    from physworld.text.board import numbers as run

    return run(metrics, about)
