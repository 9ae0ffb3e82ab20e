"""Settings that a person typed, checked before anything starts; each mistake is one sentence."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from physworld import scenarios
from physworld.errors import FormatError, UserError, suggest
from physworld.seeding import SEEDS, SPLITS
from physworld.sim.ood import FAMILIES

Read = TypeVar("Read")
API = "physworld.lm.api_generator.ApiLM"  # what model=api is, read before torch is loaded
HORIZONS = (1, 5, 10, 30, 60, 100)  # frames ahead


def typed(value: Any) -> str:
    """A value as it is written on the command line."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def whole(name: str, value: Any, least: int, *, or_null: bool = False) -> None:
    """Refuse what is no whole number >= `least` (or null, where that means something)."""
    if value is None and or_null:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        valid = f"a whole number from {least} on{', or null' if or_null else ''}"
        raise UserError(f"{name}={typed(value)} must be {valid}.")


def number(name: str, value: Any, above: float, *, or_equal: bool = False, or_null: bool = False) -> None:
    """Refuse what is no finite number > `above` (or equal to it, or null, where that means something)."""
    if value is None and or_null:
        return
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not (above < value < float("inf") or (or_equal and value == above)):
        valid = f"a number from {above:g} on" if or_equal else f"a number above {above:g}"
        raise UserError(f"{name}={typed(value)} must be {valid}{', or null' if or_null else ''}.")


def share(name: str, value: Any) -> None:
    """Refuse what is no number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UserError(f"{name}={typed(value)} must be a number from 0 to 1.")


def flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise UserError(f"{name}={typed(value)} must be true or false.")


def below_one(name: str, value: Any) -> None:
    """Refuse what is no number from 0 to just below 1: an average that keeps all of itself never moves."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise UserError(f"{name}={typed(value)} must be a number from 0 to just below 1.")


def installed(extra: str, *packages: str, what: str) -> None:
    """Refuse `what` where packages of an extra are not installed."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        need = f"{what} needs {' and '.join(missing)}"
        raise UserError(f"{need}; install with: pip install 'physworld[{extra}]'.")


def pretrained(cfg: DictConfig) -> None:
    """Refuse weights for a model that has none of its own, and lora without the packages that make one."""
    network: Any = cfg.model.network if "network" in cfg.model else {}
    for name in ("weights", "base"):
        if cfg[name] is not None and "weights" not in network:
            raise UserError(f"{name}={cfg[name]} goes with pretrained models, such as model=lfm2 or model=hf.")
    if "tuning" in network:
        packages = {"lora": ("peft",), "qlora": ("peft", "bitsandbytes")}.get(network.tuning, ())
        installed("pretrained", *packages, what=f"model.network.tuning={network.tuning}")


def is_api(model: DictConfig) -> bool:
    """Whether model= is a model behind an API."""
    return str(model["_target_"]) == API if "_target_" in model else False


def with_weights(cfg: DictConfig) -> None:
    """Refuse a network without weights where a model is to be scored."""
    if "network" not in cfg.model or "weights" not in cfg.model.network:
        chosen = HydraConfig.get().runtime.choices["model"] if HydraConfig.initialized() else cfg.model._target_
        raise UserError(
            f"model={chosen} is a network without weights, so there is nothing to judge: a run brings its own network, "
            "so give run=DIR without model=; pretrained weights are judged with model=hf weights=FOLDER_OR_REPO."
        )


def seed(name: str, value: Any) -> None:
    """Refuse what is no whole number from 0 to below 2^64."""
    whole(name, value, 0)
    if value >= SEEDS:
        raise UserError(f"{name}={value} must be a whole number below 2^64.")


def betas(name: str, value: Any) -> None:
    """Refuse what is no pair of numbers from 0 to just below 1."""
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
    if len(items) != 2:
        raise UserError(f"{name}={typed(value)} must be a list of two numbers, for example {name}=[0.9,0.999].")
    for item in items:
        below_one(name, item)


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        hint = suggest(str(value), choices)
        raise UserError(f"{name}={typed(value)} is unknown.{hint} Choose one of {', '.join(choices)}.")


def duration(name: str, value: Any) -> timedelta:
    """DD:HH:MM:SS or HH:MM:SS, longer than nothing.

    Raises:
        UserError: something else.
    """
    found = re.fullmatch(r"(?:(\d+):)?(\d+):(\d+):(\d+)", str(value))
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0, 0)
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not length:
        raise UserError(f"{name}={typed(value)} must be DD:HH:MM:SS, for example {name}=00:11:30:00, or null.")
    return length


def _mfu(name: str, value: Any) -> None:
    """Refuse what is no share of a peak: a number above 0 and at most 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise UserError(f"{name}={typed(value)} must be a number above 0 and at most 1, or null.")


