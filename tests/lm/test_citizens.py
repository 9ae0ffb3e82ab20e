"""Our own networks behind transformers' Auto classes: the same answers, no foreign code, a light `import physworld`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import physworld  # noqa: F401  # registers
from physworld.lm.folder import CLASS, TOKENIZER
from physworld.lm.gpt import GPT
from physworld.lm.pair_net import PairNet
from physworld.runs.checkpoints import load_model
from physworld.runs.directory import SHIPPED
from physworld.text.codecs.engine import EngineCodec
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.plain import PlainCodec

from tiny_lms import samples

SIZES: dict[str, Any] = {"width": 32, "depth": 1, "heads": 2}
MAKES: dict[str, Any] = {
    "gpt": (ImpulseCodec, lambda vocabulary: GPT.for_vocabulary(vocabulary, relations=True, **SIZES)),
    "prefix": (ImpulseCodec, lambda vocabulary: GPT.for_vocabulary(vocabulary, prefix=True, **SIZES)),
    "pairs": (PlainCodec, lambda vocabulary: PairNet.for_vocabulary(vocabulary, width=16, inner=16, heads=2, rounds=1)),
}


def saved(kind: str, folder: Path) -> tuple[Any, Any]:
    torch.manual_seed(0)
    make_codec, make = MAKES[kind]
    codec = make_codec()
    network = make(codec.vocabulary)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim >= 1:
                parameter.add_(0.05 * torch.randn_like(parameter))
    network.eval().save_run(folder, codec.tokenizer, codec.end_id)
    return codec, network


@pytest.mark.parametrize("kind", MAKES)
def test_the_auto_classes_give_the_same_answers(kind: str, tmp_path: Path) -> None:
    codec, network = saved(kind, tmp_path)
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert (type(model).__name__, type(tokenizer).__name__) == (CLASS, TOKENIZER)
    given = [sample.given for sample in samples(3)]
    texts = [codec.write_prompt(one) for one in given]
    expected = network.generate([codec.prompt(one) for one in given], [30] * 3, codec.end_id)
    for text, one, answer in zip(texts, given, expected, strict=True):
        inputs = tokenizer(text, return_tensors="pt")
        assert inputs.input_ids[0].tolist() == codec.prompt(one).tolist()
        out = model.generate(**inputs, max_new_tokens=30)[0]
        assert out[len(codec.prompt(one)) :].tolist() == answer.tolist()
    both = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
    out = model.generate(**both, max_new_tokens=30)[:, both.input_ids.shape[1] :]
    for row, answer in zip(out, expected, strict=True):
        assert row[: len(answer)].tolist() == answer.tolist() and set(row[len(answer) :].tolist()) <= {network.pad}
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(model.generate(**both, max_new_tokens=10, do_sample=True, temperature=2.0).tolist())
    assert drawn[0] == drawn[1] != out[:, :10].tolist()
    model.save_pretrained(tmp_path / "again")
    again: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "again")
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", ["gpt", "pairs"])
def test_the_loss_is_the_networks(kind: str, tmp_path: Path) -> None:
    codec, network = saved(kind, tmp_path)
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    item = codec.encode(samples(1)[0])
    ids, labels = torch.as_tensor(item.input_ids)[None], torch.as_tensor(item.labels)[None]
    scores, target, place = network.scored(ids, labels)
    found = model(ids, labels=labels)
    assert torch.allclose(found.loss, network.losses(scores, target).mean())
    if kind == "gpt":  # the score of a token stands at the token before it
        said = found.logits[0, place - 1][:, network.outputs]
        assert torch.allclose(said, scores, atol=1e-5)


@pytest.mark.parametrize("kind", MAKES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_labels_may_be_the_ids(kind: str, side: str, tmp_path: Path) -> None:
    codec, network = saved(kind, tmp_path)
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    items = [codec.encode(sample) for sample in samples(3)]
    longest = max(len(item.input_ids) for item in items)
    assert len({len(item.input_ids) for item in items}) > 1

    def padded(rows: list[Any], value: int) -> torch.Tensor:
        room = [(longest - len(row), 0) if side == "left" else (0, longest - len(row)) for row in rows]
        return torch.as_tensor(np.stack([np.pad(r, w, constant_values=value) for r, w in zip(rows, room, strict=True)]))

    ids = padded([item.input_ids for item in items], network.pad)
    real = padded([np.ones(len(item.input_ids), int) for item in items], 0)
    answers = padded([item.labels for item in items], -100)
    scores, target, _ = network.scored(ids, answers)
    expected = network.losses(scores, target).mean()
    first = torch.where(real.cumsum(dim=1) * real == 1, ids, answers)
    for labels in (answers, first, ids.masked_fill(real == 0, -100), ids):
        assert torch.equal(model(ids, attention_mask=real, labels=labels).loss, expected)


def test_a_text_of_another_kind_is_refused(tmp_path: Path) -> None:
    codec, _ = saved("gpt", tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    prompt = codec.write_prompt(samples(1)[0].given)
    with pytest.raises(ValueError, match="'Scene:' is no word of this model's text, whose words are next"):
        tokenizer(EngineCodec().write_prompt(samples(1)[0].given))
    with pytest.raises(ValueError, match=r"'-981\.0' is no number of this model's text: it has four digits at most"):
        tokenizer([prompt, prompt.replace("-981 ", "-981.0 ") + " -981.0"])


def test_what_generate_does_not_take_is_named(tmp_path: Path) -> None:
    codec, _ = saved("gpt", tmp_path)
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    ids = torch.as_tensor(codec.prompt(samples(1)[0].given))[None]
    with pytest.raises(ValueError, match="num_beams has no effect here; generate takes input_ids"):
        model.generate(ids, num_beams=4)
    with pytest.raises(ValueError, match="max_length=3 leaves no room behind a prompt"):
        model.generate(ids, max_length=3)
    config = AutoConfig.from_pretrained(tmp_path / "model")
    config.network = "os.system"
    with pytest.raises(ValueError, match=r"names the network os\.system; choose one of GPT, PairNet"):
        type(model).from_pretrained(tmp_path / "model", config=config)


def said_by(*lines: str) -> str:
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_physworld_loads_nothing_heavy() -> None:
    heavy = "('torch', 'transformers', 'numpy', 'physworld.lm')"
    assert said_by("import sys, physworld", f"print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_what_judges_our_own_networks_loads_neither_lightning_nor_other_models() -> None:
    """They are a third of what a short evaluation takes."""
    heavy = "('lightning', 'torchmetrics', 'transformers', 'peft')"
    lines = ("import sys, physworld.text.evaluate, physworld.text.predict, physworld.lm.solver_net",)
    assert said_by(*lines, f"print([m for m in {heavy} if m in sys.modules])") == "[]"


@pytest.mark.slow
@pytest.mark.parametrize(
    "lines",
    [
        ("import transformers.models.auto.modeling_auto", "import physworld"),
        ("import physworld", "from transformers import AutoModelForCausalLM"),
        ("import physworld.run", "import physworld.lm.packed_lm", "import peft"),
    ],
)
def test_any_order_of_imports_registers(lines: tuple[str, ...]) -> None:
    more = ("from transformers import AutoConfig, AutoTokenizer", "print(AutoConfig.for_model('physworld').model_type)")
    assert said_by(*lines, *more) == "physworld"


def test_the_shipped_model_is_one() -> None:
    network, codec, _ = load_model(SHIPPED, torch.device("cpu"))
    model: Any = AutoModelForCausalLM.from_pretrained(SHIPPED / "model")
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED / "model")
    given = samples(1)[0].given
    inputs = tokenizer(codec.write_prompt(given), return_tensors="pt")
    prompt = codec.prompt(given)
    assert inputs.input_ids[0].tolist() == prompt.tolist()
    answer = network.generate([prompt], [60], codec.end_id)[0].tolist()
    assert model.generate(**inputs, max_new_tokens=60)[0, len(prompt) :].tolist() == answer
