"""Ten losses of every kind of training on the CPU: a refactor must show the same ones.

    python tests/golden/ten_losses.py    prints them, and writes ten_losses.json beside this file

They change, rightly, when a default of a model, a learning rate, a text or one of the scenarios changes.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.run import build

HERE = Path(__file__).resolve().parent
COMMON = ["hardware=cpu", "hardware.num_workers=0"]
TEXT = ["scenario.names=[billiards,pendulum,tower]", "data.source.windows_per_scene=1"]
LORA = ["codec=engine", "model.network.tuning=lora", "model.optimizer=adamw"]
RUNS = {
    "text": [*TEXT, "codec=impulse", "global_batch=8"],
    "finetuning": [*TEXT, "codec=impulse", "model=tiny_lfm2", "global_batch=4"],
    "lora": [*TEXT, "model=tiny_lfm2", *LORA, "global_batch=2"],
    "video": ["model=tiny_video", "global_batch=4"],
    "spatial": ["model=tiny_gravity", "codec=spatial", "global_batch=8"],
    "spatial_preference": ["model=tiny_gravity_dpo", "codec=spatial", "global_batch=8"],
}


def ten_losses(kind: str) -> list[float]:
    """Training losses of the first ten steps of RUNS[kind], seed 0, one thread, without a Trainer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with initialize_config_dir(str(HERE.parent.parent / "conf"), version_base="1.3"):
            cfg = compose("train", [*COMMON, *RUNS[kind]])
        torch.manual_seed(0)
        parts = build(cfg)
        module = parts.module.train()
        optimizing = module.configure_optimizers()
        optimizer, scheduler = optimizing["optimizer"], optimizing["lr_scheduler"]["scheduler"]
        losses = []
        for index, batch in zip(range(10), parts.data.train_dataloader(), strict=False):
            torch.manual_seed(index)  # of dropout
            optimizer.zero_grad()
            loss = module.training_step(batch, index)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), cfg.trainer.gradient_clip_val)
            optimizer.step()
            scheduler.step()
            losses.append(round(loss.item(), 5))
        return losses
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    found = {kind: ten_losses(kind) for kind in RUNS}
    record = {"command": "python tests/golden/ten_losses.py", "torch": torch.__version__, "losses": found}
    (HERE / "ten_losses.json").write_text(json.dumps(record, indent=1) + "\n")
    for kind, losses in found.items():
        print(kind, losses)
