"""Where a run's figures and pictures go. Each class is Lightning's own logger and keeps what Lightning's does not:
animations, texts, and what came of the run. Those of services are in `logger_services`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hydra.utils import instantiate
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from omegaconf import DictConfig

from physworld.errors import call
from physworld.io.atomic import replacing
from physworld.reporting.tensorboard import add_picture

# The custom-scalars tab of TensorBoard: title -> chart -> tags, as regular expressions.
LAYOUT: dict[str, dict[str, list[Any]]] = {
    "Loss": {
        "loss": ["Multiline", ["^loss/(train|val)$"]],
        "loss of events": ["Multiline", ["^loss/(train|val)_events$"]],
        "accuracy": ["Multiline", ["^loss/(train|val)_accuracy$"]],
    },
    "Model beside baselines: RMSE, px": {},  # a chart for each horizon, see `layout`
    "Rollouts": {
        "over the best baseline": ["Multiline", ["^rollout/ratio_best@.*"]],
        "answers that can be read": ["Multiline", ["^rollout/parse_rate$"]],
    },
    "Spatial scenes": {"shares of answers that obey": ["Multiline", ["^spatial/.*"]]},
    "Throughput": {
        "samples a second": ["Multiline", ["^speed/samples/s$"]],
        "tokens a second": ["Multiline", ["^speed/tokens/s$"]],
    },
    "Optimiser": {
        "gradient norm": ["Multiline", ["^train/gradient_norm$"]],
        "learning rate": ["Multiline", ["^lr-.*"]],
    },
}
# TensorBoard shows tags in the order of the alphabet: the losses come first, training beside validation.
TAGS = {
    f"{part}/{name}": f"loss/{part}{suffix}"
    for part in ("train", "val")
    for name, suffix in (("loss", ""), ("event_loss", "_events"), ("accuracy", "_accuracy"))
}


class RunLogger(Protocol):
    """What a run asks of a logger beyond Lightning's interface; each is called on the first rank."""

    def begin(self, asked: Mapping[str, Any], texts: Mapping[str, str]) -> None:
        """What was asked for, and texts such as the command."""
        ...

    def show_picture(self, tag: str, content: bytes, step: int) -> None:
        """A GIF or PNG."""
        ...

    def show_text(self, tag: str, text: str, step: int) -> None: ...

    def conclude(self, final: Mapping[str, float], files: Sequence[Path]) -> None:
        """What came of the run; `files` are for places that keep files."""
        ...


def suffix_of(picture: bytes) -> str:
    return ".gif" if picture.startswith(b"GIF8") else ".png"


def plain_name(tag: str) -> str:
    """A tag as a file's name."""
    return re.sub(r"[^\w.-]+", "_", tag)


