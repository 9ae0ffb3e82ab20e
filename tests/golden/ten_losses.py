"""Ten losses of the default model on the CPU: a refactor must show the same ones.

    python tests/golden/ten_losses.py    prints them, and writes ten_losses.json beside this file

They change, rightly, when a default of the model, the learning rates, the text or one of the three scenarios changes.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.run import build

HERE = Path(__file__).resolve().parent
OVERRIDES = [
    "hardware=cpu",
    "hardware.num_workers=0",
    "global_batch=8",
    "scenario.names=[billiards,pendulum,tower]",
    "data.source.windows_per_scene=1",
]


def ten_losses() -> list[float]:
    """Training losses of the first ten steps, seed 0, one thread, batches of 8 windows, without a Trainer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with initialize_config_dir(str(HERE.parent.parent / "conf"), version_base="1.3"):
            cfg = compose("train", OVERRIDES)
        torch.manual_seed(0)
        parts = build(cfg)
        module = parts.module.train()
        optimizing = module.configure_optimizers()
        optimizer, scheduler = optimizing["optimizer"], optimizing["lr_scheduler"]["scheduler"]
        losses = []
        for _, batch in zip(range(10), parts.data.train_dataloader(), strict=False):
            optimizer.zero_grad()
            loss = module._losses(batch)[0].mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), cfg.trainer.gradient_clip_val)
            optimizer.step()
            scheduler.step()
            losses.append(round(loss.item(), 5))
        return losses
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    record = {"command": "python tests/golden/ten_losses.py", "torch": torch.__version__, "losses": ten_losses()}
    (HERE / "ten_losses.json").write_text(json.dumps(record, indent=2) + "\n")
    print(record["losses"])