def text(name: str, value: Any, *, or_null: bool = False) -> None:
    """Refuse what is no text (or null, where that means something)."""
    if not isinstance(value, str) and not (value is None and or_null):
        raise UserError(f"{name}={typed(value)} must be a name{', or null' if or_null else ''}.")


def path(name: str, value: Any) -> None:
    """Refuse what is no path and not null; a number would be taken for something else in one place or another."""
    if value is not None and not isinstance(value, str):
        raise UserError(f"{name}={typed(value)} must be a path; write a name that is a number as {name}=./3.")


FROM_0 = partial(number, above=0, or_equal=True)
SIZES = ("depth", "heads", "hidden", "inner", "layers", "rounds", "state", "width")  # of networks
SWITCHES = (
    "ahead", "compile_layers", "gap_start", "gradient_checkpointing", "known_springs", "median", "numeric_embedding",
    "own_axes", "pair_bias", "prefix", "relations", "reuse_cache", "shared_rounds",
)  # fmt: skip
MODEL_FROM_0 = (
    "event_weight", "final_lr", "initial_lr", "kl", "likelihood", "network.smoothing", "warmup_steps", "weight_decay",
)  # fmt: skip
MODEL_ABOVE_0 = (
    "adam_learning_rate", "beta", "codec.scale", "learning_rate", "max_drop", "max_kl", "network.alpha",
    "network.lora.alpha", "network.repetition_penalty", "temperature",
)  # fmt: skip
MODEL_WHOLE = ("codec.tokens", "length_groups", "network.lora.rank", "network.max_length", "network.rank", "patience")
# What settings may be, wherever a main and the chosen groups have them.
SETTINGS: dict[str, Callable[[str, Any], object]] = {
    "cache": path,
    "checkpoint_every": partial(whole, least=1),
    "ckpt": path,
    "count": partial(whole, least=1),
    "difficulties": lambda name, value: None if value is None else difficulties(value, name),
    "frames": partial(whole, least=1),
    "global_batch": partial(whole, least=1),
    "limit": partial(whole, least=1, or_null=True),
    "mfu": lambda name, value: None if value is None else _mfu(name, value),
    "price": partial(number, above=0, or_equal=True, or_null=True),
    "repair": flag,
    "row": partial(whole, least=0),
    "seed": seed,
    "skip_steps": partial(whole, least=0),
    "keep_last": partial(whole, least=1),
    "split": lambda _name, value: split(value),
    "start": partial(whole, least=0, or_null=True),
    "max_time": lambda name, value: None if value is None else duration(name, value),
    "steps": partial(whole, least=1, or_null=True),
    "validate_every": partial(whole, least=1),
    "codec.context_frames": partial(whole, least=1),
    "codec.history_frames": partial(whole, least=1, or_null=True),
    "codec.memory_dropout": share,
    "codec.published_bytes": flag,
    "codec.collision_sampling": share,
    "curriculum.difficulties": lambda name, value: difficulties(value, name),
    "curriculum.keep_easier": flag,
    "curriculum.samples_per_stage": partial(whole, least=1, or_null=True),
    "data.repeat": partial(whole, least=1, or_null=True),
    "data.source.context_noise": FROM_0,
    "data.source.errors": path,
    "data.source.event_fraction": share,
    "data.source.fps": partial(number, above=0, or_null=True),  # null: of own clips
    "data.source.path": path,
    "data.source.repeat": partial(whole, least=1, or_null=True),
    "data.source.samples": partial(whole, least=1),
    "data.source.variation": share,
    "data.source.view": partial(number, above=0),
    "data.source.frames": partial(whole, least=1, or_null=True),
    "data.source.held_back": share,
    "data.source.kick_rate": below_one,
    "data.source.kick_size": FROM_0,
    "data.source.kicked_scenes": share,
    "data.source.include_resting": flag,
    "data.source.rollout_frames": partial(whole, least=1),
    "data.source.share": share,
    "data.source.train_file": path,
    "data.source.turned_scenes": share,
    "data.source.valid_file": path,
    "data.source.varied_scenes": share,
    "data.source.windows_per_scene": partial(whole, least=1),
    "data.stream.val_samples": partial(whole, least=1),
    "early_stopping.min_delta": FROM_0,
    "early_stopping.monitor": partial(text, or_null=True),
    "early_stopping.mode": partial(one_of, choices=("min", "max")),
    "early_stopping.patience": partial(whole, least=1, or_null=True),
    **{f"model.{name}": FROM_0 for name in MODEL_FROM_0},
    **{f"model.{name}": partial(number, above=0) for name in MODEL_ABOVE_0},
    **{f"model.{name}": partial(whole, least=1) for name in MODEL_WHOLE},
    "model.betas": betas,
    "model.group": partial(whole, least=2),
    "model.decay_fraction": share,
    "model.ema_decay": below_one,
    "model.muon_lr": partial(number, above=0, or_null=True),
    "model.network.lora.dropout": below_one,
    "model.network.learned_positions": partial(whole, least=0),
    "model.network.dropout": share,
    **{f"model.network.{name}": partial(whole, least=1) for name in SIZES},
    "model.network.passes": partial(whole, least=0),
    **{f"model.network.{name}": flag for name in SWITCHES},
    "model.warmup_fraction": share,
    "trainer.gradient_clip_val": partial(number, above=0, or_equal=True, or_null=True),
    "trainer.log_every_n_steps": partial(whole, least=1),
}

