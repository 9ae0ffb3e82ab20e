"""What `physworld plan` foretells beside what is measured: memory and operations of a training step.

    python benchmarks/plan.py        # every case in turn, some minutes; writes results/plan.json and results/plan.md
    python benchmarks/plan.py gpt    # one case

Each case is a process of its own. The network has random weights, the batch is the plan's own. Lightning's Trainer
takes three steps on it; in the third, torch's profiler writes down every request to the allocator. Measured memory is
the highest sum of what is held then: what is held when the step begins (weights, optimiser's state, gradients), and
what is asked for on top. `resident` is the whole process's growth from before the network was made to the highest
point of all steps, as the system counts it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "tests" / "helpers")]  # this folder has a warp.py
RESULTS = Path(__file__).parent / "results"
THIRD = "the third step"
LM = ["codec=engine", "scenario.names=[billiards]", "curriculum=stage0", "model.optimizer=adamw", "steps=3"]
# float32: torch multiplies bf16 backwards at 0.3 GFLOP/s on a CPU without AVX-512, an hour and more a pass
COGVIDEOX = [
    "model=cogvideox", "data.source.frames=9", "data.source.height=64", "data.source.width=96", "steps=3",
    "model.network.dtype=float32",
]  # fmt: skip
CASES: dict[str, list[str]] = {
    "gpt": ["model=gpt", "global_batch=64", "steps=3"],
    "gpt, two passes": ["model=gpt", "global_batch=64", "hardware.micro_batch=32", "steps=3"],
    "plain": ["model=plain", "global_batch=32", "steps=3"],
    "tiny LFM2, all weights": ["model=tiny_lfm2", "codec=engine", "global_batch=8", "steps=3"],
    "tiny LFM2, bf16": [
        "model=tiny_lfm2", "codec=engine", "global_batch=8", "steps=3", "hardware.precision=bf16-mixed",
    ],
    "SmolLM2-135M, LoRA, checkpointing": ["model=smollm2_135m", "global_batch=2", *LM],
    "SmolLM2-135M, LoRA": [
        "model=smollm2_135m", "global_batch=2", "model.network.gradient_checkpointing=false", *LM,
    ],
    "SmolLM2-135M, all weights": ["model=smollm2_135m", "global_batch=1", "model.network.tuning=full", *LM],
    "tiny gravity": ["model=tiny_gravity", "global_batch=8", "steps=3"],
    "tiny video": ["model=tiny_video", "global_batch=16", "steps=3"],
    "CogVideoX-2b, 9 x 64 x 96, checkpointing": COGVIDEOX,
    "CogVideoX-2b, 9 x 64 x 96": [*COGVIDEOX, "model.network.gradient_checkpointing=false"],
}  # fmt: skip


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def highest() -> int:
    """Bytes of this process in memory at its highest point."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def compose(overrides: list[str]) -> tuple[Any, Any, Any]:
    """(configuration, the system's plan, hardware with nothing left open)."""
    import hydra
    from hydra.utils import instantiate

    import physworld.settings.groups  # noqa: F401
    from physworld import run
    from physworld.training import plan as plans

    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = hydra.compose("plan", [*overrides, "hardware=cpu" if "bf16" not in str(overrides) else "hardware=auto"])
    _, hardware = plans.choose("cpu", "cpu", instantiate(cfg.hardware))
    return cfg, run.system(str(cfg.data.task)).plan, hardware


