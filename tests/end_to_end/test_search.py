"""A search and a sweep whose process is killed go on by the same command."""

from __future__ import annotations

import json
from pathlib import Path

from physworld.runs import trial as trials

from commands import ended, run, start

SMALL = (
    *("hardware=cpu", "hardware.num_workers=0", "evaluation.rollouts=1", "evaluation.val_rollouts=1"),
    *("evaluation.frames=2", "evaluation.horizons=[1]", "evaluation.pictures=0", "scenario.names=[projectile]"),
    *("data.stream.val_samples=4", "global_batch=4", "model.network.width=32", "model.network.depth=1"),
    *("data.source.frames=12", "model.optimizer=adamw", "checkpoint_every=1"),
)
SEARCH = ("-m", "hparams_search=optuna", "hydra.sweeper.n_trials=1", *SMALL)


def test_a_killed_search_goes_on_and_runs_no_trial_more(tmp_path: Path) -> None:
    home = tmp_path / "outputs" / "search" / "physworld"
    killed = start(tmp_path, "train.py", *SEARCH, "steps=60", "validate_every=60")
    killed.wait_until((home / "0" / "checkpoints" / "last.ckpt").exists)
    killed.kill()
    assert json.loads((home / "0" / "run.json").read_text())["state"] == "running"
    said = ended(tmp_path, "train.py", *SEARCH, "steps=2", "validate_every=2").stderr
    assert "is of another command: they differ in steps, validate_every; give the same settings" in said
    again = run(tmp_path, "train.py", *SEARCH, "steps=60", "validate_every=60")
    assert "0 finished trials and 1 that were under way; 0 more are to come" in again
    assert "goes on from checkpoints/last.ckpt" in again and "step 60/60" in again
    study = trials.optuna().load_study(study_name="physworld", storage=trials.storage(str(home / "study.journal")))
    assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE"]


def test_a_sweep_skips_what_is_finished_and_refuses_another(tmp_path: Path) -> None:
    sweep = ("-m", "seed=1", "steps=1", "validate_every=1", "hydra.sweep.dir=s", *SMALL)
    run(tmp_path, "train.py", *sweep)
    record, metrics = (json.loads((tmp_path / "s/0" / name).read_text()) for name in ("run.json", "metrics.json"))
    assert record["state"] == "finished" and record["score"] == metrics["headline"]["ratio_best@1"]
    assert "s/0 is finished already." in run(tmp_path, "train.py", *sweep)
    assert json.loads((tmp_path / "s/0/run.json").read_text()) == record
    done = ended(tmp_path, "train.py", *sweep, "model.learning_rate=0.5")
    assert done.returncode == 1
    assert "s/0 is of another sweep, with model.learning_rate=" in done.stderr.splitlines()[-1]
