"""Language models of transformers and vLLM as candidates of `evaluate.py`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.errors import UserError
from physworld.lm.vllm_generator import VllmError, room_for
from physworld.lm.vllm_worker import ended
from physworld.text.candidates import candidates, from_hf, load_hf

from evaluations import language_model, untrained_run
from repository import composed


def vllm_config(work: Path, *options: str) -> Any:
    language_model(work)
    return composed(
        "evaluate", "model=hf", "engine=vllm", f"weights={work / 'adapter'}", f"base={work / 'llama'}", *options
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "tokens are whole words; use evaluation.guided=false"),
        (("evaluation.guided=false",), "needs vLLM, and .* has no vllm; install vLLM in an environment of its own"),
        (("evaluation.guided=false", "engine_python=/nowhere/python"), "engine_python=/nowhere/python cannot be run"),
        (("evaluation.guided=false", "evaluation.samples=4"), "use evaluation.samples=0"),
    ],
)
def test_what_vllm_cannot_do_is_one_sentence(work: Path, options: tuple[str, ...], sentence: str) -> None:
    """It is not installed here: its worker starts, finds nothing, and says so."""
    with pytest.raises(UserError, match=sentence):
        from_hf(vllm_config(work, *options), torch.device("cpu"))


def test_vllm_goes_with_model_hf(work: Path) -> None:
    with pytest.raises(UserError, match="goes with model=hf"):
        candidates(composed("evaluate", "engine=vllm", f"run={untrained_run(work, 0)}"), torch.device("cpu"))


def test_what_vllm_is_told() -> None:
    """Ranks it makes room for, and answers that end as ours do."""
    assert [room_for(rank) for rank in (1, 2, 32, 33)] == [1, 8, 32, 64]
    with pytest.raises(VllmError, match="up to rank 512, not 600"):
        room_for(600)
    assert ended([5, 6], "stop", 2) == ended([5, 6, 2], "stop", 2) == [5, 6, 2] and ended([5], "length", 2) == [5]


def test_kept_answers_are_of_one_network_and_one_tokenizer(work: Path, tmp_path: Path) -> None:
    """What can change an answer and is no weight: the network's configuration, the tokenizer's rules."""
    language_model(work)
    keys = set()
    for name, file, change in (
        ("same", "config.json", {}),
        ("copy", "config.json", {}),
        ("turns otherwise", "config.json", {"rope_parameters": {"rope_theta": 50.0, "rope_type": "default"}}),
        (
            "cuts otherwise",
            "tokenizer.json",
            {"decoder": {"type": "ByteFallback"}},
        ),
    ):
        folder = shutil.copytree(work / "llama", tmp_path / name)
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**content, **change}))
        cfg = composed("evaluate", "model=hf", f"weights={folder}")
        keys.add(from_hf(cfg, torch.device("cpu")).key)
    assert len(keys) == 3


def test_a_file_of_predictions_holds_no_draws(work: Path, tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text("{}")
    cfg = composed("evaluate", f"predictions={tmp_path / 'answers.jsonl'}", "evaluation.samples=3")
    with pytest.raises(UserError, match=r"one answer to each moment, not drawn ones; use evaluation\.samples=0"):
        candidates(cfg, torch.device("cpu"))


def test_only_safe_weights_are_loaded(work: Path, tmp_path: Path) -> None:
    language_model(work)
    folder = tmp_path / "unsafe"
    folder.mkdir()
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / file).write_text((work / "llama" / file).read_text())
    torch.save({"model.embed_tokens.weight": torch.zeros(2)}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_hf(str(folder), None, torch.device("cpu"))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text((work / "adapter" / "adapter_config.json").read_text())
    torch.save({}, adapter / "adapter_model.bin")
    with pytest.raises(UserError, match=r"no adapter_model\.safetensors"):
        load_hf(str(adapter), str(work / "llama"), torch.device("cpu"))


def test_an_adapter_changes_what_its_base_says(work: Path) -> None:
    folder = language_model(work)
    device, ids = torch.device("cpu"), torch.arange(5, 15)[None]
    base, _ = load_hf(str(folder), None, device)
    merged, _ = load_hf(str(work / "adapter"), str(folder), device)
    assert not torch.allclose(base(ids).logits, merged(ids).logits)
