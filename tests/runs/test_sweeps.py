"""Where a job of a sweep stands that may have been started before."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from physworld.errors import UserError
from physworld.runs import state
from physworld.runs.directory import flatten
from physworld.runs.sweeps import Again, again, settle_last

ASKED = {"seed": 1, "steps": 9, "ckpt": None, "init_from": None}


def job(folder: Path, how: str, score: float = 1.5, checkpoints: tuple[str, ...] = ()) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "tensorboard").mkdir()
    record = state.Record(folder, verb="train", command="")
    record.write(state=how, score=score if math.isfinite(score) else None, error="given up")
    OmegaConf.save(
        {"seed": 1, "steps": 9, "ckpt": None, "init_from": None, "hardware": {"devices": 2}}, folder / "config.yaml"
    )
    for name in checkpoints:
        content: dict[str, Any] = {"state_dict": {}, "global_step": 3, "optimizer_states": [], "lr_schedulers": []}
        torch.save(content, folder / "checkpoints" / f"{name}.ckpt")
    return folder


def asked(**some: Any) -> Any:
    return OmegaConf.create(
        {"seed": 1, "steps": 9, "ckpt": None, "init_from": None, "hardware": {"devices": 1}, **some}
    )


def test_finished_ones_give_their_figure_and_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert again(tmp_path / "nothing", asked()) == Again()
    assert again(job(tmp_path / "a", "finished"), asked(steps=None)) == Again(score=1.5)
    assert again(job(tmp_path / "b", "finished", math.inf), asked()) == Again(score=math.inf)
    for number, how in enumerate(("running", "stopped", "failed")):
        both = job(tmp_path / f"c{number}", how, checkpoints=("last", "best"))
        assert again(both, asked()) == Again(ckpt="last")
    early = job(tmp_path / "d", "running")
    with pytest.MonkeyPatch.context() as second:
        second.setenv("SLURM_PROCID", "1")
        assert again(early, asked()) == Again() and (early / "tensorboard").exists()
    assert again(early, asked()) == Again() and not (early / "tensorboard").exists()
    with pytest.raises(state.Pruned, match="given up"):
        again(job(tmp_path / "e", "pruned"), asked())
    with pytest.raises(UserError, match=r"a is of another sweep, with steps=9 and not steps=8; choose another hydra"):
        again(tmp_path / "a", asked(steps=8))
    with pytest.raises(
        UserError, match=r"with trainer\.gradient_clip_val=null and not trainer\.gradient_clip_val=0\.1"
    ):
        again(tmp_path / "a", asked(trainer={"gradient_clip_val": 0.1}))
    assert again(tmp_path / "a", asked(trainer={"log_every_n_steps": 7})) == Again(score=1.5)
    assert "goes on from checkpoints/last.ckpt" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_named_and_an_older_one_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = job(tmp_path / "a", "running", checkpoints=("last", "best"))
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-40])
    assert again(folder, asked()) == Again(ckpt="best")
    assert f"last.ckpt in {last.parent} cannot be read; best.ckpt of step 3 is taken." in capsys.readouterr().out
    (folder / "checkpoints" / "best.ckpt").write_bytes(b"")
    assert again(folder, asked()) == Again() and not (folder / "checkpoints").exists()


def finished(folder: Path, when: int) -> None:
    (folder / "model").mkdir(parents=True)
    for name in ("config.yaml", "model/config.json", "metrics.json"):
        (folder / name).write_text("{}")
    os.utime(folder / "metrics.json", (when, when))


def test_last_is_one_run_for_all_jobs_of_a_sweep_and_for_whoever_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = {"run": "last", "runs": ["solver", "last"], "errors": "last"}
    asked_for = {"init_from": "last", "data": {"source": source}}
    for number, name in enumerate(("A", "multirun/D/0")):
        finished(Path("outputs") / name, 1000 + number)
    cfg = OmegaConf.create(asked_for)
    settle_last(cfg, {}, Path("outputs/multirun/D"))
    meant = {"run": "outputs/A", "runs": ["solver", "outputs/A"], "errors": "outputs/A"}
    assert cfg == {"init_from": "outputs/A", "data": {"source": meant}}
    alone, again_there = OmegaConf.create(asked_for), OmegaConf.create(asked_for)
    settle_last(alone, {}, None)
    assert alone.init_from == alone.data.source.run == "outputs/multirun/D/0"
    settle_last(again_there, flatten(OmegaConf.to_container(cfg)), None)  # the newest is another one by now
    assert again_there == cfg


def test_a_job_that_named_last_goes_on_and_another_run_is_refused(tmp_path: Path) -> None:
    folder = job(tmp_path / "a", "running", checkpoints=("last",))
    known = OmegaConf.load(folder / "config.yaml")
    OmegaConf.save(
        {**known, "init_from": "outputs/A", "data": {"source": {"run": "outputs/A"}}}, folder / "config.yaml"
    )
    assert again(folder, asked(init_from="last", data={"source": {"run": "last"}})) == Again(ckpt="last")
    with pytest.raises(UserError, match=r"with data\.source\.run=outputs/A and not data\.source\.run=outputs/B"):
        again(folder, asked(init_from="last", data={"source": {"run": "outputs/B"}}))
