from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from physworld.data import collate
from physworld.lm.preference import DPOModule, GRPOModule
from physworld.lm.tiny_lm import TinyLM
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.types import Batch, Encoded

from tiny_lms import examples

VOCABULARY = ImpulseCodec().vocabulary


def trained(steps: int, start: int, checkpoint: Path | None = None) -> tuple[DPOModule, pl.Trainer]:
    """To step `steps`, over the same pairs each time; fresh weights are those of seed `start`."""
    torch.manual_seed(start)
    network = TinyLM.for_vocabulary(VOCABULARY, width=32, depth=1, heads=2, inner=64)
    module = DPOModule(network=network, total_steps=8, optimizer="adamw", learning_rate=0.02, max_drop=50.0)
    ids, labels = examples([9] * 4)
    rows = [
        Encoded(input_ids=i, labels=k, event=i > 0, seed=n)
        for n, (i, k) in enumerate(zip(ids.numpy(), labels.numpy(), strict=True))
    ]
    data = DataLoader([*rows] * steps, batch_size=4, collate_fn=lambda part: collate(part, pad=network.pad))
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=steps, max_epochs=-1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=checkpoint is not None)
    return module, trainer


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_is_held_to_the_weights_that_the_first_began_with(tmp_path: Path) -> None:
    whole, _ = trained(8, 0)
    first, trainer = trained(4, 0)
    assert not torch.equal(first.reference_0, first._trained[0])  # it has moved
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    second, _ = trained(8, 1, tmp_path / "a.ckpt")
    for name, value in whole.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_rewards_train_the_policy_that_answers_are_drawn_from(
    temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = TinyLM.for_vocabulary(VOCABULARY, width=32, depth=1, heads=2, inner=64)
    module = GRPOModule(network=network, total_steps=1, group=2, temperature=temperature, kl=0.3)
    rewards, advantage = [1.0, 0.0], np.array([1, -1]) * 0.5 / (0.5**0.5 + 1e-4)
    module.reward = lambda indices, answers: rewards
    for n, parameter in enumerate(module._trained):
        torch.nn.init.normal_(parameter, std=0.3)
        module.get_buffer(f"reference_{n}").copy_(parameter.detach() * 0.9)
    ids, labels = examples([9, 6])
    prompts: Any = [[ids[0].numpy(), ids[1].numpy()]]
    monkeypatch.setattr(module, "_draw", lambda batch: (ids, labels, prompts))
    monkeypatch.setattr(module, "_log_pass", lambda *_, **__: None)
    batch = Batch(input_ids=ids[:1], labels=labels[:1], event=ids[:1] > 0, seed=torch.tensor([3]))

    def chance() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logits, target, place = network.scored(ids, labels)
        tempered = (logits / temperature).log_softmax(dim=1).gather(1, target[:, None])[:, 0]
        return torch.stack([tempered[place // 9 == row].mean() for row in (0, 1)]), tempered, place // 9

    (mean, now, row), count = chance(), (labels != -100).sum(dim=1)
    with module.as_reference():
        apart = chance()[1] - now
    kl = ((apart.exp() - apart - 1) / count[row]).sum() / 2
    expected = -(torch.as_tensor(advantage) * mean).sum() / 2 + 0.3 * kl
    assert kl > 1e-3
    assert module.training_step(batch, 0).item() == pytest.approx(expected.item(), rel=1e-4)
