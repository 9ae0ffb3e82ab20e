"""What a run leaves in its loggers, read back from their files."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from physworld.errors import UserError
from physworld.settings import checks

from commands import ended, run
from repository import composed

TINY = (
    *("hardware=cpu", "hardware.num_workers=0", "evaluation=quick", "evaluation.rollouts=1", "evaluation.frames=2"),
    *("evaluation.horizons=[1,2]", "evaluation.pictures=2", "scenario.names=[billiards,pendulum]", "global_batch=4"),
    *("model.network.width=32", "model.network.depth=1", "data.stream.val_samples=4", "data.source.frames=40"),
    *("validate_every=2", "checkpoint_every=2", "trainer.log_every_n_steps=1"),
)
PACKAGES = {"mlflow": "mlflow", "wandb": "wandb", "trackio": "trackio"}
THERE = [name for name, package in PACKAGES.items() if importlib.util.find_spec(package) is not None]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps, and after a fifth that is lost with its process, on from the fourth to the sixth."""
    work = tmp_path_factory.mktemp("loggers")
    chosen = f"logger=[{','.join(('tensorboard', 'csv', *THERE))}]"
    command = ("train.py", *TINY, chosen, "hydra.run.dir=run")
    first = ended(work, *command, "steps=5", "checkpoint_every=4", "skip_steps=0", "model.decay_fraction=0")
    assert first.returncode == 0, first.stderr
    # As after a kill: the checkpoint is of step 4, and the loggers hold a fifth step.
    state = torch.load(work / "run/checkpoints/best.ckpt", weights_only=True)
    assert state["global_step"] in (2, 4)
    shutil.copy(work / "run/checkpoints/best.ckpt", work / "run/checkpoints/last.ckpt")
    said = run(work, *command, "steps=6", "ckpt=last", "model.decay_fraction=0")
    assert "TensorBoard:" in said
    return work / "run"


@pytest.fixture(scope="module")
def events(directory: Path) -> Any:
    return EventAccumulator(str(directory / "tensorboard"), {"images": 0, "tensors": 0, "scalars": 0}).Reload()


def test_curves_have_each_step_once_and_losses_come_first(events: Any) -> None:
    tags = sorted(events.Tags()["scalars"])
    assert "epoch" not in tags and {"train/loss", "val/loss"}.isdisjoint(tags)
    assert next(tag for tag in tags if not tag.startswith("final/")) == "loss/train"
    for tag, steps in {"loss/train": range(6), "train/gradient_norm": range(6), "loss/val": (1, 3, 5)}.items():
        assert [point.step for point in events.Scalars(tag)] == list(steps), tag
    assert all(point.value > 0 for point in events.Scalars("train/gradient_norm"))


def test_csv_holds_the_same_figures(directory: Path, events: Any) -> None:
    rows = list(csv.DictReader((directory / "csv/metrics.csv").open(newline="")))
    for tag, name in {"loss/train": "train/loss", "loss/val": "val/loss"}.items():
        there = {int(row["step"]): float(row[name]) for row in rows if row[name]}
        assert there == pytest.approx({point.step: point.value for point in events.Scalars(tag)})
    assert sum(bool(row["train/loss"]) for row in rows) == 6
    metrics = json.loads((directory / "metrics.json").read_text())
    assert float(rows[-1]["final/rmse@2/model"]) == pytest.approx(metrics["headline"]["rmse@2/model"])
    assert (directory / "csv/pictures/final_billiards_6.gif").read_bytes().startswith(b"GIF8")


def test_charts_put_baselines_beside_the_model(events: Any) -> None:
    layout = layout_pb2.Layout()
    layout.ParseFromString(events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0])
    tags = events.Tags()["scalars"]
    lines = {
        f"{category.title}: {chart.title}": [
            tag for tag in tags for some in chart.multiline.tag if re.search(some, tag)
        ]
        for category in layout.category
        for chart in category.chart
    }
    assert lines["Loss: loss"] == ["loss/train", "loss/val"]
    assert set(lines["Loss: loss of events"]) == {"loss/train_events", "loss/val_events"}
    for horizon in (1, 2):
        methods = {tag.rpartition("/")[2] for tag in lines[f"Model beside baselines: RMSE, px: {horizon} frames ahead"]}
        assert {"model", "linear", "copy_last", "ballistic"} <= methods
    assert lines["Throughput: samples a second"] == ["speed/samples/s"]
    assert len(events.Scalars("rollout/rmse@2/linear")) == len(events.Scalars("rollout/rmse@2/model")) == 3


def test_pictures_are_tagged_by_scenario(events: Any) -> None:
    assert {"rollout/billiards", "rollout/pendulum", "final/billiards"} <= set(events.Tags()["images"])
    shown = events.Images("rollout/pendulum")[0]
    assert shown.encoded_image_string.startswith(b"GIF8") and shown.width > 100


