"""Pretrained networks: LoRA is PEFT's, what is saved loads elsewhere, answers, lengths and rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from physworld.data import EncodedStream, collate
from physworld.lm.finetune import FinetuneModule
from physworld.lm.packed_lm import PackedLM
from physworld.lm.parts import linear_names
from physworld.lm.weights import WeightsError, load_network, load_tokenizer
from physworld.text.codecs.engine import EngineCodec
from physworld.text.codecs.impulse import ImpulseCodec

from tiny_lms import FAMILIES, bpe_tokenizer, examples, samples, save_base, tiny


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("base"))


def settings(**more: Any) -> dict[str, Any]:
    return {"rank": 4, "alpha": 8, "dropout": 0.0, "gradient_checkpointing": False, **more}


def test_lora_reaches_every_linear_layer_of_lfm2() -> None:
    expected = ["in_proj", "k_proj", "out_proj", "q_proj", "v_proj", "w1", "w2", "w3"]
    assert linear_names(tiny("lfm2")) == expected


def codec_of(base: Path) -> EngineCodec:
    return EngineCodec(tokenizer=load_tokenizer(str(base)))


def batch_of(codec: Any, count: int = 4) -> Any:
    return collate([codec.encode(sample) for sample in samples(count)], pad=codec.vocabulary.pad)


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["lora", "qlora", "full"])
@pytest.mark.parametrize("optimizer", ["adamw", "adamw8bit", "paged_adamw8bit", "muon"])
def test_every_tuning_learns_with_every_optimiser(base: Path, tuning: str, optimizer: str) -> None:
    torch.manual_seed(0)
    codec = codec_of(base)
    network = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), tuning=tuning, **settings())
    # On CPUs bitsandbytes rearranges the bytes of 4-bit weights when they are first used.
    floats = {n: p for n, p in network.named_parameters() if p.dtype != torch.uint8}
    frozen = {n: p.detach().clone() for n, p in floats.items() if not p.requires_grad}
    assert bool(frozen) == (tuning != "full")
    rate = 0.02 if optimizer == "muon" else 0.01
    module = FinetuneModule(network=network, total_steps=10, optimizer=optimizer, learning_rate=rate, warmup_steps=0)
    steps = module._optimizer()
    batch, losses = batch_of(codec), []
    for _ in range(6):
        loss = network.token_losses(batch.input_ids, batch.labels).loss
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0] - 0.05, losses
    for name, value in frozen.items():
        assert torch.equal(value, dict(network.named_parameters())[name]), name


def test_a_frozen_base_in_half_precision_keeps_its_adapters_whole(base: Path) -> None:
    """What a GPU does with bf16: the base in bfloat16, adapters and their steps in float32."""
    codec = codec_of(base)
    network = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), tuning="lora", **settings())
    network.lower_base(torch.bfloat16)
    kinds = {parameter.dtype for parameter in network.parameters() if parameter.requires_grad}
    assert kinds == {torch.float32}
    batch = batch_of(codec)
    with torch.autocast("cpu", torch.bfloat16):
        scored = network.token_losses(batch.input_ids, batch.labels)
    scored.loss.backward()
    whole = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), tuning="lora", **settings())
    expected = float(whole.token_losses(batch.input_ids, batch.labels).loss.detach())
    assert float(scored.loss.detach()) == pytest.approx(expected, rel=0.02)
    grads = [p.grad for n, p in network.named_parameters() if "lora_B" in n]
    assert all(grad is not None and grad.dtype == torch.float32 and grad.abs().sum() > 0 for grad in grads)
    given = samples(1)[0].given
    assert len(network.eval().generate([codec.prompt(given)], [5], codec.end_id)[0])


def test_loaded_weights_are_trained_with_dropout_and_checkpointing(base: Path) -> None:
    codec = codec_of(base)
    more = settings(dropout=0.5, gradient_checkpointing=True)
    network = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), tuning="lora", **more)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    assert all(part.training for part in network.modules())
    assert all(block.gradient_checkpointing for block in network.blocks)
    batch = batch_of(codec)
    losses = [float(network.token_losses(batch.input_ids, batch.labels).loss.detach()) for _ in range(2)]
    assert losses[0] != losses[1]  # dropout draws anew


def test_checkpoints_hold_what_is_trained_and_no_more(base: Path) -> None:
    codec = codec_of(base)
    network = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), tuning="lora", **settings())
    module = FinetuneModule(network=network, total_steps=1)
    assert module.state_dict() and all(".lora_" in name for name in module.state_dict())
    full = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), tuning="full", **settings())
    assert len(FinetuneModule(network=full, total_steps=1).state_dict()) == len(full.state_dict())


@pytest.mark.parametrize("tuning", ["lora", "qlora", "full"])
def test_saved_weights_load_with_plain_libraries(base: Path, tmp_path: Path, tuning: str) -> None:
    codec = codec_of(base)
    network = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), tuning=tuning, **settings())
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    network.eval().save_run(tmp_path, codec.tokenizer, codec.end_id)
    prompt = codec.prompt(samples(1)[0].given)
    ours = network.generate([prompt], [12], codec.end_id)[0]
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    models = [model]
    if tuning == "lora":  # the card's Usage section: three lines and the tokenizer's
        from peft import PeftModel

        base_model: Any = AutoModelForCausalLM.from_pretrained(str(base))
        models.append(PeftModel.from_pretrained(base_model, str(tmp_path / "adapter")))
        assert not (tmp_path / "base").exists()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    inputs = tokenizer(codec.write_prompt(samples(1)[0].given), return_tensors="pt", add_special_tokens=False)
    assert inputs.input_ids[0].tolist() == prompt[len(prompt) - inputs.input_ids.shape[1] :].tolist()
    scores = []
    for one in models:
        out = one.generate(torch.as_tensor(prompt)[None], max_new_tokens=12, do_sample=False)[0, len(prompt) :]
        if tuning != "qlora":  # 4-bit weights answer a little differently from the float32 ones they are saved on
            assert out.tolist()[: len(ours)] == ours.tolist()
        scores.append(one(torch.as_tensor(prompt)[None]).logits)
    if len(scores) > 1:
        assert (scores[0] - scores[1]).abs().max() < 1e-4  # merged = adapter beside its base


def test_adapter_on_random_weights_brings_its_base(tmp_path: Path) -> None:
    codec = ImpulseCodec()
    architecture = {"model_type": "lfm2", "hidden_size": 32, **FAMILIES["lfm2"], "intermediate_size": 64,
                    "num_attention_heads": 4, "num_key_value_heads": 2}  # fmt: skip
    made = [
        PackedLM.for_vocabulary(
            codec.vocabulary, weights=None, architecture=architecture, tuning="lora", **settings()
        ).eval()
        for _ in range(2)
    ]
    with torch.no_grad():
        for name, parameter in made[0].named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    made[0].save_run(tmp_path, codec.tokenizer, codec.end_id)
    merged = PackedLM.from_pretrained(tmp_path / "model").eval()
    ids, labels = examples([20, 30], vocab_size=codec.vocabulary.num_words)
    expected = made[0].token_losses(ids, labels).losses
    assert torch.allclose(merged.token_losses(ids, labels).losses, expected, atol=1e-4)
    assert not torch.allclose(made[1].token_losses(ids, labels).losses, expected, atol=1e-3)
    made[1].start_from(tmp_path)  # init_from: base and adapter are taken over
    assert torch.equal(made[1].token_losses(ids, labels).losses, expected)


def test_what_does_not_fit_is_refused_in_a_sentence(base: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="hf download OWNER/NOTHING --local-dir models/NOTHING"):
        load_network("OWNER/NOTHING")
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_text("code")
    with pytest.raises(WeightsError, match="other formats may run code"):
        load_network(str(tmp_path))
    codec = codec_of(base)
    with pytest.raises(ValueError, match="choose one of lora, qlora, full"):
        PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), tuning="half")
    with pytest.raises(ValueError, match="fewer embeddings"):
        PackedLM.for_vocabulary(ImpulseCodec().vocabulary, weights=str(base))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="fused_attention=on needs an NVIDIA GPU"):
            PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), fused_attention="on")
    with pytest.raises(ValueError, match="give weights="):
        PackedLM.for_vocabulary(codec.vocabulary, weights=None, tuning="qlora")
    network = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), **settings())
    for key, value in (("optimizer", "sgd"), ("schedule", "steps")):
        with pytest.raises(ValueError, match="choose one of"):
            FinetuneModule(network=network, total_steps=1, **{key: value})


# --- answers, lengths


@pytest.mark.slow
def test_guided_answers_of_a_batch_are_those_of_single_prompts(base: Path) -> None:
    codec = codec_of(base)
    network = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), **settings()).eval()
    given = [sample.given for sample in samples(3, ("billiards", "tower"))]
    prompts = [codec.prompt(g) for g in given]
    limits = [codec.max_new_tokens(g.scene) for g in given]
    together = network.generate(prompts, limits, codec.end_id, codec.guide(given))
    for prompt, limit, one, answer in zip(prompts, limits, given, together, strict=True):
        alone = network.generate([prompt], [limit], codec.end_id, codec.guide([one]))[0]
        assert answer.tolist() == alone.tolist()
        assert codec.decode(answer, one) is not None  # the grammar keeps even random weights readable


def test_training_forgets_what_answers_have_read(base: Path) -> None:
    codec = codec_of(base)
    network = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), tuning="full", **settings()).eval()
    prompt = codec.prompt(samples(1)[0].given)
    before = network.generate([prompt], [8], codec.end_id)[0]
    network.train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    after = network.eval().generate([prompt], [8], codec.end_id)[0]
    fresh = PackedLM(network.lm, pad_id=network.pad).eval().generate([prompt], [8], codec.end_id)[0]
    assert after.tolist() == fresh.tolist() != before.tolist()


class _Fixed:
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def sample(self, index: int) -> Any:
        return self.items[index % len(self.items)]


@pytest.mark.slow
def test_long_examples_lose_their_oldest_frames_and_keep_header_and_answer() -> None:
    codec, sample = EngineCodec(tokenizer=bpe_tokenizer()), samples(1)[0]
    whole = codec.encode(sample)
    stream = EncodedStream(_Fixed([sample]), codec, max_length=len(whole.input_ids) - 1)
    cut = stream[0]
    assert len(cut.input_ids) < len(whole.input_ids)
    shorter = codec.prompt(sample.given.window(1, 4))
    assert np.array_equal(cut.input_ids[: len(shorter)], shorter)
    text = codec.tokenizer.decode(cut.input_ids[cut.labels != -100])
    assert codec.decode(cut.input_ids[cut.labels != -100], sample.given) is not None, text
    with pytest.raises(ValueError, match="longer than 10 tokens"):
        EncodedStream(_Fixed([sample]), codec, max_length=10)[0]


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_operations_are_those_torch_counts(base: Path, tuning: str) -> None:
    """Against torch's own counter; it takes causal attention for full attention, and counts no convolution taps."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    codec = codec_of(base)
    network = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), tuning=tuning, **settings()).train()
    ids, labels = examples([40, 60], vocab_size=300)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network.token_losses(ids, labels).loss.backward()
    attended, scored = 40**2 + 60**2, int((labels != -100).sum())
    ours = network.flops(100, attended, scored) + 6 * attended * 64  # the other half of the pairs
    # Adapters of the first layer pass nothing further back; everything else agrees.
    assert ours == pytest.approx(counter.get_total_flops(), rel=0.03 if tuning == "full" else 0.08)


def test_rates_follow_their_schedules(base: Path) -> None:
    network = PackedLM.for_vocabulary(codec_of(base).vocabulary, weights=str(base), **settings())
    rates = {
        name: [
            FinetuneModule(network=network, total_steps=20, warmup_steps=5, schedule=name)._rate(k) for k in range(21)
        ]
        for name in ("linear", "cosine", "constant")
    }
    for rate in rates.values():
        assert np.allclose(rate[:5], [0.2, 0.4, 0.6, 0.8, 1.0])
    assert np.allclose(rates["linear"][5:], 1 - np.arange(16) / 15)
    assert np.allclose(rates["cosine"][5:], 0.5 + 0.5 * np.cos(np.pi * np.arange(16) / 15))
    assert set(rates["constant"][4:]) == {1.0}
