"""Weights are those of the network, all of them and no others; else they are refused by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from physworld.errors import UserError
from physworld.lm.gpt import GPT
from physworld.lm.weights import WeightsError, load_network, load_tokenizer
from physworld.runs.checkpoints import load_model
from physworld.runs.directory import SHIPPED

from tiny_lms import tiny

State = dict[str, Tensor]
LAST = "model.layers.1.mlp.down_proj.weight"
# What happened to the file, and what is said of it; '' = it loads.
DAMAGE: dict[str, tuple[Callable[[State], State], str]] = {
    "prefix": (
        lambda s: {f"module.{n}": v for n, v in s.items()},
        "lack lm_head.weight and .* more, which",
    ),
    "a layer": (
        lambda s: {n: v for n, v in s.items() if "layers.1" not in n},
        r"lack model\.layers\.1\..* and .* more",
    ),
    "one tensor": (lambda s: {n: v for n, v in s.items() if n != LAST}, f"lack {LAST}, which its network has"),
    "the output layer": (lambda s: {n: v for n, v in s.items() if n != "lm_head.weight"}, "lack lm_head.weight"),
    "one too many": (lambda s: {**s, "model.extra.weight": torch.ones(2)}, "hold model.extra.weight, for which its"),
    "half a prefix": (lambda s: {f"_orig_mod.{n}" if "layers.1" in n else n: v for n, v in s.items()}, ""),
    "a shape": (lambda s: {**s, LAST: torch.ones(3, 3)}, rf"do not fit: {LAST} is \(3, 3\) there and \(32, 64\) in"),
    "nothing": (lambda s: {}, "lack "),
}


def change(file: Path, how: Callable[[State], State]) -> None:
    save_file({name: value.contiguous() for name, value in how(load_file(file)).items()}, file, {"format": "pt"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny("qwen2").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_missing_or_left_over_is_named(what: str, folder: Path) -> None:
    how, words = DAMAGE[what]
    change(folder / "model.safetensors", how)
    if words:
        with pytest.raises(WeightsError, match=words):
            load_network(str(folder))
    else:
        assert torch.equal(load_network(str(folder)).state_dict()[LAST], tiny("qwen2").state_dict()[LAST])


def test_the_prefix_of_torch_compile_is_left_out_and_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(folder / "model.safetensors", lambda s: {f"_orig_mod.{n}": v for n, v in s.items()})
    found = load_network(str(folder)).state_dict()
    assert "begin with _orig_mod., as torch.compile leaves them; it is left out" in capsys.readouterr().out
    assert all(torch.equal(value, found[name]) for name, value in tiny("qwen2").state_dict().items())


def test_tied_weights_and_several_files_are_whole(tmp_path: Path) -> None:
    for tied, size in ((True, "1GB"), (False, "20KB")):
        lm = tiny("llama", tie_word_embeddings=tied)
        lm.save_pretrained(tmp_path / str(tied), max_shard_size=size)
        found = load_network(str(tmp_path / str(tied))).state_dict()
        assert all(torch.equal(value, found[name]) for name, value in lm.state_dict().items())
    assert len(list((tmp_path / "False").glob("*.safetensors"))) > 1


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda s: {n: v for n, v in s.items() if "layers.1" not in n}, r"lack .*layers\.1.*lora_A.* and .* more"),
        (lambda s: {n.replace("base_model.model.", "", 1): v for n, v in s.items()}, "lack "),
        (lambda s: {**s, "base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight": torch.ones(2, 32)}, "hold "),
    ],
)
def test_an_adapter_is_whole(how: Callable[[State], State], words: str, folder: Path, tmp_path: Path) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    adapted: Any = get_peft_model(tiny("qwen2"), config)
    adapted.save_pretrained(tmp_path / "adapter")
    load_network(str(tmp_path / "adapter"), str(folder))
    change(tmp_path / "adapter" / "adapter_model.safetensors", how)
    with pytest.raises(WeightsError, match=words):
        load_network(str(tmp_path / "adapter"), str(folder))


@pytest.mark.parametrize("what", ["blocks.0", "values", "say_words"])
def test_a_gpt_is_whole(what: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(SHIPPED / "model", run / "model")
    shutil.copy(SHIPPED / "config.yaml", run)
    load_model(run, torch.device("cpu"))
    change(run / "model" / "model.safetensors", lambda s: {n: v for n, v in s.items() if not n.startswith(what)})
    with pytest.raises(WeightsError, match=f"lack {what}"):
        GPT.from_pretrained(run / "model")
    with pytest.raises(UserError, match=f"lack {what}"):
        load_model(run, torch.device("cpu"))


def test_a_folder_without_a_tokenizer_says_so(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no tokenizer: none of tokenizer\.json, "):
        load_tokenizer(str(folder))
