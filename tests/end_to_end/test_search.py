"""A search that is kept in a file goes on where it was."""

from __future__ import annotations

import importlib.metadata
import sqlite3
from pathlib import Path

import pytest

from physworld.errors import UserError
from physworld.settings import messages

from commands import ended, run

SEARCH = (
    *("-m", "hparams_search=optuna", "hydra.sweeper.n_trials=1", "steps=1", "hardware=cpu", "hardware.num_workers=0"),
    *("evaluation.rollouts=1", "evaluation.val_rollouts=1", "evaluation.frames=2", "evaluation.horizons=[1]"),
    *("evaluation.pictures=0", "scenario.names=[projectile]", "data.stream.val_samples=4", "global_batch=4"),
    *("model.network.width=32", "model.network.depth=1", "data.source.frames=12", "model.optimizer=adamw"),
)
OLD = int(importlib.metadata.version("sqlalchemy").partition(".")[0]) < 2


@pytest.mark.skipif(not OLD, reason="needs SQLAlchemy below 2 (extra: sweep)")
def test_a_search_is_kept_in_a_file(tmp_path: Path) -> None:
    for times in (1, 2):
        run(tmp_path, "train.py", *SEARCH, "hydra.sweeper.storage=sqlite:///search.db")
        with sqlite3.connect(tmp_path / "search.db") as database:
            states = [row[0] for row in database.execute("select state from trials")]
        assert states == ["COMPLETE"] * times


def test_a_file_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    for storage in ("sqlite:////no/such/folder/search.db", "search.db"):
        done = ended(tmp_path, "train.py", *SEARCH, f"hydra.sweeper.storage={storage}")
        said = done.stderr.splitlines()[-1]
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert said.startswith("hydra.sweeper.storage cannot be used (" if OLD else f"hydra.sweeper.storage={storage} ")


def test_a_sqlalchemy_that_optuna_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: "2.1.9")
    with pytest.raises(UserError, match=r"needs SQLAlchemy below 2, and 2\.1\.9 is installed; install with: pip"):
        messages._refuse_storage(["-m", "hydra.sweeper.storage=sqlite:///x.db"])
    messages._refuse_storage(["-m", "hydra.sweeper.storage=null"])
