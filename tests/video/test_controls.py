from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from physworld.run import build
from physworld.video.controls import HOW, train_controls
from physworld.video.network import LORA_FILE

from commands import same
from repository import composed

TINY = ("model=tiny_video", "hardware=cpu", "global_batch=2", "evaluation.controls=[placebo,card]")


@pytest.mark.filterwarnings("ignore")
def test_a_control_is_made_anew_where_its_settings_are_other_ones(tmp_path: Path) -> None:
    placebo, card = (tmp_path / "model" / name for name in ("placebo", "card"))

    def train(*overrides: str) -> tuple[bool, bool]:
        """Which of the two were made."""
        before = [folder.stat().st_mtime_ns if folder.is_dir() else 0 for folder in (placebo, card)]
        cfg = composed("train", *TINY, "evaluation.card_steps=2", *overrides)
        assert list(train_controls(cfg, build(cfg), tmp_path)) == ["placebo", "card"]
        first, second = (folder.stat().st_mtime_ns for folder in (placebo, card))
        return first != before[0], second != before[1]

    assert train("steps=2") == (True, True)
    assert train("steps=2", "validate_every=7", "evaluation.pairs=3") == (False, False)  # neither is of learning
    assert train("steps=3") == (True, False)  # the card's has steps of its own
    assert [json.loads((folder / HOW).read_text())["steps"] for folder in (placebo, card)] == [3, 2]
    whole = {name: value.clone() for name, value in load_file(placebo / LORA_FILE).items()}  # not mapped from it
    (placebo / LORA_FILE).write_bytes((placebo / LORA_FILE).read_bytes()[:-9])
    assert train("steps=3") == (True, False)
    assert same(load_file(placebo / LORA_FILE), whole)
    assert train("steps=3", "model.learning_rate=0.5") == (True, True)
    assert not same(load_file(placebo / LORA_FILE), whole)
