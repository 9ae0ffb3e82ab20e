"""What the tests of spatial scenes share: payloads, broken scenes, a tiny Qwen2 with its own tokenizer on disk."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from physworld.spatial.codecs.rows import prompt_text
from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.reading import dumps, payload_from
from physworld.spatial.sources.drawn import SpatialSource
from physworld.types import Sample

from repository import ROOT

EXAMPLE = ROOT / "physworld" / "spatial" / "examples" / "payload.json"
NOISE: list[Any] = [None, "", [], {}, "x" * 50, -1e300, 1e300, 0, 37.123, True, "v1", float("nan"), -181, 200]
NUMBERS = ("az_deg", "el_deg", "dist_m", "width", "gain_db", "reverb_send", "early_reflections")


def payload(**changes: Any) -> Payload:
    """A small payload: a lead vocal, a kick, a bass and a pad, and no rules, but for the changes."""
    stems = [
        {
            "id": name,
            "class": kind,
            "lufs": -16.0,
            "transient": 0.3,
            "band_energy": {"low": low, "mid": 0.5, "high": round(0.5 - low, 2)},
            "leadness": lead,
        }
        for name, kind, low, lead in (
            ("vox", "lead_vocal", 0.1, 0.9),
            ("kick", "kick", 0.5, 0.3),
            ("bass", "bass", 0.5, 0.4),
            ("pad", "pad", 0.2, 0.2),
        )
    ]
    base = {
        "target_format": "iamf", "max_objects": 8, "style": "pop", "section": "verse",
        "global": {"bpm": 100, "energy": 0.7}, "stems": stems, "rules": [],
    }  # fmt: skip
    return payload_from({**base, **changes})


@functools.cache
def samples(axis: str = "seen", count: int = 60, split: str = "test") -> tuple[Sample, ...]:
    source = SpatialSource(seed=3, split=split, axis=axis)
    return tuple(source.sample(index) for index in range(count))


def spoiled(scene: dict[str, Any], ids: list[str], rng: np.random.Generator) -> dict[str, Any]:
    """One to eight careless changes: wrong numbers and types, objects copied, lost, renamed, keyframes at random."""
    scene = copy.deepcopy(scene)
    for _ in range(rng.integers(1, 9)):
        objects = scene.get("objects")
        if not (isinstance(objects, list) and objects) or rng.random() < 0.15:
            key = str(rng.choice(["version", "bed", "objects", "constraints_applied", "x"]))
            scene[key] = NOISE[rng.integers(len(NOISE))]
            continue
        thing = objects[rng.integers(len(objects))]
        kind = rng.integers(8)
        if not isinstance(thing, dict) or kind == 0:
            objects.remove(thing)
        elif kind <= 3:
            thing[str(rng.choice(NUMBERS))] = float(rng.uniform(-200, 200))
        elif kind == 4:
            thing[str(rng.choice([*NUMBERS, "class", "id", "motion", "extra"]))] = NOISE[rng.integers(len(NOISE))]
        elif kind == 5:
            keys = rng.uniform([-0.5, -200, -50, 0], [1.5, 200, 95, 16], (rng.integers(5), 4)).tolist()
            thing["motion"] = [dict(zip(("t", "az_deg", "el_deg", "dist_m"), key, strict=True)) for key in keys]
        elif kind == 6:
            objects.append(copy.deepcopy(thing))
        else:
            thing["id"] = str(rng.choice([*ids, "zz"]))
    return scene


def save_tiny_qwen(folder: Path) -> str:
    """A Qwen2 with random weights and a byte-level tokenizer that has seen a few rows; returns the folder."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    texts = [prompt_text(s.given.payload) + dumps(s.target) for s in samples(count=40, split="train")]
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=special[0], eos_token=special[1])
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(wrapped), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=True,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return str(folder)