def without_epoch(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Lightning adds `epoch`, which never changes: the stream is one endless epoch."""
    return {name: value for name, value in metrics.items() if name != "epoch"}


def layout(horizons: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """LAYOUT with a chart for each horizon, in which each line is a method."""
    charts = {f"{h} frames ahead": ["Multiline", [f"^rollout/rmse@{h}/.*"]] for h in horizons}
    return {title: inner or charts for title, inner in LAYOUT.items() if inner or charts}


class TensorBoard(TensorBoardLogger):
    """DIRECTORY/tensorboard: curves, pictures, one row in the HParams tab."""

    def __init__(self, *, directory: Path, reached: int) -> None:
        """
        Args:
            reached: the step from which the run goes on; later points, of a process that was killed, are dropped.
        """
        # Step k is drawn at k - 1.
        super().__init__(directory, name="tensorboard", version="", default_hp_metric=False, purge_step=reached or None)
        self._asked: dict[str, Any] = {}
        self._laid_out = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        shown = {TAGS.get(name, name): value for name, value in without_epoch(metrics).items()}
        if not self._laid_out and any(name.startswith("val/") for name in metrics):  # the first validation
            found = [match.group(1) for name in shown if (match := re.fullmatch(r"rollout/rmse@(\d+)/model", name))]
            self.lay_out(layout(sorted(found, key=int)))
        super().log_metrics(shown, step)

    def lay_out(self, charts: Mapping[str, Mapping[str, list[Any]]]) -> None:
        """What the custom-scalars tab shows; once in a run."""
        self._laid_out = True
        self.experiment.add_custom_scalars(charts)

    @rank_zero_only
    def begin(self, asked: Mapping[str, Any], texts: Mapping[str, str]) -> None:
        self._asked = dict(asked)
        for tag, text in texts.items():
            self.show_text(tag, text, 0)

    @rank_zero_only
    def show_picture(self, tag: str, content: bytes, step: int) -> None:
        add_picture(self.experiment, tag, content, step)

    @rank_zero_only
    def show_text(self, tag: str, text: str, step: int) -> None:
        self.experiment.add_text(tag, "\n".join(f"    {line}" for line in text.splitlines()), step)

    @rank_zero_only
    def conclude(self, final: Mapping[str, float], files: Sequence[Path]) -> None:
        if not self._laid_out:
            self.lay_out(layout([]))
        self.log_hyperparams(self._asked, dict(final))
        self.save()
        self.experiment.close()


class Csv(CSVLogger):
    """DIRECTORY/csv: metrics.csv, hparams.yaml, pictures/ and texts."""

    def __init__(self, *, directory: Path, reached: int) -> None:
        """
        Args:
            reached: rows of the steps before, of the process that the run goes on from, are kept.
        """
        super().__init__(directory, name="csv", version="", flush_logs_every_n_steps=10)
        self._reached = self._latest = reached

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self._open()
        self._latest = max(self._latest, step or 0)
        super().log_metrics(without_epoch(metrics), step)

    def _open(self) -> None:
        """Lightning's writer begins with an empty file: what is to be kept is put into it again."""
        if self._experiment is None:
            kept = self._rows()
            self.experiment.metrics = kept

    def _rows(self) -> list[Any]:
        path = Path(self.log_dir) / "metrics.csv"
        if not self._reached or not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]
        rows = [row for row in rows if not any(name.startswith("final/") for name in row)]  # they are of a shorter run
        return [row for row in rows if row.get("step", "").isdigit() and int(row["step"]) < self._reached]

    @rank_zero_only
    def begin(self, asked: Mapping[str, Any], texts: Mapping[str, str]) -> None:
        self._open()
        self.log_hyperparams(dict(asked))
        self.save()
        for tag, text in texts.items():
            self.show_text(tag, text, 0)

    @rank_zero_only
    def show_picture(self, tag: str, content: bytes, step: int) -> None:
        self._write(f"pictures/{plain_name(tag)}_{step}{suffix_of(content)}", content)

    @rank_zero_only
    def show_text(self, tag: str, text: str, step: int) -> None:
        self._write(f"{plain_name(tag)}_{step}.txt" if step else f"{plain_name(tag)}.txt", text.encode())

    def _write(self, name: str, content: bytes) -> None:
        with replacing(Path(self.log_dir) / name) as temporary:
            temporary.write_bytes(content)

    @rank_zero_only
    def conclude(self, final: Mapping[str, float], files: Sequence[Path]) -> None:
        """The last row holds the final figures."""
        self.log_metrics(dict(final), self._latest)
        self.save()


def make_loggers(nodes: DictConfig, directory: Path, reached: int) -> list[Any]:
    """The loggers of the group `logger`.

    Args:
        reached: the step from which the run goes on; 0 for a new one.
    """
    return [call(instantiate(node), directory=directory, reached=reached) for node in nodes.values()]


def show_picture(trainer: Trainer, tag: str, content: bytes) -> None:
    """A GIF or PNG to every logger of a trainer; like Lightning's figures, of step k at k - 1."""
    loggers: list[Any] = trainer.loggers
    for logger in loggers:
        logger.show_picture(tag, content, max(0, trainer.global_step - 1))


def show_text(trainer: Trainer, tag: str, text: str) -> None:
    """A text to every logger of a trainer."""
    loggers: list[Any] = trainer.loggers
    for logger in loggers:
        logger.show_text(tag, text, max(0, trainer.global_step - 1))