UNPATIENT = {"monitor": None, "mode": "min", "min_delta": 0.0}  # what early_stopping holds where it stops nothing
SERVICES = {"MLflow": "mlflow", "Wandb": "wandb", "Trackio": "trackio"}  # loggers that need a package

BUILT = ("trainer", "data.source", "data.stream", "model.network", "model.codec")  # nodes that a run is made of

SET_BY = {  # what training gives Lightning's Trainer by itself, and the setting that decides on it
    "trainer.accelerator": "hardware.accelerator",
    "trainer.accumulate_grad_batches": "hardware.micro_batch",
    "trainer.check_val_every_n_epoch": "validate_every",
    "trainer.default_root_dir": "hydra.run.dir",
    "trainer.devices": "hardware.devices",
    "trainer.enable_checkpointing": "checkpoint_every",
    "trainer.fast_dev_run": "debug=smoke",
    "trainer.limit_train_batches": "steps",
    "trainer.limit_val_batches": "data.stream.val_samples",
    "trainer.logger": "logger",
    "trainer.max_epochs": "steps",
    "trainer.max_steps": "steps",
    "trainer.max_time": "max_time",
    "trainer.min_epochs": "steps",
    "trainer.min_steps": "steps",
    "trainer.num_nodes": "hardware.nodes",
    "trainer.overfit_batches": "debug=overfit",
    "trainer.precision": "hardware.precision",
    "trainer.strategy": "hardware.strategy",
    "trainer.val_check_interval": "validate_every",
}
TRAINER = (  # the others that Lightning's Trainer takes and that have an effect here
    *("_target_", "_partial_", "_convert_", "gradient_clip_val", "gradient_clip_algorithm", "log_every_n_steps"),
    *("profiler", "detect_anomaly", "deterministic", "benchmark"),
)


def settings(cfg: DictConfig) -> None:
    """Refuse what the settings of a model, its data and its codec cannot be, each by its whole name."""
    for key in BUILT:
        parent, _, leaf = key.rpartition(".")
        node = OmegaConf.select(cfg, parent) if parent else cfg
        if isinstance(node, DictConfig) and leaf in node and not isinstance(node[leaf], DictConfig):
            raise UserError(f"{key}={typed(node[leaf])} leaves nothing to build; set one of its settings instead.")
    for leaf in cfg.trainer if "trainer" in cfg else ():
        if (by := SET_BY.get(f"trainer.{leaf}")) is not None:
            raise UserError(f"trainer.{leaf} is set by {by}; leave it out, and set {by} instead.")
        if leaf not in TRAINER:
            free = ", ".join(name for name in TRAINER if not name.startswith("_"))
            near = suggest(str(leaf), TRAINER)
            raise UserError(f"trainer.{leaf} has no effect here; leave it out.{near} What trainer takes: {free}.")
    if HydraConfig.initialized() and HydraConfig.get().runtime.choices.get("debug") == "replay" and cfg.ckpt is None:
        raise UserError("debug=replay makes a step of a run again; give the run: ckpt=last hydra.run.dir=RUN.")
    if "early_stopping" in cfg and cfg.early_stopping.patience is None:
        for leaf, alone in UNPATIENT.items():
            if cfg.early_stopping[leaf] != alone:
                raise UserError(
                    f"early_stopping.{leaf}={typed(cfg.early_stopping[leaf])} stops nothing without "
                    "early_stopping.patience=N; give that too, or choose early_stopping=loss or rollout."
                )
    for logger in cfg.logger.values() if "logger" in cfg else ():
        package = SERVICES.get(str(logger._target_).rpartition(".")[2]) if "_target_" in logger else None
        if package is not None:
            installed("loggers", package, what=f"logger={package}")
    for key, check in SETTINGS.items():
        parent, _, leaf = key.rpartition(".")
        node = OmegaConf.select(cfg, parent) if parent else cfg
        if isinstance(node, DictConfig) and leaf in node:
            check(key, node[leaf])
    if "early_stopping" in cfg:
        _refuse_early_stopping(cfg)


