from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from physworld.data import collate
from physworld.lm.preference import DPOModule
from physworld.lm.tiny_lm import TinyLM
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.types import Encoded

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
