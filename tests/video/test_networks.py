"""Video networks, codecs and their LoRA with the real diffusers and peft classes at toy size."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from physworld.video.backbones import SHIPPED, CogVideoX, TinyVideo
from physworld.video.codecs.pixels import PixelCodec
from physworld.video.codecs.vae import VaeCodec
from physworld.video.diffusion_module import VideoDiffusion
from physworld.video.network import EPSILON, LORA_FILE, V, VideoNetwork, tiny
from physworld.video.source import ClipSource
from physworld.video.weights import version

import tiny_cogvideox
from repository import ROOT

ADAPTER = {"rank": 4, "alpha": 12, "dropout": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cogvideox.make(tmp_path_factory.mktemp("cogvideox"))


@pytest.fixture(scope="module")
def codec(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> VaeCodec:
    cache = tmp_path_factory.mktemp("cache")
    return VaeCodec(pretrained=str(folder), dtype="float32", tokens=8, cache=str(cache), device="cpu")


def source(**changes: object) -> ClipSource:
    return ClipSource(seed=0, split="train", **changes)  # type: ignore[arg-type]


def small(**changes: object) -> VideoNetwork:
    return tiny(heads=2, head_width=16, layers=2, **changes)  # type: ignore[arg-type]


def stir(network: VideoNetwork, scale: float = 0.05) -> None:
    """Random adapter weights: fresh ones change nothing."""
    generator = torch.Generator().manual_seed(3)
    for parameter in network.trainable():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator)


def test_pixels_survive_the_codec() -> None:
    clips = source().clips(range(3))
    frames = torch.from_numpy(np.stack([c.frames for c in clips]))
    codec = PixelCodec(scale=5.0)
    latents = codec.latents(frames)
    assert latents.shape[1:] == codec.latent_shape(17, 8, 48) == (5, 32, 24, 2)
    grey = frames.float().mean(-1, keepdim=True).round().to(torch.uint8)
    assert np.array_equal(codec.decode(latents), grey.expand_as(frames).numpy())


def test_captions_are_told_apart_and_nonsense_is_refused() -> None:
    codec = PixelCodec()
    said = codec.prompts([c.caption for c in source().clips(range(20))])
    assert said.shape == (20, codec.prompt_tokens, codec.prompt_width)
    assert len({tuple(row.flatten().tolist()) for row in said}) == 20
    with pytest.raises(ValueError, match=r"restitution 0\.65"):
        codec.prompts(["a cat"])


def test_velocity_target_is_that_of_the_scheduler() -> None:
    network = small()
    clean, noise = torch.randn(3, 5, 32, 24, 2), torch.randn(3, 5, 32, 24, 2)
    t = torch.tensor([0, 400, 999])
    assert torch.allclose(network.target(clean, noise, t), network.scheduler.get_velocity(clean, noise, t), atol=1e-6)
    assert torch.allclose(network.noised(clean, noise, t), network.scheduler.add_noise(clean, noise, t), atol=1e-6)
    assert torch.equal(network.target(clean, noise, t, EPSILON), noise)
    assert float(network.alphas[-1]) == 0.0  # zero terminal SNR


def test_the_schedule_is_cogvideox_own(folder: Path) -> None:
    network = CogVideoX(pretrained=str(folder), dtype="float32", lora=ADAPTER).build(
        shape=(3, 4, 4, 4), frames=9, text=(8, 32), seed=0
    )
    config = network.scheduler.config
    assert (config.snr_shift_scale, config.prediction_type, config.rescale_betas_zero_snr) == (3.0, V, True)
    assert (config.timestep_spacing, config.beta_start, config.beta_end) == ("trailing", 0.00085, 0.012)


def test_sampling_a_perfect_model_gives_the_clip() -> None:
    network = small()
    clean = torch.randn(2, 5, 32, 24, 2, generator=torch.Generator().manual_seed(0))

    class Perfect(VideoNetwork):
        def forward(self, noisy: torch.Tensor, t: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
            a = self.alphas[t].reshape(-1, 1, 1, 1, 1)
            return (a.sqrt() * noisy - clean) / (1 - a).sqrt()

    perfect = Perfect(network.transformer, network.scheduler)
    made = perfect.generate(torch.zeros(2, 2, 19), torch.randn_like(clean), steps=12)
    assert torch.allclose(made, clean, atol=1e-3)
    first = torch.randn(2, 1, 32, 24, 2)
    held = perfect.generate(torch.zeros(2, 2, 19), torch.randn_like(clean), steps=4, first=first)
    assert torch.equal(held[:, :1], first)


def test_our_sampler_is_the_pipelines(folder: Path, codec: VaeCodec) -> None:
    network = CogVideoX(pretrained=str(folder), dtype="float32", lora=ADAPTER).build(
        shape=(3, 4, 4, 4), frames=9, text=(8, 32), seed=0
    )
    network.eval()
    stir(network)
    prompt, empty = codec.prompts(["A ball falls."]), codec.prompts([""])
    noise = torch.randn(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    ours = network.generate(prompt, noise, steps=5, guidance=6.0, empty=empty)
    pipe = tiny_cogvideox.pipeline(folder)
    pipe.transformer = network.transformer
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(
        prompt_embeds=prompt, negative_prompt_embeds=empty, latents=noise.clone(), num_frames=9, height=32, width=32,
        num_inference_steps=5, guidance_scale=6.0, output_type="latent",
    ).frames  # fmt: skip
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("alpha", [4, 12])
def test_a_saved_adapter_means_the_same_to_diffusers(folder: Path, tmp_path: Path, alpha: int) -> None:
    recipe = CogVideoX(pretrained=str(folder), dtype="float32", lora={**ADAPTER, "alpha": alpha})
    network = recipe.build(shape=(3, 4, 4, 4), frames=9, text=(8, 32), seed=0)
    stir(network)
    network.eval().save(tmp_path)
    pipe = tiny_cogvideox.pipeline(folder)
    x, t, prompt = torch.randn(2, 3, 4, 4, 4), torch.tensor([3, 700]), torch.randn(2, 8, 32)
    base = pipe.transformer(x, prompt, t, return_dict=False)[0]
    pipe.load_lora_weights(tmp_path)
    with torch.no_grad():
        theirs = pipe.transformer(x, prompt, t, return_dict=False)[0]
        assert torch.equal(network(x, t, prompt), theirs)
        assert not torch.allclose(base, theirs, atol=1e-3)
        again = recipe.build(shape=(3, 4, 4, 4), frames=9, text=(8, 32), seed=1)
        again.load(tmp_path, "lora")
        assert torch.equal(again.eval()(x, t, prompt), theirs)
        again.use(None)
        assert torch.equal(again(x, t, prompt), base)
    (config,) = pipe.transformer.peft_config.values()
    assert (config.r, config.lora_alpha) == (4, alpha)


def test_the_published_adapter_has_seven_million_weights() -> None:
    """r = 16 on four projections of 30 blocks, 1920 wide: 7,372,800, not the 3.7 M of the published card."""
    from diffusers import CogVideoXDDIMScheduler, CogVideoXTransformer3DModel

    with torch.device("meta"):
        transformer = CogVideoXTransformer3DModel()
        transformer.requires_grad_(False)
        from peft import LoraConfig

        transformer.add_adapter(LoraConfig(r=16, lora_alpha=32, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    assert sum(p.numel() for p in transformer.parameters() if p.requires_grad) == 7_372_800
    assert CogVideoXDDIMScheduler is not None


def test_rotary_positions_of_the_5b_model(tmp_path: Path) -> None:
    folder = tiny_cogvideox.make(tmp_path, rotary=True)
    network = CogVideoX(pretrained=str(folder), dtype="float32", lora=ADAPTER).build(
        shape=(3, 4, 4, 4), frames=9, text=(8, 32), seed=0
    )
    pipe = tiny_cogvideox.pipeline(folder)
    pipe.set_progress_bar_config(disable=True)
    prompt, noise = torch.randn(1, 8, 32), torch.randn(1, 3, 4, 4, 4)
    theirs = pipe(
        prompt_embeds=prompt, latents=noise.clone(), num_frames=9, height=32, width=32, num_inference_steps=2,
        guidance_scale=1.0, output_type="latent",
    ).frames  # fmt: skip
    assert torch.allclose(network.eval().generate(prompt, noise, steps=2), theirs, atol=1e-5)


def test_clips_and_captions_are_encoded_once(codec: VaeCodec) -> None:
    clips = source(frames=9, width=32, height=32).samples([0, 1])
    first = codec.encode(clips)
    assert first.latents.shape == (2, 3, 4, 4, 4) and first.prompt.shape == (2, 8, 32)
    direct = codec.latents(torch.from_numpy(clips[1].target.frames)[None])[0]
    assert torch.equal(first.latents[1], direct)
    assert codec.cache is not None
    kept = sorted(p for p in codec.cache.rglob("*.safetensors"))
    times = [p.stat().st_mtime_ns for p in kept]
    again = VaeCodec(
        pretrained=codec.pretrained, dtype="float32", tokens=8, cache=str(codec.cache), device="cpu"
    ).encode(clips)
    assert torch.equal(first.latents, again.latents) and torch.equal(first.prompt, again.prompt)
    assert [p.stat().st_mtime_ns for p in sorted(codec.cache.rglob("*.safetensors"))] == times
    (one, _) = sorted(codec.cache.glob("clip/*"))
    one.write_bytes(b"half a file")
    VaeCodec(pretrained=codec.pretrained, dtype="float32", tokens=8, cache=str(codec.cache), device="cpu").encode(clips)
    assert one.stat().st_size > 100
    assert codec.decode(first.latents).shape == (2, 9, 32, 32, 3)


def test_the_cache_key_knows_how_it_was_encoded(codec: VaeCodec) -> None:
    other = VaeCodec(pretrained=codec.pretrained, dtype="float32", tokens=7, cache=str(codec.cache), device="cpu")
    assert codec._place("caption", b"x") != other._place("caption", b"x")
    assert codec._place("clip", b"x") != codec._place("clip", b"y")


def test_other_weights_under_the_same_name_are_encoded_anew(folder: Path, tmp_path: Path) -> None:
    own = shutil.copytree(folder, tmp_path / "own")
    frames = source(frames=9, width=32, height=32).samples([0])[0].target.frames

    def encoded(cache: Path | None) -> tuple[torch.Tensor, torch.Tensor]:
        kept = None if cache is None else str(cache)
        fresh = VaeCodec(pretrained=str(own), dtype="float32", tokens=8, cache=kept, device="cpu")
        return fresh._encoded(frames), fresh.prompts(["a ball"])

    before = encoded(tmp_path / "cache")
    for file in ("vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        weights = {name: value + 0.05 for name, value in load_file(own / file).items()}
        save_file(weights, own / file, metadata={"format": "pt"})
    after = encoded(tmp_path / "cache")
    for old, new, right in zip(before, after, encoded(None), strict=True):
        assert torch.equal(new, right) and not torch.equal(old, new)


def test_weights_of_the_hub_are_told_apart_by_their_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert version("some/base", "vae") == [] == version(str(tmp_path / "not" / "there"), "vae")
    for commit in ("a" * 40, "b" * 40):
        file = tmp_path / "models--some--base" / "snapshots" / commit / "vae" / "config.json"
        file.parent.mkdir(parents=True)
        file.write_text("{}")
        main = tmp_path / "models--some--base" / "refs" / "main"
        main.parent.mkdir(exist_ok=True)
        main.write_text(commit)
        assert version("some/base", "vae") == [commit]


@pytest.mark.slow
def test_a_killed_caching_run_leaves_no_half_written_latent(folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from physworld.video.codecs.vae import VaeCodec; from physworld.video.source import ClipSource\n"
        f"c = VaeCodec(pretrained={str(folder)!r}, dtype='float32', tokens=8, cache={str(tmp_path)!r}, device='cpu')\n"
        "s = ClipSource(seed=0, split='train', frames=9, width=32, height=32)\n"
        "for k in range(10000): c.encode(s.samples([k]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("clip/[!.]*"))) < 3:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    whole = VaeCodec(pretrained=str(folder), dtype="float32", tokens=8, cache=str(tmp_path), device="cpu")
    found = list(tmp_path.glob("clip/[!.]*"))
    assert len(found) >= 3
    for path in found:
        value = whole._find(path)
        assert value is not None and value.shape == (3, 4, 4, 4)


def test_noise_belongs_to_the_sample_whatever_the_batch() -> None:
    network = small()
    codec = PixelCodec()
    network.add_lora(rank=2, alpha=4, dropout=0.0)
    module = VideoDiffusion(network=network, codec=codec, total_steps=4, seed=5)
    both = codec.encode(source().samples([6, 7]))
    one = codec.encode(source().samples([7]))
    noise, times = module.draws(both, "train")
    own, time_ = module.draws(one, "train")
    assert torch.equal(noise[1], own[0]) and times[1] == time_[0]
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(module.draws(one, "val")[0], own)
    many = module.draws(codec.encode(source().samples(range(200))), "train")[1]
    assert 50 <= int(many.min()) < 120 and 880 < int(many.max()) <= 950


def test_learning_rate_follows_the_card() -> None:
    network = small()
    network.add_lora()
    module = VideoDiffusion(network=network, codec=None, total_steps=200, seed=0)
    configured = module.configure_optimizers()
    group = configured["optimizer"].param_groups[0]
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.999), 1e-8, 0.01)
    rate = [1e-4 * module._rate(k) for k in range(201)]
    assert rate[0] == pytest.approx(1e-6) and rate[10] == pytest.approx(1e-4) and rate[200] == pytest.approx(1e-6)
    assert rate[105] == pytest.approx(0.5 * (1e-4 + 1e-6))
    assert all(a < b for a, b in pairwise(rate[:11]))
    assert all(a > b for a, b in pairwise(rate[10:]))


def test_only_the_adapter_learns_and_is_kept() -> None:
    network = small()
    network.add_lora(rank=4, alpha=8, dropout=0.0)
    codec = PixelCodec()
    module = VideoDiffusion(network=network, codec=codec, total_steps=5, seed=0, learning_rate=1e-2, warmup_steps=1)
    assert all("lora" in name for name in module.state_dict())
    before = {n: p.clone() for n, p in network.named_parameters()}
    optimizer = module.configure_optimizers()["optimizer"]
    batch = codec.encode(source().samples(range(4)))
    first = None
    for _ in range(15):
        loss = network.losses(batch.latents, *module.draws(batch, "train"), batch.prompt).mean()
        first = first if first is not None else float(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < first
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name]) == ("lora" not in name), name


def test_the_shipped_base_is_small_and_loads() -> None:
    assert sum(p.stat().st_size for p in SHIPPED.iterdir()) <= 8e6
    network = TinyVideo().build(shape=(5, 32, 24, 2), frames=17, text=(2, 19), seed=0)
    assert network.adapted and not any(p.requires_grad for n, p in network.named_parameters() if "lora" not in n)
    with pytest.raises(ValueError, match="other clips"):
        TinyVideo(layers=2).build(shape=(5, 32, 24, 2), frames=17, text=(2, 19), seed=0)


def test_missing_weights_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"the transformer of .*nowhere cannot be read.*give the folder of a model, or"
    ):
        CogVideoX(pretrained=str(tmp_path / "nowhere")).build(shape=(3, 4, 4, 4), frames=9, text=(8, 32), seed=0)
    with pytest.raises(FileNotFoundError, match=r"the vae of .*give the folder of a model, or"):
        VaeCodec(pretrained=str(tmp_path / "nowhere"), cache=None, device="cpu").latents(torch.zeros(1, 9, 32, 32, 3))
    assert LORA_FILE.endswith(".safetensors")
