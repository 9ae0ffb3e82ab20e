"""What every setting may be, wherever a main and the chosen groups have it; a mistake is one sentence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from physworld.errors import UserError, suggest
from physworld.settings.checks import (
    below_one,
    betas,
    difficulties,
    duration,
    flag,
    installed,
    mfu,
    number,
    one_of,
    path,
    profiler,
    refuse_idle,
    seed,
    share,
    split,
    text,
    typed,
    whole,
)  # fmt: skip

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
SETTINGS: dict[str, Callable[[str, Any], object]] = {
    "cache": path,
    "checkpoint_every": partial(whole, least=1),
    "ckpt": path,
    "count": partial(whole, least=1),
    "difficulties": lambda name, value: None if value is None else difficulties(value, name),
    "frames": partial(whole, least=1),
    "global_batch": partial(whole, least=1),
    "limit": partial(whole, least=1, or_null=True),
    "mfu": lambda name, value: None if value is None else mfu(name, value),
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
    "codec.shuffle_names": flag,
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
    "trainer.benchmark": partial(one_of, choices=(True, False, None)),
    "trainer.detect_anomaly": flag,
    "trainer.deterministic": partial(one_of, choices=(True, False, "warn", None)),
    "trainer.gradient_clip_algorithm": partial(one_of, choices=("norm", "value", None)),
    "trainer.profiler": profiler,
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


def check(cfg: DictConfig) -> None:
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
    refuse_idle(_idle(cfg))
    for key, refuse in SETTINGS.items():
        parent, _, leaf = key.rpartition(".")
        node = OmegaConf.select(cfg, parent) if parent else cfg
        if isinstance(node, DictConfig) and leaf in node:
            refuse(key, node[leaf])
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


def _idle(cfg: DictConfig) -> dict[tuple[str, ...], str]:
    """Beginnings of overrides -> where they change nothing, of any model that is trained."""
    idle: dict[tuple[str, ...], str] = {}
    optimizer = OmegaConf.select(cfg, "model.optimizer")
    if optimizer == "muon":
        idle[("model.betas=",)] = "with model.optimizer=muon, whose AdamW has its own; leave it out"
    elif optimizer is not None:
        idle[("model.adam_learning_rate=",)] = (
            f"with model.optimizer={optimizer}, which has one learning rate, model.learning_rate; leave it out"
        )
    if OmegaConf.select(cfg, "model.network.tuning") == "full":
        adapter = tuple(f"model.network.{name}=" for name in ("rank", "alpha", "dropout", "targets"))
        idle[adapter] = "with model.network.tuning=full, which has no adapter; leave it out"
    if OmegaConf.select(cfg, "model.warmup_fraction") is not None:
        idle[("model.warmup_steps=",)] = "beside model.warmup_fraction, which goes before it; leave one of them out"
    if str(OmegaConf.select(cfg, "model._target_")).startswith("physworld.lm.preference."):
        idle[("model.event_weight=",)] = "in learning from preferences, which has no events; leave it out"
    return idle
