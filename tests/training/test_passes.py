"""A step of several passes has the gradient of one large pass, whatever the tokens of each; an average follows it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from physworld.data import collate
from physworld.lm.finetune import FinetuneModule
from physworld.lm.gpt import GPT
from physworld.lm.next_token import NextTokenModule
from physworld.lm.packed_lm import PackedLM
from physworld.lm.preference import DPOModule
from physworld.lm.sequence import SequenceModule
from physworld.lm.tiny_lm import TinyLM
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.training.precision import plugin
from physworld.types import Encoded

from tiny_lms import examples, samples, tiny

LENGTHS = [30, 4, 9, 3, 21, 5, 2, 40]
CODEC = ImpulseCodec()


def module(kind: str) -> NextTokenModule:
    torch.manual_seed(0)
    if kind in ("examples", "tokens"):
        return FinetuneModule(
            network=PackedLM(tiny("llama"), pad_id=0), total_steps=1, schedule="constant", mean_over=kind
        )
    if kind in ("sequence", "preferences"):
        network: Any = TinyLM.for_vocabulary(CODEC.vocabulary, width=32, depth=1, heads=2, inner=64)
        if kind == "preferences":
            return DPOModule(network=network, total_steps=1)
        return SequenceModule(network=network, total_steps=1, event_weight=3.0)
    network = GPT.for_vocabulary(CODEC.vocabulary, width=16, depth=1, heads=2)
    return NextTokenModule(network=network, total_steps=1, event_weight=1.0 if kind == "gpt" else 3.0)


def rows(kind: str) -> list[Encoded]:
    """Eight samples, whose scored tokens are of unlike number."""
    if kind.startswith("gpt"):
        drawn = samples(4, ("billiards",)) + samples(4, ("head_on",))
        return [CODEC.encode(replace(sample, given=sample.given.window(3, 4))) for sample in drawn]
    ids, labels = examples(LENGTHS)
    every = zip(LENGTHS, ids.numpy(), labels.numpy(), strict=True)
    return [
        Encoded(input_ids=i[:length], labels=k[:length], event=i[:length] % 3 == 0, seed=length)
        for length, i, k in every
    ]


def gradient(kind: str, micro_batch: int, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Of one step over eight samples: what plain descent at rate 1 takes from the weights."""
    asked, some = module(kind), rows(kind)
    assert len({int((row.labels != -100).sum()) for row in some}) > 1
    data: Any = DataLoader(some, batch_size=micro_batch, collate_fn=lambda part: collate(part, pad=asked.network.pad))
    monkeypatch.setattr(type(asked), "configure_optimizers", lambda self: torch.optim.SGD(self.parameters(), lr=1.0))
    before = torch.cat([p.detach().flatten().clone() for p in asked.network.parameters()])
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=1, accumulate_grad_batches=len(some) // micro_batch, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(asked, data)
    return before - torch.cat([p.detach().flatten() for p in asked.network.parameters()])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["gpt", "gpt_events", "sequence", "preferences", "examples", "tokens"])
def test_smaller_passes_have_the_same_gradient(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gradient(kind, 8, monkeypatch)
    assert whole.norm() > 0.01
    for micro_batch in (4, 2):
        apart = (gradient(kind, micro_batch, monkeypatch) - whole).norm() / whole.norm()
        assert apart < 1e-4, micro_batch


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-true"])
def test_an_average_follows_weights_of_any_precision(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = GPT.for_vocabulary(CODEC.vocabulary, width=16, depth=1, heads=2)
    asked: Any = NextTokenModule(network=network, total_steps=1, ema_decay=0.999)
    plugin(precision, "cpu").convert_module(asked)
    for mean, now in zip(asked.average.parameters(), asked.network.parameters(), strict=True):
        mean.data.copy_(now.to(mean.dtype) + 1)
    # The weights stay where they are; the way to them is 0.999 of itself after each step.
    monkeypatch.setattr(pl.LightningModule, "optimizer_step", lambda self: None)
    monkeypatch.setattr(NextTokenModule, "trainer", SimpleNamespace(global_step=10**6), raising=False)
    for _ in range(100):
        asked.optimizer_step()
    for mean, now in zip(asked.average.parameters(), asked.network.parameters(), strict=True):
        assert float((mean.detach() - now.detach() - 0.999**100).abs().max()) < 1e-3
