"""Folders of strangers: whoever answers `y` to a question of transformers runs their code, so no question is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from physworld.errors import UserError
from physworld.lm.unweighted import architecture
from physworld.lm.weights import WeightsError, load_network, load_tokenizer
from physworld.video.codecs.vae import VaeCodec

CODE = "import pathlib\n\npathlib.Path(__file__).with_name('ran').touch()\nraise ImportError\n"


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, whose own code leaves a mark where it is run."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    auto = {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M", "AutoTokenizer": ["own.T", None]}
    for folder in (tmp_path / "model", tmp_path / "model" / "tokenizer"):
        folder.mkdir()
        for name in ("config.json", "tokenizer_config.json"):
            (folder / name).write_text(json.dumps({"model_type": "own", "tokenizer_class": "T", "auto_map": auto}))
        (folder / "vocab.json").write_text("{}")
        (folder / "own.py").write_text(CODE)
    return tmp_path / "model"


def video_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    codec = VaeCodec(pretrained=str(folder), dtype="float32", tokens=8, cache=None, device="cpu")
    return codec._read(AutoTokenizer, "tokenizer")


@pytest.mark.parametrize(
    ("read", "refused"),
    [
        (lambda folder: architecture(str(folder)), UserError),
        (lambda folder: load_network(str(folder), dtype=torch.float32), WeightsError),
        (lambda folder: load_tokenizer(str(folder)), WeightsError),
        (video_tokenizer, FileNotFoundError),
    ],
    ids=["plan", "network", "tokenizer", "video"],
)
def test_code_of_a_folder_is_not_run(read: Callable[[Path], Any], refused: type[Exception], stranger: Path) -> None:
    with pytest.raises(refused, match="custom code"):
        read(stranger)
    assert not list(stranger.parent.rglob("ran"))
