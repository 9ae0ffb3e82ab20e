"""How near a training step of the default model is to its limit: the same sums as plain products of dense matrices.

    python benchmarks/step.py        # a minute of one core; takes train.py's options, too

step     forward and backward of one batch, and the optimiser's step
limit    for every linear map of the network, its output table included, the products that its forward and its backward
         are made of, each as one dense matrix product of float32; attention and all else are left out
rest     the operations of the step that take most, by their own CPU time

All in turn, several times; a figure is the lowest CPU time. Tokens are those of the samples, padding not counted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from loader import CONF
from torch import nn
from torch.profiler import ProfilerActivity, profile

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.run import build

RESULTS = Path(__file__).parent / "results" / "step.json"


def lowest(work: Callable[[], Any], rounds: int) -> float:
    work()
    took = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        took.append(time.process_time() - begin)
    return min(took)


def products(network: Any, run: Callable[[], Any]) -> list[tuple[int, int, int]]:
    """(rows, inputs, outputs) of every linear map that `run` goes through, and of the scores of all outputs."""
    seen: list[tuple[int, int, int]] = []
    losses = network.losses

    def scores(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen.append((len(logits), network.output_table().shape[1], logits.shape[1]))
        return losses(logits, target)

    def note(part: Any, inputs: Any, _: Any) -> None:
        seen.append((inputs[0].numel() // part.in_features, part.in_features, part.out_features))

    handles = [part.register_forward_hook(note) for part in network.modules() if isinstance(part, nn.Linear)]
    network.losses = scores
    run()
    del network.losses
    for handle in handles:
        handle.remove()
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as for train.py, for example model=gpt_mini")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        parts = build(compose("train", ["hardware=cpu", "hardware.num_workers=0", *options.overrides]))
    module, batch = parts.module.train(), next(iter(parts.data.train_dataloader()))
    optimizer = module.configure_optimizers()["optimizer"]

    def passes() -> None:
        optimizer.zero_grad()
        module._losses(batch)[0].mean().backward()

    shapes = [(torch.randn(r, i), torch.randn(i, o), torch.randn(r, o)) for r, i, o in products(module.network, passes)]

    def dense() -> None:
        for x, w, y in shapes:
            x @ w, y @ w.T, x.T @ y

    tokens = int((batch.input_ids != module.network.pad).sum())
    found: dict[str, Any] = {"tokens": tokens}
    for name, work in (("passes", passes), ("optimiser", optimizer.step), ("limit", dense)):
        found[name] = lowest(work, options.rounds)
    step = found["passes"] + found["optimiser"]
    found |= {"tokens/s": tokens / step, "limit tokens/s": tokens / found["limit"], "share": found["limit"] / step}
    print({key: round(value, 4) for key, value in found.items()})
    with profile(activities=[ProfilerActivity.CPU]) as traced:
        passes()
        optimizer.step()
    rows = sorted(traced.key_averages(), key=lambda row: -row.self_cpu_time_total)
    whole = sum(row.self_cpu_time_total for row in rows)
    found["rest"] = {row.key: row.self_cpu_time_total / whole for row in rows[:14]}
    for name, share in found["rest"].items():
        print(f"  {100 * share:5.1f} %  {name}")
    if not options.overrides:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
