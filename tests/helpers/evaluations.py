"""`evaluate.py` in this process, and tiny untrained models for it."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.lm.gpt import GPT
from physworld.runs.checkpoints import save_model
from physworld.text.codecs.engine import EngineCodec
from physworld.text.codecs.impulse import ImpulseCodec

from repository import ROOT

WHOLE = "[0-9a-f]*.npz"  # a killed process may leave a hidden file that was being written


EVALUATION: dict[str, Any] = {
    "rollouts": 1, "val_rollouts": 1, "frames": 5, "horizons": None, "latest_start": 4, "batch_size": 1,
    "guided": True, "pictures": 0,
}  # fmt: skip


SMALL = (
    "hardware=cpu",
    "scenario.names=[billiards,pendulum]",
    "difficulties=[1]",
    "evaluation.frames=3",
    "evaluation.horizons=[1,3]",
    "evaluation.pictures=1",
    "limit=2",
)


def evaluate(where: Path, *arguments: str, fails: bool = False) -> str:
    """The command, in this process: a start of Python each time would double what these tests take."""
    out, err, before, code = io.StringIO(), io.StringIO(), Path.cwd(), 0
    GlobalHydra.instance().clear()
    os.chdir(where)
    try:
        with (
            mock.patch.object(sys, "argv", [str(ROOT / "evaluate.py"), *SMALL, *arguments]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            runpy.run_path(str(ROOT / "evaluate.py"), run_name="__main__")
    except SystemExit as left:
        code = left.code or 0
    finally:
        os.chdir(before)
        GlobalHydra.instance().clear()
    assert (code != 0) is fails, out.getvalue() + err.getvalue()
    return err.getvalue() if fails else out.getvalue()


def rows(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "rows.jsonl").read_text().splitlines()]


@functools.cache
def untrained_run(work: Path, seed: int) -> Path:
    """What a finished run leaves behind, as far as evaluation reads it."""
    torch.manual_seed(seed)
    codec, directory = ImpulseCodec(), work / f"run{seed}"
    network = GPT.for_vocabulary(codec.vocabulary, width=16, depth=1, heads=2)
    save_model(network, codec, directory)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", ["model.network.width=16", "model.network.depth=1", "model.network.heads=2"])
    OmegaConf.save(cfg, directory / "config.yaml")
    return directory


@functools.cache
def language_model(work: Path) -> Path:
    """A tiny Llama with a tokenizer, as a folder; and an adapter for it beside."""
    torch.manual_seed(0)
    tokenizer = EngineCodec().tokenizer
    sizes: Any = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=4096, **sizes))
    folder = work / "llama"
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    adapted: Any = get_peft_model(
        network, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    adapted.save_pretrained(work / "adapter")
    return folder
