"""Loggers that keep runs together: MLflow, Weights & Biases, Trackio. Their packages are the extra `loggers`.

A run that goes on from a checkpoint goes on in the service, too: `loggers.json` in its folder holds the names.
"""

from __future__ import annotations

import html
import json
import os
import re
import tempfile
import uuid
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.logger import _convert_params
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger

from physworld.io.atomic import replacing
from physworld.training.loggers import plain_name, suffix_of, without_epoch

NAMES = "loggers.json"


def _name(directory: Path, service: str) -> str | None:
    """What a service calls the run of a folder."""
    try:
        found = json.loads((directory / NAMES).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return str(found[service]) if isinstance(found, dict) and service in found else None


@rank_zero_only
def _keep_name(directory: Path, service: str, name: str) -> None:
    try:
        found = json.loads((directory / NAMES).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = {}
    with replacing(directory / NAMES) as temporary:
        temporary.write_text(json.dumps({**found, service: name}) + "\n", encoding="utf-8")


def _sharing(files: Sequence[Path]) -> list[tuple[Path, str]]:
    """(file, the folder of the run that it lies in, '' for the run's own)."""
    home = Path(os.path.commonpath([path.parent for path in files])) if files else Path()
    return [(path, "" if path.parent == home else str(path.parent.relative_to(home))) for path in files]


class MLflow(MLFlowLogger):
    """A run of MLflow, in plain files or on a server."""

    def __init__(
        self, *, directory: Path, reached: int, experiment: str = "physworld", uri: str = "outputs/mlruns"
    ) -> None:
        """
        Args:
            uri: a folder, or an address that MLflow takes.
        """
        if re.match(r"\w[\w+]+:", uri) is None:
            uri = Path(uri).absolute().as_uri()
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3 asks for a database otherwise
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        known = _name(directory, "mlflow") if reached else None
        super().__init__(experiment_name=experiment, run_name=str(directory), tracking_uri=uri, run_id=known)
        self._directory = directory

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Names of MLflow hold no @."""
        super().log_metrics({name.replace("@", "_at_"): v for name, v in without_epoch(metrics).items()}, step)

    @rank_zero_only
    def begin(self, asked: Mapping[str, Any], texts: Mapping[str, str]) -> None:
        if self.run_id != _name(self._directory, "mlflow"):  # parameters of MLflow are written once
            self.log_hyperparams(dict(asked))
        _keep_name(self._directory, "mlflow", str(self.run_id))
        for tag, text in texts.items():
            self.show_text(tag, text, 0)

    @rank_zero_only
    def show_picture(self, tag: str, content: bytes, step: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{plain_name(tag)}_{step}{suffix_of(content)}"
            path.write_bytes(content)
            self.experiment.log_artifact(self.run_id, str(path), "pictures")

    @rank_zero_only
    def show_text(self, tag: str, text: str, step: int) -> None:
        self.experiment.log_text(self.run_id, text, f"{plain_name(tag)}_{step}.txt" if step else f"{tag}.txt")

    @rank_zero_only
    def conclude(self, final: Mapping[str, float], files: Sequence[Path]) -> None:
        self.log_metrics(final)
        for path, folder in _sharing(files):
            self.experiment.log_artifact(self.run_id, str(path), folder or None)
        self.finalize("success")


class Wandb(WandbLogger):
    """A run of Weights & Biases; offline, it lies in DIRECTORY/wandb until it is sent."""

    def __init__(
        self,
        *,
        directory: Path,
        reached: int,
        project: str = "physworld",
        entity: str | None = None,
        offline: bool = True,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        known = (_name(directory, "wandb") if reached else None) or uuid.uuid4().hex[:8]
        if offline:
            os.environ.setdefault("WANDB_SILENT", "true")  # it would say at each start where it lies
        super().__init__(
            name=str(directory), save_dir=directory, project=project, entity=entity, offline=offline, id=known
        )
        self._directory, self._known = directory, known

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics(without_epoch(metrics), step)

    @rank_zero_only
    def begin(self, asked: Mapping[str, Any], texts: Mapping[str, str]) -> None:
        _keep_name(self._directory, "wandb", self._known)
        self.log_hyperparams({**asked, **texts})

    @rank_zero_only
    def show_picture(self, tag: str, content: bytes, step: int) -> None:
        import wandb

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"picture{suffix_of(content)}"
            path.write_bytes(content)
            media: Any = wandb.Video(str(path)) if path.suffix == ".gif" else wandb.Image(str(path))
            self.log_metrics({tag: media}, step)

    @rank_zero_only
    def show_text(self, tag: str, text: str, step: int) -> None:
        import wandb

        shown: Any = wandb.Html(f"<pre>{html.escape(text)}</pre>")
        self.log_metrics({tag: shown}, step)

    @rank_zero_only
    def conclude(self, final: Mapping[str, float], files: Sequence[Path]) -> None:
        self.experiment.summary.update(dict(final))
        for path, _ in _sharing(files):
            self.experiment.save(str(path), base_path=str(self._directory), policy="now")
        self.experiment.finish()


class Trackio(Logger):
    """A run of Trackio, on this machine or in a Space of Hugging Face."""

    def __init__(self, *, directory: Path, reached: int, project: str = "physworld", space: str | None = None) -> None:
        """
        Args:
            space: OWNER/NAME; None = this machine (TRACKIO_DIR says where).
        """
        super().__init__()
        self.project, self.space, self._directory, self._reached = project, space, directory, reached
        self._asked: dict[str, Any] = {}
        self._run: Any = None

    @property
    def name(self) -> str:
        return self.project

    @property
    def version(self) -> str:
        return str(self._directory)

    @property
    def experiment(self) -> Any:
        """The run, begun at its first use."""
        if self._run is None:
            import trackio

            self._run = trackio.init(
                project=self.project, name=str(self._directory), space_id=self.space, config=self._asked,
                resume="allow" if self._reached else "never", embed=False, auto_log_gpu=False, auto_log_cpu=False,
            )  # fmt: skip
        return self._run

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.experiment.log(without_epoch(metrics), step)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        self._asked.update(_convert_params(params))

    @rank_zero_only
    def begin(self, asked: Mapping[str, Any], texts: Mapping[str, str]) -> None:
        self.log_hyperparams({key: v if isinstance(v, int | float) else str(v) for key, v in asked.items()})
        for tag, text in texts.items():
            self.show_text(tag, text, self._reached)

    @rank_zero_only
    def show_picture(self, tag: str, content: bytes, step: int) -> None:
        import trackio

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"picture{suffix_of(content)}"
            path.write_bytes(content)
            kind = trackio.Video if path.suffix == ".gif" else trackio.Image
            self.experiment.log({tag: kind(str(path))}, step)

    @rank_zero_only
    def show_text(self, tag: str, text: str, step: int) -> None:
        import trackio

        self.experiment.log({tag: trackio.Markdown(f"```\n{text}\n```")}, step)

    @rank_zero_only
    def conclude(self, final: Mapping[str, float], files: Sequence[Path]) -> None:
        import trackio

        self.log_metrics(final)
        for path, folder in _sharing(files):
            trackio.log_artifact(str(path), name=plain_name(f"{folder}/{path.name}" if folder else path.name))
        self.experiment.finish()