def test_command_and_configuration_are_there_as_text(directory: Path, events: Any) -> None:
    said = [
        events.Tensors(f"{name}/text_summary")[-1].tensor_proto.string_val[0].decode() for name in ("command", "config")
    ]
    assert "train.py" in said[0] and "scenario.names=[billiards,pendulum]" in said[0]
    told = yaml.safe_load("\n".join(line[4:] for line in said[1].splitlines()))
    assert told == yaml.safe_load((directory / "config.yaml").read_text())


def test_hparams_know_choices_and_a_score_that_has_one_name(directory: Path, events: Any) -> None:
    data = plugin_data_pb2.HParamsPluginData()
    data.ParseFromString(events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
    asked = data.session_start_info.hparams
    assert asked["model"].string_value == "gpt" and asked["curriculum"].string_value == "mixed"
    assert asked["model.network.width"].number_value == 32
    metrics = json.loads((directory / "metrics.json").read_text())["headline"]
    assert events.Scalars("final/score")[-1].value == pytest.approx(metrics["ratio_best@2"])
    held_out = events.Scalars("final/held_out/ratio_best@2")[-1].value
    assert held_out == pytest.approx(metrics["held_out/ratio_best@2"])
    assert "held_out/ratio_best@2" in run(directory.parent, "physworld", "compare", str(directory))


@pytest.mark.skipif("mlflow" not in THERE, reason="mlflow is not installed (extra: loggers)")
def test_mlflow_is_one_run_with_files(directory: Path) -> None:
    (home,) = [path.parent for path in (directory.parent / "outputs/mlruns").rglob("params")]
    assert (home / "params/model").read_text() == "gpt"
    lines = [line.split() for line in (home / "metrics/train/loss").read_text().splitlines()]
    assert {int(step) for _, _, step in lines} == set(range(6))
    assert {"model", "pictures", "report.md", "command.txt"} <= {path.name for path in (home / "artifacts").iterdir()}


@pytest.mark.skipif("wandb" not in THERE, reason="wandb is not installed (extra: loggers)")
def test_wandb_lies_in_the_run(directory: Path) -> None:
    runs = sorted((directory / "wandb").glob("offline-run-*"))
    assert len({path.name.rpartition("-")[2] for path in runs}) == 1  # what goes on has the name that it had
    kept = runs[-1] / "files"
    assert (kept / "model/model.safetensors").exists() and list((kept / "media/videos/final").glob("*.gif"))


@pytest.mark.parametrize("name", [name for name in PACKAGES if name not in THERE])
def test_what_is_not_installed_is_one_sentence(name: str) -> None:
    with pytest.raises(
        UserError, match=rf"^logger={name} needs {name}; install with: pip install 'physworld\[loggers\]'\.$"
    ):
        checks.settings(composed("train", f"logger={name}"))


def test_a_run_that_no_longer_improves_ends_with_its_best_weights(tmp_path: Path) -> None:
    """Nothing is ever better by 10, so the second validation is the last one."""
    said = run(
        tmp_path, "train.py", *TINY, "steps=40", "early_stopping=loss", "early_stopping.patience=1",
        "early_stopping.min_delta=10", "early_stopping.monitor=rollout/rmse@1/model", "logger=none",
        "hydra.run.dir=run",
    )  # fmt: skip
    assert "Stopped early at step 4: no better rollout/rmse@1/model in 1 validations" in said
    assert not (tmp_path / "run/tensorboard").exists() and "TensorBoard:" not in said
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
    told = run(
        tmp_path, "train.py", *TINY, "steps=40", "early_stopping=rollout", "early_stopping.patience=1",
        "early_stopping.min_delta=1e9", "logger=none", "hydra.run.dir=other",
    )  # fmt: skip
    best = torch.load(tmp_path / "other/checkpoints/best.ckpt", weights_only=True)
    assert f"What follows is of best.ckpt, step {best['global_step']}." in told
    saved = load_file(tmp_path / "other/model/model.safetensors")
    there = {name.removeprefix("network."): value for name, value in best["state_dict"].items()}
    assert all(torch.equal(saved[name], there[name]) for name in saved)


def test_a_monitor_that_nobody_logs_is_named_and_time_ends_a_run(tmp_path: Path) -> None:
    refused = ended(tmp_path, "train.py", *TINY, "steps=4", "early_stopping=loss", "early_stopping.monitor=val/los",
                    "hydra.run.dir=a")  # fmt: skip
    assert refused.returncode == 1 and "Did you mean val/loss? Choose one of rollout/" in refused.stderr
    said = run(tmp_path, "train.py", *TINY, "steps=100000", "max_time=00:00:02", "hydra.run.dir=b")
    reached = int(re.search(r"max_time=00:00:02 is over at step (\d+) of 100000; it is saved", said)[1])  # type: ignore[index]
    assert torch.load(tmp_path / "b/checkpoints/last.ckpt", weights_only=True)["global_step"] == reached
    assert json.loads((tmp_path / "b/metrics.json").read_text())["cost"]["samples"] == 4 * reached
