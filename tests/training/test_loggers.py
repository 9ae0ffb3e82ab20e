"""What a run leaves in its loggers, read back from their files."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from physworld.errors import UserError
from physworld.io.checksums import digest
from physworld.io.images import write_gif
from physworld.lm.gpt import GPT
from physworld.run import build
from physworld.runs.checkpoints import read_checkpoint, save_model
from physworld.runs.directory import write_json
from physworld.runs.state import Record
from physworld.settings import limits
from physworld.settings.reading import only
from physworld.training.fit import fit

from repository import CONF, composed
from tiny_gpt import CODEC

TINY = (
    *("hardware=cpu", "hardware.num_workers=0", "evaluation=quick", "evaluation.val_rollouts=1", "evaluation.frames=2"),
    *("evaluation.horizons=[1,2]", "scenario.names=[billiards,pendulum]", "global_batch=4", "model.network.width=32"),
    *("model.network.depth=1", "data.stream.val_samples=4", "data.source.frames=40", "validate_every=2"),
    *("checkpoint_every=2", "trainer.log_every_n_steps=1", "model.decay_fraction=0"),
)
PACKAGES = {"mlflow": "mlflow", "wandb": "wandb", "trackio": "trackio"}
THERE = [name for name, package in PACKAGES.items() if importlib.util.find_spec(package) is not None]
FINAL = {"ratio_best@2": 1.5, "rmse@2/model": 3.0, "held_out/ratio_best@2": 2.5, "rmse@2/linear": float("inf")}


def train(directory: Path, steps: int, checkpoint: Path | None = None, reached: int = 0) -> Any:
    """As the command does, its final evaluation left out."""
    chosen = f"logger=[{','.join(('tensorboard', 'csv', *THERE))}]"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*TINY, chosen, f"steps={steps}"], return_hydra_config=True)
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)
    try:
        cfg = only(cfg, [key for key in cfg if key != "hydra"])
        resolved: Any = OmegaConf.to_container(cfg, resolve=True)
        parts = build(cfg)
        record = Record(directory, verb="train", command="train.py scenario.names=[billiards,pendulum]")
        return fit(cfg, resolved, parts, directory, checkpoint, reached, (), record)
    finally:
        HydraConfig.instance().cfg = before


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five steps, of which the fifth is lost with its process, and on from the fourth to the sixth."""
    work: Path = tmp_path_factory.mktemp("loggers")
    before = Path.cwd()
    os.chdir(work)  # where mlflow keeps its runs
    os.environ["TRACKIO_DIR"] = str(work / "trackio")
    try:
        home = Path("run")
        train(home, 5).log_result(home, {"rmse@2/model": 9.0}, 9.0)  # of the shorter run: it is not the result
        for path in (home / "checkpoints").glob("*.ckpt"):  # `last` is of step 5, as if there were none
            if read_checkpoint(path)["global_step"] == 4:
                break
        else:
            pytest.fail("no checkpoint of step 4")
        kept = shutil.copy(path, work / "four.ckpt")
        done = train(home, 6, kept, 4)
        write_gif(home / "pictures" / "billiards.gif", np.zeros((2, 8, 8, 3), np.uint8), 10)
        write_json(home / "metrics.json", {"headline": FINAL})
        save_model(GPT.for_vocabulary(CODEC.vocabulary, width=16, depth=1, heads=2), CODEC, home)
        done.log_result(home, FINAL, 1.5)
    finally:
        os.chdir(before)
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
    final = [row for row in rows if row["final/rmse@2/model"]]
    assert final == rows[-1:] and float(final[0]["final/rmse@2/model"]) == 3 and final[0]["step"] == "5"
    assert "final/rmse@2/linear" not in rows[-1]  # infinite
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
    assert "train.py scenario.names=[billiards,pendulum]" in said[0]
    told = yaml.safe_load("\n".join(line[4:] for line in said[1].splitlines()))
    assert told == yaml.safe_load((directory / "config.yaml").read_text())


def test_hparams_know_choices_and_a_score_that_has_one_name(directory: Path, events: Any) -> None:
    data = plugin_data_pb2.HParamsPluginData()
    data.ParseFromString(events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
    asked = data.session_start_info.hparams
    assert asked["model"].string_value == "gpt" and asked["curriculum"].string_value == "mixed"
    assert asked["model.network.width"].number_value == 32
    assert events.Scalars("final/score")[-1].value == 1.5
    assert events.Scalars("final/held_out/ratio_best@2")[-1].value == 2.5


@pytest.mark.skipif("mlflow" not in THERE, reason="mlflow is not installed (extra: loggers)")
def test_mlflow_is_one_run_with_files(directory: Path) -> None:
    (home,) = [path.parent for path in (directory.parent / "outputs/mlruns").rglob("params")]
    assert (home / "params/model").read_text() == "gpt"
    lines = [line.split() for line in (home / "metrics/train/loss").read_text().splitlines()]
    assert {int(step) for _, _, step in lines} == set(range(6))
    assert {"model", "pictures", "metrics.json", "command.txt"} <= {
        path.name for path in (home / "artifacts").iterdir()
    }


@pytest.mark.skipif("wandb" not in THERE, reason="wandb is not installed (extra: loggers)")
def test_wandb_lies_in_the_run(directory: Path) -> None:
    runs = sorted((directory / "wandb").glob("offline-run-*"))
    assert len({path.name.rpartition("-")[2] for path in runs}) == 1  # what goes on has the name that it had
    kept = runs[-1] / "files"
    assert (kept / "model/model.safetensors").exists() and list((kept / "media/videos/final").glob("*.gif"))


@pytest.mark.skipif("trackio" not in THERE, reason="trackio is not installed (extra: loggers)")
def test_trackio_is_one_run_with_files(directory: Path, events: Any) -> None:
    from trackio.sqlite_storage import SQLiteStorage

    assert SQLiteStorage.get_runs("physworld") == ["run"]  # what goes on has the name that it had
    config, logs = SQLiteStorage.get_run_config("physworld", "run"), SQLiteStorage.get_logs("physworld", "run")
    assert config["model"] == "gpt" and config["model.network.width"] == 32
    losses = [(log["step"], log["train/loss"]) for log in logs if "train/loss" in log]
    assert sorted(set(losses)) == sorted(dict(losses).items())  # a step that was lost comes again, with its loss
    there = {point.step: point.value for point in events.Scalars("loss/train")}
    assert dict(losses) == pytest.approx(there) and set(there) == set(range(6))
    (final,) = [log for log in logs if "final/score" in log]
    assert (final["final/score"], final["final/held_out/ratio_best@2"]) == (1.5, 2.5)
    said = next(log["command"] for log in logs if "command" in log)
    assert "train.py scenario.names=[billiards,pendulum]" in str(said)
    home = directory.parent / "trackio"
    assert len(list((home / "media/physworld/run").rglob("*.gif"))) >= 4  # of three validations and of the end
    kept = {path.name for path in (home / "artifacts").rglob("*") if path.is_file()}
    weights = directory / "model" / "model.safetensors"
    assert {digest(weights), digest(directory / "metrics.json")} <= kept  # files are kept by their sum


@pytest.mark.parametrize("name", [name for name in PACKAGES if name not in THERE])
def test_what_is_not_installed_is_one_sentence(name: str) -> None:
    with pytest.raises(
        UserError, match=rf"^logger={name} needs {name}; install with: pip install 'physworld\[loggers\]'\.$"
    ):
        limits.check(composed("train", f"logger={name}"))
