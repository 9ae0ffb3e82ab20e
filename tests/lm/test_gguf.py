"""GGUF files hold the model, its tokens and what is known of it; transformers reads them as another program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from physworld.lm.gguf import CUTS, GgufError, write_gguf
from physworld.lm.tokenizers import word_tokenizer
from physworld.lm.weights import load_network, load_tokenizer

from tiny_lms import bpe_tokenizer, save_base, tiny

TEXT = "Frame 1: All 12345 objects' speeds are (-3.5, 0.25).\n\n The END\n"


def fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


@pytest.mark.parametrize(
    ("family", "cut", "more"),
    [
        ("lfm2", "gpt-2", {}),
        ("llama", "gpt-2", {}),
        ("llama", "gpt-2", {"head_dim": 32}),
        ("qwen2", "qwen2", {}),
    ],
)
def test_it_reads_back_as_the_same_model_and_tokens(family: str, cut: str, more: Any, tmp_path: Path) -> None:
    save_base(tmp_path, family, cut, **more)
    network, tokenizer = load_network(str(tmp_path)), load_tokenizer(str(tmp_path))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):  # of qwen2's queries, keys and values
                parameter.normal_()
    write_gguf(network, tokenizer, tmp_path / "a.gguf", "tiny")
    back: Any = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="a.gguf").eval()
    ids = tokenizer(TEXT).input_ids
    assert torch.allclose(back(torch.tensor([ids])).logits, network(torch.tensor([ids])).logits, atol=1e-4)
    assert AutoTokenizer.from_pretrained(tmp_path, gguf_file="a.gguf")(TEXT).input_ids == ids


def test_it_says_what_the_tokenizer_adds_and_what_it_is(tmp_path: Path) -> None:
    network, tokenizer = tiny("llama", 400), bpe_tokenizer()
    write_gguf(network, tokenizer, tmp_path / "plain.gguf", "my run")
    plain = fields(tmp_path / "plain.gguf")
    assert tokenizer("x").input_ids[0] != tokenizer.bos_token_id is not None
    assert plain["tokenizer.ggml.add_bos_token"] is False and plain["tokenizer.ggml.add_eos_token"] is False
    assert plain["general.name"] == "my run" and "tokenizer.chat_template" not in plain
    tokenizer.add_bos_token, tokenizer.chat_template = True, "{{ messages }}"
    assert tokenizer("x").input_ids[0] == tokenizer.bos_token_id
    write_gguf(network, tokenizer, tmp_path / "chat.gguf", "my run")
    chat = fields(tmp_path / "chat.gguf")
    assert chat["tokenizer.ggml.add_bos_token"] is True and chat["tokenizer.chat_template"] == "{{ messages }}"


@pytest.mark.parametrize("cut", CUTS)
def test_how_words_are_cut_is_told_by_trying(cut: str, tmp_path: Path) -> None:
    write_gguf(tiny("llama", 400), bpe_tokenizer(cut=cut), tmp_path / "a.gguf", "tiny")
    assert fields(tmp_path / "a.gguf")["tokenizer.ggml.pre"] == cut


def test_what_the_format_would_lose_is_refused(tmp_path: Path) -> None:
    def refused(words: str, network: Any, tokenizer: Any) -> None:
        with pytest.raises(GgufError, match=words):
            write_gguf(network, tokenizer, tmp_path / "no.gguf", "tiny")
        assert not list(tmp_path.iterdir())

    refused("byte-level BPE tokenizers only, and this is a WordLevel one", tiny("llama"), word_tokenizer(["scene"]))
    odd = bpe_tokenizer()
    odd.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    refused("no name for how this tokenizer cuts text", tiny("llama", 400), odd)
    scaled = tiny("llama", 400, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4})
    refused(r"plain rotary positions; this model scales them \(linear\)", scaled, bpe_tokenizer())
    refused("llama models without biases", tiny("llama", 400, attention_bias=True), bpe_tokenizer())
    refused("GGUF is written for llama, qwen2, lfm2; this is a gpt_neox model", gpt_neox(), bpe_tokenizer())


def gpt_neox() -> Any:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return GPTNeoXForCausalLM(
        GPTNeoXConfig(vocab_size=400, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    )