def measure(overrides: list[str]) -> dict[str, Any]:
    """Foretold and measured figures of a case."""
    import lightning.pytorch as pl
    import torch
    from torch.profiler import ProfilerActivity, profile, record_function
    from torch.utils.flop_counter import FlopCounterMode

    from physworld.training import plan as plans
    from physworld.training.fake import COUNTED, numberless, size
    from physworld.training.precision import plugin

    from allocations import rise

    cfg, system_plan, hardware = compose(overrides)
    micro, accumulate = hardware.split(cfg.global_batch)
    machine = plans.target("cpu", hardware.precision, None, None)
    started = time.perf_counter()
    with numberless() as mode:
        planned = system_plan(cfg, hardware.precision, micro)
        made = time.perf_counter()
        foretold = plans.make(mode, planned, hardware, machine, cfg.global_batch)
    spent = time.perf_counter() - started, time.perf_counter() - made
    del planned

    before = resident()
    real = system_plan(cfg, hardware.precision, micro)
    if real.checkpointing is not None:
        real.checkpointing(real.checkpointed)
    module, batch = real.module, real.stages[0].batch
    found: dict[str, Any] = {}

    class Watch(pl.Callback):
        """Looks at one optimiser step."""

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            if index == accumulate:  # a step early, so that the gradients that the third step gives back are known
                self.profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
                self.profile.__enter__()
            if index == 2 * accumulate:
                state = trainer.optimizers[0].state.values()
                held = [*module.network.parameters(), *module.network.buffers()]
                held += [p.grad for p in module.network.parameters() if p.grad is not None]
                held += [x for values in state for x in values.values() if isinstance(x, torch.Tensor)]
                found["held"] = sum(map(size, held))
                self.third = record_function(THIRD)
                self.third.__enter__()

        def on_train_batch_end(self, trainer: Any, module: Any, out: Any, batch: Any, index: int) -> None:
            if index == 3 * accumulate - 1:
                self.third.__exit__(None, None, None)
                self.profile.__exit__(None, None, None)
                found["asked"] = rise(self.profile, since=THIRD)

    trainer = pl.Trainer(
        max_steps=3, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, callbacks=[Watch()],
        enable_progress_bar=False, enable_model_summary=False, accumulate_grad_batches=accumulate,
        gradient_clip_val=cfg.trainer.gradient_clip_val, plugins=[plugin(hardware.precision, "cpu")],
    )  # fmt: skip
    loader = torch.utils.data.DataLoader([batch] * (3 * accumulate), batch_size=None, collate_fn=lambda one: one)
    trainer.fit(module, loader)
    grown = highest() - before

    counter = FlopCounterMode(display=False, custom_mapping=COUNTED)
    mixed = hardware.precision == "bf16-mixed"
    module.trainer = None
    with counter:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = module.training_step(batch, 0)
        loss.backward()
    part = foretold.stages[0]
    row = {
        "parameters": foretold.parameters, "trained": foretold.trainable,
        "memory_foretold": foretold.need.peak, "memory_measured": found["held"] + found["asked"], "resident": grown,
        "computed_foretold": part.computed, "computed_measured": counter.get_total_flops() * accumulate,
        "model_flops": part.flops, "by_formula": by_formula(module, batch, accumulate),
        "seconds_plan": spent[0], "seconds_passes": spent[1],
    }  # fmt: skip
    return row


def by_formula(module: Any, batch: Any, accumulate: int) -> float | None:
    """Operations by the formula that training logs MFU with (see `lm.parts.flops`), for language models."""
    from physworld.lm.packed_lm import PackedLM
    from physworld.training.mfu import lengths

    if not isinstance(module.network, PackedLM):
        return None
    length = lengths(batch.labels)
    tokens, attended = int(length.sum()), int((length * length).sum())
    return module.network.flops(tokens, attended, int((batch.labels != -100).sum())) * accumulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"by default all: {', '.join(CASES)}")
    parser.add_argument("--here", choices=list(CASES), metavar="CASE", help="one case in this process, printed as JSON")
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"{', '.join(sorted(unknown))} is no case; choose among {', '.join(CASES)}")
    if options.here is not None:
        print(json.dumps(measure(CASES[options.here])))
        return
    wanted = [name for name in CASES if name in (options.cases or CASES)]
    path = RESULTS / "plan.json"
    rows: dict[str, Any] = {}
    for name in wanted:
        done = subprocess.run(
            [sys.executable, __file__, "--here", name], capture_output=True, text=True, check=False, cwd=ROOT
        )
        if done.returncode:
            print(name, done.stderr[-3000:], file=sys.stderr)
            continue
        before = json.loads(path.read_text()) if path.is_file() else {}
        before[name] = json.loads(done.stdout.strip().splitlines()[-1])
        rows = {case: before[case] for case in CASES if case in before}
        print(name, rows[name], flush=True)
        path.write_text(json.dumps(rows, indent=1) + "\n")
    (RESULTS / "plan.md").write_text("\n".join(table(rows)) + "\n")
    print("\n".join(table(rows)))


def table(rows: dict[str, Any]) -> list[str]:
    """Markdown."""
    heads = ["case", "parameters", "memory, foretold", "measured", "ratio", "resident", "GFLOP, foretold", "counted"]
    heads += ["by formula", "s to plan"]
    out = [f"| {' | '.join(heads)} |", f"|{' :-- |'}{' --: |' * (len(heads) - 1)}"]
    for name, row in rows.items():
        formula = "" if row["by_formula"] is None else f"{row['by_formula'] / 1e9:,.1f}"
        memory = [row[key] / 1e6 for key in ("memory_foretold", "memory_measured")]
        cells = [
            name, f"{row['parameters'] / 1e6:.1f} M", *(f"{value:,.0f} MB" for value in memory),
            f"{memory[0] / memory[1]:.3f}", f"{row['resident'] / 1e6:,.0f} MB",
            f"{row['computed_foretold'] / 1e9:,.1f}", f"{row['computed_measured'] / 1e9:,.1f}", formula,
            f"{row['seconds_plan']:.1f}",
        ]  # fmt: skip
        out.append(f"| {' | '.join(cells)} |")
    return out


if __name__ == "__main__":
    main()