def _refuse_early_stopping(cfg: DictConfig) -> None:
    """Refuse an early stopping that can stop nothing: the first validation is never worse than one before it."""
    patience, steps, every = cfg.early_stopping.patience, cfg.steps, cfg.validate_every
    debugging = HydraConfig.initialized() and HydraConfig.get().runtime.choices.get("debug")  # short on purpose
    if patience is None or steps is None or debugging or (times := steps // every) > patience:
        return
    choices = [f"early_stopping.patience={times - 1}"] if times > 1 else []
    choices += [f"validate_every={steps // (patience + 1)}"] if steps > patience else []
    raise UserError(
        f"early_stopping.patience={patience} needs {patience + 1} validations to stop a run, and steps={steps} with "
        f"validate_every={every} makes {times}; choose {', '.join([*choices, 'early_stopping=none'])}, or more steps."
    )


def file(name: str, value: Any) -> Path | None:
    """One path, or None; a name made of digits is a name."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{name}={value} must be one path.")
    return Path(str(value))


def horizons(value: Any, frames: int) -> list[int]:
    """Frames ahead at which errors are read, in order; null = HORIZONS as far as the rollout goes, and its end."""
    if value is None:
        return sorted({h for h in HORIZONS if h < frames} | {frames})
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
    if not items or any(isinstance(h, bool) or not isinstance(h, int) or not 1 <= h <= frames for h in items):
        shown = f"[{','.join(map(str, items))}]" if items else value
        valid = f"a list of whole numbers from 1 to evaluation.frames={frames}, or null"
        raise UserError(f"evaluation.horizons={shown} must be {valid}.")
    return sorted(set(items))


def difficulties(value: Any, name: str = "curriculum.difficulties") -> list[int]:
    """A list of difficulties 1-5, not empty."""
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else None
    if not items or any(item not in scenarios.DIFFICULTIES for item in items):
        raise UserError(f"{name}={typed(value)} must be a list of difficulties from 1 to 5, for example {name}=[1,2].")
    return [int(item) for item in items]


def split(value: Any) -> str:
    if value not in SPLITS:
        raise UserError(f"split={value} is unknown.{suggest(str(value), SPLITS)} Choose one of {', '.join(SPLITS)}.")
    return str(value)


def ood(family: Any, level: Any) -> None:
    """One of the out-of-distribution families (or null), and a level above 0 and at most 1."""
    if family is not None and family not in FAMILIES:
        hint = suggest(str(family), FAMILIES)
        raise UserError(f"ood.family={family} is unknown.{hint} Choose one of {', '.join(FAMILIES)}, or null.")
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level <= 1:
        raise UserError(f"ood.level={level} must be a number above 0 and at most 1.")


def scenario_names(value: Any) -> list[str]:
    """A list of scenario types that exist."""
    known = scenarios.names()
    if value is None or isinstance(value, str) or not isinstance(value, Iterable):
        example = value if isinstance(value, str) and value else known[0]
        raise UserError(f"scenario.names={value} must be a list, for example scenario.names=[{example}].")
    for name in value:
        if name not in known:
            raise UserError(f"scenario {name} is unknown.{suggest(str(name), known)} Choose from {', '.join(known)}.")
    if not value:
        raise UserError(f"scenario.names is empty; choose from {', '.join(known)}.")
    return list(value)


def read(reader: Callable[[Any], Read], path: Any) -> Read:
    """What a reader makes of a file that was typed as input=.

    Raises:
        UserError: the file does not follow its format, or cannot be read.
    """
    try:
        return reader(path)
    except FormatError as error:
        raise UserError(f"{str(error).rstrip('.')}.") from None
    except OSError as error:
        raise UserError(f"input={path} cannot be read ({error.strerror or error}).") from None
