"""Weights on disk: what is not whole is refused by name, and what is saved means the same to plain diffusers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

from physworld.video.backbones import SHIPPED, CogVideoX, TinyVideo
from physworld.video.codecs.vae import VaeCodec
from physworld.video.network import LORA_FILE, VideoNetwork
from physworld.video.weights import LOCAL, Unfit, origin

import tiny_cogvideox

ADAPTER = {"rank": 4, "alpha": 12, "dropout": 0.05}
SHAPE: dict[str, Any] = {"shape": (3, 4, 4, 4), "frames": 9, "text": (8, 32)}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cogvideox.make(tmp_path_factory.mktemp("cogvideox"))


@pytest.fixture
def folder(pipeline: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pipeline, tmp_path / "weights"))


def network(folder: Path, **lora: Any) -> VideoNetwork:
    recipe = CogVideoX(pretrained=str(folder), dtype="float32", lora={**ADAPTER, **lora})
    return recipe.build(**SHAPE, seed=0)


def codec(folder: Path) -> VaeCodec:
    return VaeCodec(pretrained=str(folder), dtype="float32", tokens=8, cache=None, device="cpu")


PARTS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "transformer": ("diffusion_pytorch_model.safetensors", network),
    "vae": ("diffusion_pytorch_model.safetensors", lambda folder: codec(folder).vae),
    "text_encoder": ("model.safetensors", lambda folder: codec(folder).prompts(["a ball"])),
}


def change(path: Path, how: str) -> str:
    """Damage one file of weights; the tensor that is concerned."""
    held = load_file(path)
    name = sorted(n for n, v in held.items() if v.ndim > 1)[len(held) // 4]
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-100])
        return ""
    if how == "missing":
        del held[name]
    elif how == "left over":
        name = "another.weight"
        held[name] = torch.zeros(3)
    elif how == "shape":
        held[name] = held[name].repeat(2, *[1] * (held[name].ndim - 1))
    elif how == "nan":
        held[name][0] = torch.nan
    save_file(held, path, {"format": "pt"})
    return name


HOW = {
    "missing": "its file lacks {}", "left over": "the network has no place for {}",
    "nan": "numbers in {} are not finite", "cut": "damaged or cut short", "shape": "not those of its config.json",
}  # fmt: skip


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_not_whole_is_refused_by_name(part: str, how: str, folder: Path) -> None:
    file, load = PARTS[part]
    load(folder)  # it is whole
    name = change(folder / part / file, how)
    with pytest.raises(Unfit) as caught:
        load(folder)
    assert f"the {part} of {folder}" in str(caught.value) and HOW[how].format(name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", HOW)
def test_a_base_that_is_not_whole_is_refused_by_name(how: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "base"))
    build = {"shape": (5, 32, 24, 2), "frames": 17, "text": (2, 19), "seed": 0}
    TinyVideo(base=str(folder)).build(**build)  # type: ignore[arg-type]
    name = change(folder / "diffusion_pytorch_model.safetensors", how)
    with pytest.raises(Unfit) as caught:
        TinyVideo(base=str(folder)).build(**build)  # type: ignore[arg-type]
    assert str(folder) in str(caught.value) and HOW[how].format(name) in str(caught.value)


def test_the_decoder_of_a_whole_t5_is_not_left_over(folder: Path) -> None:
    """The published text encoder's file may hold the decoder, too; transformers names what it leaves out on purpose."""
    config = T5Config(
        vocab_size=300, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    )
    T5ForConditionalGeneration(config).save_pretrained(folder / "text_encoder")
    assert codec(folder).prompts(["a ball"]).shape == (1, 8, 32)


@pytest.mark.parametrize("how", ["missing", "left over", "cut", "nan", "shape"])
def test_an_adapter_that_is_not_whole_is_refused_by_name(how: str, pipeline: Path, tmp_path: Path) -> None:
    network(pipeline).save(tmp_path)
    name = change(tmp_path / LORA_FILE, how)
    (tmp_path / "SHA256SUMS").unlink()  # as others publish adapters
    words = {**HOW, "shape": f"{name} is [", "cut": "damaged or cut short"}[how].format(name)
    with pytest.raises(Unfit) as caught:
        network(pipeline).load(tmp_path, "lora")
    assert f"the adapter {tmp_path / LORA_FILE}" in str(caught.value) and words in str(caught.value)


def test_an_adapter_of_another_rank_is_refused(pipeline: Path, tmp_path: Path) -> None:
    network(pipeline, rank=2).save(tmp_path)
    with pytest.raises(Unfit, match=r"lora_A\.weight is \[2, 32\], and this base needs \[4, 32\]"):
        network(pipeline).load(tmp_path, "lora")


def test_a_plain_pipeline_says_what_we_say_each_time(pipeline: Path, tmp_path: Path) -> None:
    ours = network(pipeline, dropout=0.5)
    generator = torch.Generator().manual_seed(3)
    for parameter in ours.trainable():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    ours.train()  # as in the middle of a run
    ours.save(tmp_path)
    prompt, empty = codec(pipeline).prompts(["A ball falls."]), codec(pipeline).prompts([""])
    noise = torch.randn(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = ours.eval().generate(prompt, noise, steps=3, guidance=6.0, empty=empty)
    pipe = tiny_cogvideox.pipeline(pipeline)
    pipe.load_lora_weights(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    for _ in range(2):
        theirs = pipe(
            prompt_embeds=prompt, negative_prompt_embeds=empty, latents=noise.clone(), num_frames=9, height=32,
            width=32, num_inference_steps=3, guidance_scale=6.0, output_type="latent",
        ).frames  # fmt: skip
        assert torch.allclose(expected, theirs, atol=1e-5)
    (config,) = ours.transformer.peft_config.values()
    assert config.lora_dropout == 0.5, "training goes on as it was"


def test_no_path_of_this_machine_is_in_what_others_get(pipeline: Path, tmp_path: Path) -> None:
    network(pipeline).save(tmp_path / "adapter")
    with safe_open(tmp_path / "adapter" / LORA_FILE, "pt") as file:
        settings = json.loads(file.metadata()["lora_adapter_metadata"])
    assert settings["transformer.base_model_name_or_path"] == LOCAL == origin(str(pipeline))
    assert origin("THUDM/CogVideoX-2b") == "THUDM/CogVideoX-2b"
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "base"))
    whole = TinyVideo(base=str(folder), lora=None).build(shape=(5, 32, 24, 2), frames=17, text=(2, 19), seed=0)
    whole.save(tmp_path / "whole")
    for path in [*(tmp_path / "adapter").iterdir(), *(tmp_path / "whole").iterdir()]:
        assert str(tmp_path).encode() not in path.read_bytes(), path
    again = TinyVideo(base=str(tmp_path / "whole")).build(shape=(5, 32, 24, 2), frames=17, text=(2, 19), seed=0)
    assert again.adapted
