"""Numbers by value on pretrained weights: losses are the saved model's own, packed, merged, kept and trained on."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from physworld.data import collate
from physworld.lm.finetune import FinetuneModule
from physworld.lm.packed_lm import PackedLM
from physworld.lm.value_rows import read_by_value
from physworld.lm.weights import load_network, load_tokenizer
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.text.codecs.numbers import number_index

from tiny_lms import samples, save_base, tiny

SETTINGS: dict[str, Any] = {"rank": 4, "alpha": 8, "dropout": 0.0, "gradient_checkpointing": False, "numbers": "value"}
SMALL: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64}
# Text, and whether the head is the embedding's table.
BASES: dict[str, tuple[Any, bool]] = {
    "llama": (EngineCodec, True),
    "qwen2": (CardCodec, False),
    "lfm2": (EngineCodec, True),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bases")


@functools.cache
def base_of(folder: Path, family: str) -> Path:
    return save_base(folder / family, family, "smollm", tie_word_embeddings=BASES[family][1], **SMALL)


@pytest.fixture(scope="module")
def llama(folder: Path) -> Path:
    return base_of(folder, "llama")


@functools.cache
def codec_of(base: Path, kind: Any = EngineCodec) -> Any:
    return kind(tokenizer=load_tokenizer(str(base)), by_value=True)


def network_of(codec: Any, base: Path, **more: Any) -> PackedLM:
    torch.manual_seed(0)
    network = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), **{**SETTINGS, **more})
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return network


def batch_of(codec: Any, count: int = 3) -> Any:
    return collate([codec.encode(sample) for sample in samples(count)], pad=codec.vocabulary.pad)


def their_losses(model: Any, batch: Any) -> torch.Tensor:
    losses = []
    for ids, labels in zip(batch.input_ids, batch.labels, strict=True):
        length = int((labels != -100).nonzero().max()) + 1
        answer = ids[labels != -100]  # the end of the text
        with torch.no_grad():
            out = model(input_ids=ids[None, :length], use_cache=False, logits_to_keep=len(answer) + 1)
        losses.append(F.cross_entropy(out.logits[0, :-1], answer, reduction="none"))
    return torch.cat(losses)


@pytest.mark.parametrize("family", BASES)
def test_what_is_saved_are_plain_models_that_say_the_same(folder: Path, family: str, tmp_path: Path) -> None:
    from peft import PeftModel

    base, kind = base_of(folder, family), BASES[family][0]
    codec = codec_of(base, kind)
    network = network_of(codec, base).eval()
    batch = batch_of(codec)
    ours = network.token_losses(batch.input_ids, batch.labels)
    assert network.checked().packs and ours.computed == ours.real  # in one row, without padding
    other = batch.input_ids.clone()
    other[0, :20] = other[1, 20:40]
    moved = network.token_losses(other, batch.labels).losses
    first = int((batch.labels[0] != -100).sum())
    assert torch.equal(moved[first:], ours.losses[first:])  # no example reads another
    assert not torch.equal(moved[:first], ours.losses[:first])
    network.save_run(tmp_path, codec.tokenizer, codec.end_id)
    merged: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    whole: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    beside = PeftModel.from_pretrained(whole, str(tmp_path / "adapter"))
    for model in (merged, beside):
        assert torch.allclose(their_losses(model, batch), ours.losses, atol=2e-4)
    assert type(merged.get_input_embeddings()) is torch.nn.Embedding
    # What has no tokens of ours answers from the tokenizer's folder alone, and ours is read again like any other run.
    given = samples(1)[0].given
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    prompt = tokenizer(codec.write_prompt(given), return_tensors="pt")
    assert prompt.input_ids[0].tolist() == codec.prompt(given)[-prompt.input_ids.shape[1] :].tolist()
    again = PackedLM.from_pretrained(tmp_path / "model").eval()
    known = kind(tokenizer=load_tokenizer(str(tmp_path / "model")))
    limit = codec.max_new_tokens(given.scene)
    answers = [
        one.generate([codec.prompt(given)], [limit], codec.end_id, text.guide([given]))[0].tolist()
        for one, text in ((network, codec), (again, known))
    ]
    assert answers[0] == answers[1]
    assert codec.decode(np.array(answers[0]), given) is not None


@pytest.mark.parametrize("family", ["llama", "lfm2"])
def test_answers_kept_from_frame_to_frame_are_those_read_anew(folder: Path, family: str) -> None:
    base = base_of(folder, family)
    codec = copy.copy(codec_of(base))
    codec.history_frames = 4
    network = network_of(codec, base).eval()
    windows = [[sample.given.window(0, last) for sample in samples(2)] for last in (2, 3, 4)]

    def answers(rows: list[int] | None) -> list[list[int]]:
        network.train(False)
        said = []
        for given in windows:
            prompts = [codec.prompt(one) for one in given]
            said += network.generate(prompts, [30, 30], codec.end_id, codec.guide(given), rows=rows)
        return [answer.tolist() for answer in said]

    kept = answers([0, 1])
    assert kept == answers(None)
    assert network._reader is not None and network._reader.reuse_cache


def test_training_moves_functions_and_adapters_and_nothing_else(llama: Path) -> None:
    codec = codec_of(llama)
    network = network_of(codec, llama)
    module = FinetuneModule(network=network, total_steps=10, learning_rate=0.01, warmup_steps=0)
    trained = {name.removeprefix("network.") for name in module.state_dict()}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert {name for name in trained if ".lora_" not in name} == {
        name for name in before if name.endswith((".centre", ".words.weight", ".say.weight")) or ".mix_" in name
    }
    batch, losses, steps = batch_of(codec), [], module._optimizer()
    for _ in range(5):
        loss = network.token_losses(batch.input_ids, batch.labels).loss
        losses.append(float(loss.detach()))
        steps.zero_grad()
        loss.backward()
        steps.step()
    assert losses[-1] < losses[0] - 0.5, losses
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == (name not in trained), name


def test_gradients_are_those_of_plain_tables(llama: Path) -> None:
    """Against autograd through the scores of whole tables."""
    codec = codec_of(llama)
    network, batch = network_of(codec, llama), batch_of(codec, 2)
    network.token_losses(batch.input_ids, batch.labels).loss.backward()
    got = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    head = network.inner.get_output_embeddings()
    states: list[torch.Tensor] = []
    kept = head.register_forward_pre_hook(lambda _, given: states.append(given[0]))
    said, target, _ = network.scored(batch.input_ids, batch.labels)
    kept.remove()
    logits = states[0] @ head.table().T
    assert torch.allclose(said, logits, atol=1e-4)
    share = torch.cat([1 / (labels != -100).sum().repeat((labels != -100).sum()) for labels in batch.labels]) / 2
    (F.cross_entropy(logits, target, reduction="none") * share).sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            bound = 1e-5 * float(parameter.grad.abs().max() + 1)
            assert torch.allclose(got[name], parameter.grad, rtol=1e-3, atol=bound), name
    assert any(".say." in name for name in got) and any(".mix_up." in name for name in got)


def test_another_run_goes_on_from_the_functions(llama: Path, tmp_path: Path) -> None:
    codec = codec_of(llama)
    first = network_of(codec, llama).eval()
    with torch.no_grad():
        for parameter in first.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    first.save_run(tmp_path, codec.tokenizer, codec.end_id)
    second, batch = network_of(codec, llama).eval(), batch_of(codec)
    wanted = first.token_losses(batch.input_ids, batch.labels).losses
    assert not torch.allclose(second.token_losses(batch.input_ids, batch.labels).losses, wanted, atol=1e-3)
    second.start_from(tmp_path)
    assert torch.equal(second.token_losses(batch.input_ids, batch.labels).losses, wanted)


# --- where values lead


def test_neighbours_begin_as_neighbours_and_words_as_what_spelled_them(llama: Path) -> None:
    codec = codec_of(llama)
    network = network_of(codec, llama)
    for part in (network.inner.get_input_embeddings(), network.inner.get_output_embeddings()):
        table, ids = part.table().detach(), codec.vocabulary.numbers.ids
        row = {value: table[ids[number_index(value)]] for value in (16.4, 16.5, 900.0, -16.4)}
        near = float((row[16.4] - row[16.5]).norm())
        assert 0 < near < 0.7 * float((row[16.4] - row[900.0]).norm())
        assert near < 0.7 * float((row[16.4] - row[-16.4]).norm())
        weights = part.plain.weight.detach()
        for new, spelled in codec.vocabulary.spelled.items():
            assert torch.allclose(table[new], weights[list(spelled)].mean(dim=0), atol=1e-6)
        kept = [id for id in range(len(weights)) if id not in set(ids.tolist())]
        assert torch.equal(table[kept], weights[kept])
        assert 0.3 < float(table[ids].std() / weights.std()) < 3  # as large as what the body is used to


def test_a_table_is_what_the_embedding_says(llama: Path) -> None:
    codec = codec_of(llama)
    part = network_of(codec, llama).inner.get_input_embeddings()
    ids = torch.as_tensor(np.random.default_rng(0).integers(0, codec.vocabulary.size, (3, 400)))
    assert torch.allclose(part(ids), part.table()[ids], atol=1e-6)


def test_whole_weights_too(llama: Path, tmp_path: Path) -> None:
    codec = codec_of(llama)
    network, batch = network_of(codec, llama, tuning="full"), batch_of(codec)
    module = FinetuneModule(network=network, total_steps=10, learning_rate=0.01, warmup_steps=0)
    steps = module._optimizer()
    network.token_losses(batch.input_ids, batch.labels).loss.backward()
    steps.step()
    wanted = network.eval().token_losses(batch.input_ids, batch.labels).losses
    network.save_run(tmp_path, codec.tokenizer, codec.end_id)
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert torch.allclose(their_losses(model, batch), wanted, atol=2e-4)
    assert not (tmp_path / "base").exists()


def test_a_base_in_half_precision_keeps_its_functions_whole(llama: Path) -> None:
    codec = codec_of(llama)
    network, batch = network_of(codec, llama), batch_of(codec)
    wanted = float(network.token_losses(batch.input_ids, batch.labels).loss.detach())
    network.lower_base(torch.bfloat16)
    assert {p.dtype for p in network.parameters() if p.requires_grad} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.token_losses(batch.input_ids, batch.labels).loss
    loss.backward()
    assert float(loss.detach()) == pytest.approx(wanted, rel=0.03)


def test_operations_are_those_of_plain_tables_and_of_reading_a_number(llama: Path) -> None:
    codec = codec_of(llama)
    network = network_of(codec, llama, tuning="full")
    plain = PackedLM(tiny("llama", codec.vocabulary.size, **SMALL), pad_id=0)
    reads = network.inner.get_input_embeddings()
    more = 100 * 6 * (reads.mix_up.weight.numel() + reads.mix_down.weight.numel())
    says = network.inner.get_output_embeddings()
    more -= 30 * 6 * SMALL["hidden_size"] * (codec.vocabulary.size - len(says.plain.weight))  # no rows of their own
    more += 30 * (6 * (says.say.weight.numel() + says.words.weight.numel()) + 4 * says.features.numel())
    assert network.flops(100, 5000, 30) == plain.flops(100, 5000, 30) + more


def test_what_cannot_be_by_value_is_refused_in_a_sentence(llama: Path, tmp_path: Path) -> None:
    codec = codec_of(llama)
    spelled = EngineCodec(tokenizer=load_tokenizer(str(llama))).vocabulary
    for vocabulary, more, sentence in (
        (codec.vocabulary, {"numbers": "words"}, "numbers=words is unknown; choose one of digits, value"),
        (codec.vocabulary, {"tuning": "qlora"}, "not for 4-bit weights; choose tuning=lora or full"),
        (codec.vocabulary, {"weights": None}, "without weights choose codec=plain"),
        (spelled, {}, "written by value: codec=engine or card"),
    ):
        with pytest.raises(ValueError, match=sentence):
            PackedLM.for_vocabulary(vocabulary, **{"weights": str(llama), **SETTINGS, **more})
    from transformers import AutoConfig

    biased: Any = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("phi", vocab_size=400, num_hidden_layers=2, num_attention_heads=4, **SMALL)
    )
    with pytest.raises(ValueError, match="which a phi model does not have; choose numbers=digits"):
        read_by_value(biased, codec.vocabulary)
    network = network_of(codec, llama)
    said = FinetuneModule(network=network, total_steps=1).unshardable()
    assert said == "numbers by value (model.network.numbers=value) cannot be split over devices"
    digits = PackedLM.for_vocabulary(spelled, weights=str(llama), **{**SETTINGS, "numbers": "digits"})
    digits.save_run(tmp_path, load_tokenizer(str(llama)), 2)
    with pytest.raises(ValueError, match=r"numbers=value, and init_from=.* digits"):
        network.start_from(tmp_path)


def test_gguf_is_refused_in_a_sentence(llama: Path, tmp_path: Path) -> None:
    from physworld.lm.gguf import GgufError, write_gguf

    codec = codec_of(llama)
    with pytest.raises(GgufError, match="cut numbers into digits, and this model reads them by value; use onnx"):
        write_gguf(load_network(str(llama)), codec.tokenizer, tmp_path / "m.gguf", "m")
