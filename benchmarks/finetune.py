"""Fine-tuning side by side: ours, a bare PyTorch loop around our network, TRL's SFTTrainer, and Unsloth.

    python benchmarks/finetune.py --trl-python /path/to/an/environment/with/trl/bin/python
    python benchmarks/finetune.py --device cuda --weights LiquidAI/LFM2-350M --trl-python ... --unsloth-python ...

The same weights, the same LoRA, the same examples in the same order, the same optimiser, one process each, in turn, in
so many rounds. Without --weights a network with random weights is made: --random small is an LFM2 whose output layer
has the share of the operations that it has in LFM2-350M; LFM2-350M and SmolLM2-135M are those architectures in full
size. On a CPU, time is the process's own CPU time on one thread, so that other programs disturb little, and memory is
taken in a round of its own, in which the allocator gives back at once what is free.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]
KINDS = ("ours", "bare", "trl", "unsloth")
LORA = {"rank": 32, "alpha": 64, "dropout": 0.0}
WARM = 2  # steps that are not counted


def examples(options: argparse.Namespace) -> list[Any]:
    """(input ids, labels) of each example, the same for everyone."""
    from physworld.data import fitted
    from physworld.lm.weights import load_tokenizer
    from physworld.settings.groups import DEFAULT
    from physworld.text.codecs.engine import EngineCodec
    from physworld.text.sources.physics import PhysicsSource

    codec = EngineCodec(tokenizer=load_tokenizer(options.weights))
    source = PhysicsSource(
        seed=0, split="train", names=list(DEFAULT), difficulties=options.difficulties, context_frames=4,
        target_frames=1, frames=60, windows_per_scene=1, event_fraction=0.5, kicked_scenes=0.0, kick_rate=0.0,
        kick_size=1.0,
    )  # fmt: skip
    count = options.batch * options.steps
    found = [fitted(codec, source.sample(index), options.max_length) for index in range(2 * count)]
    return [item for item in found if item is not None][:count]


SMALL = {
    "model_type": "lfm2", "hidden_size": 256, "intermediate_size": 1152, "num_hidden_layers": 5,
    "layer_types": ["conv", "full_attention", "conv", "full_attention", "conv"], "max_position_embeddings": 8192,
}  # fmt: skip
# Random weights are as fast as learned ones; names as in physworld.lm.unweighted, which has the published sizes.
RANDOM = {"small": None, "LFM2-350M": "LiquidAI/LFM2-350M", "SmolLM2-135M": "HuggingFaceTB/SmolLM2-135M"}


def make_weights(folder: Path, name: str, vocab: int) -> Path:
    """One of RANDOM, and a tokenizer of 1,000 words learned from engine text."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from physworld.lm.unweighted import ARCHITECTURES

    from tiny_lms import bpe_tokenizer

    tokenizer, published = bpe_tokenizer(1000), RANDOM[name]
    config = AutoConfig.for_model(
        **(ARCHITECTURES[published] if published else {**SMALL, "vocab_size": vocab}),
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


# --- one process each


class Clock:
    """Seconds of every optimiser step."""

    def __init__(self, device: str) -> None:
        self.device, self.seconds, self.last, self.bytes_before = device, [], 0.0, 0.0

    def start(self) -> None:
        self.bytes_before = memory(self.device)  # everything is loaded, nothing is trained
        self.last = self._now()

    def tick(self) -> None:
        now = self._now()
        self.seconds.append(now - self.last)
        self.last = now

    def _now(self) -> float:
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()


def memory(device: str) -> float:
    """Peak so far: bytes on the GPU, or of this process."""
    if device == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def worker(options: argparse.Namespace) -> None:
    if options.worker == "unsloth":
        __import__("unsloth")  # before transformers, which it changes
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    items = examples(options)
    clock = Clock(options.device)
    run: Callable[..., None] = {"ours": ours, "bare": bare, "trl": trl, "unsloth": unsloth}[options.worker]
    run(options, items, clock)
    # A step's tokens are its own; the first steps warm caches and allocators.
    tokens = [sum(len(i.input_ids) for i in items[k : k + options.batch]) for k in range(0, len(items), options.batch)]
    print(json.dumps({
        "kind": options.worker, "seconds": clock.seconds[WARM:], "tokens": tokens[WARM : len(clock.seconds)],
        "peak_bytes": memory(options.device), "bytes_before_training": clock.bytes_before,
    }))  # fmt: skip


def parts(options: argparse.Namespace, items: list[Any]) -> tuple[Any, list[Any]]:
    """(our Lightning module, batches of one pass)."""
    from physworld.data import collate
    from physworld.lm.finetune import FinetuneModule
    from physworld.lm.packed_lm import PackedLM

    class Vocabulary:
        size = num_words = 0
        pad = 0

    network = PackedLM.for_vocabulary(
        Vocabulary, weights=options.weights, gradient_checkpointing=True, fused_attention=options.fused,
        compile_layers=options.compile_layers, **LORA,
    )  # fmt: skip
    if options.device == "cuda":
        network.lower_base(__import__("torch").bfloat16)
    module = FinetuneModule(network=network, total_steps=options.steps, optimizer="adamw", warmup_steps=0)
    micro = options.batch // options.accumulate
    return module, [collate(items[k : k + micro], pad=0) for k in range(0, len(items), micro)]


def ours(options: argparse.Namespace, items: list[Any], clock: Clock) -> None:
    import lightning.pytorch as pl
    from torch.utils.data import DataLoader

    module, batches = parts(options, items)

    class Tick(pl.Callback):
        step = 0

        def on_train_start(self, *_: Any) -> None:
            clock.start()

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step > self.step:
                self.step = trainer.global_step
                clock.tick()

    with tempfile.TemporaryDirectory() as folder:
        pl.Trainer(
            max_steps=options.steps, accumulate_grad_batches=options.accumulate, gradient_clip_val=1.0, logger=False,
            callbacks=[Tick()], enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            accelerator=options.device, devices=1, default_root_dir=folder,
            precision="bf16-mixed" if options.device == "cuda" else "32-true",
        ).fit(module, DataLoader(batches, batch_size=None))  # fmt: skip


def bare(options: argparse.Namespace, items: list[Any], clock: Clock) -> None:
    import torch

    module, batches = parts(options, items)
    network = module.network.to(options.device).train()
    optimizer = module._optimizer()
    trained = [p for p in network.parameters() if p.requires_grad]
    clock.start()
    for index, batch in enumerate(batches):
        batch = batch.to(options.device)
        with torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda"):
            loss = network.token_losses(batch.input_ids, batch.labels).loss / options.accumulate
        loss.backward()
        if (index + 1) % options.accumulate == 0:
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            clock.tick()


def unsloth(options: argparse.Namespace, items: list[Any], clock: Clock) -> None:
    """The same trainer with Unsloth's model and kernels; for NVIDIA GPUs."""
    from unsloth import FastLanguageModel

    from physworld.lm.parts import linear_names

    model, _ = FastLanguageModel.from_pretrained(
        model_name=options.weights, max_seq_length=options.max_length, load_in_4bit=False
    )
    model = FastLanguageModel.get_peft_model(
        model, r=LORA["rank"], lora_alpha=LORA["alpha"], lora_dropout=LORA["dropout"],
        target_modules=linear_names(model), use_gradient_checkpointing=True,
    )  # fmt: skip
    trl(options, items, clock, model)


def trl(options: argparse.Namespace, items: list[Any], clock: Clock, model: Any = None) -> None:
    """Args: model: with its adapters; None = transformers' own, with LoRA from peft."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from physworld.lm.parts import linear_names

    class Tick(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    cuda = options.device == "cuda"
    dtype = torch.bfloat16 if cuda else torch.float32
    lora = None
    if model is None:
        model = AutoModelForCausalLM.from_pretrained(options.weights, dtype=dtype)
        lora = LoraConfig(
            r=LORA["rank"], lora_alpha=LORA["alpha"], lora_dropout=LORA["dropout"],
            target_modules=linear_names(model), task_type="CAUSAL_LM",
        )  # fmt: skip
    rows = [
        {"input_ids": i.input_ids.tolist(), "completion_mask": (i.labels != -100).astype(int).tolist()} for i in items
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model, processing_class=AutoTokenizer.from_pretrained(options.weights), peft_config=lora,
            train_dataset=Dataset.from_list(rows), callbacks=[Tick()],
            args=SFTConfig(
                output_dir=folder, per_device_train_batch_size=options.batch // options.accumulate,
                gradient_accumulation_steps=options.accumulate, max_length=options.max_length, max_steps=options.steps,
                learning_rate=2e-4, optim="adamw_torch", bf16=cuda, use_cpu=not cuda, completion_only_loss=True,
                gradient_checkpointing=True, save_strategy="no", report_to="none", disable_tqdm=True,
                logging_strategy="no", train_sampling_strategy="sequential",
            ),
        )  # fmt: skip
        trainer.train()


# --- all of them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="folder or repository; default: random weights, see --random")
    parser.add_argument("--random", default="small", choices=RANDOM, help="which network with random weights")
    parser.add_argument("--vocab", type=int, default=6144, help="words of the small LFM2")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch", type=int, default=4, help="examples per step")
    parser.add_argument("--accumulate", type=int, default=2, help="passes per step")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-length", type=int, default=8192)
    parser.add_argument("--difficulties", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--fused", default="auto", choices=("auto", "on", "off"), help="one attention kernel, of ours")
    parser.add_argument("--compile-layers", action="store_true", help="torch.compile each layer, of ours")
    parser.add_argument("--trl-python", help="interpreter of an environment with trl; default: leave TRL out")
    parser.add_argument("--unsloth-python", help="interpreter of one with unsloth; default: leave Unsloth out")
    parser.add_argument("--out", type=Path, help="write the figures there")
    parser.add_argument("--worker", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.weights is None:
            options.weights = str(make_weights(Path(folder), options.random, options.vocab))
        absent = {"trl": not options.trl_python, "unsloth": not options.unsloth_python}
        kinds = [kind for kind in KINDS if not absent.get(kind)]
        found: dict[str, list[Any]] = {kind: [] for kind in kinds}
        for _ in range(options.rounds):
            for kind in kinds:
                found[kind].append(measured(options, kind))
        peaks = {
            kind: measured(options, kind, tidy=True) if options.device == "cpu" else rounds[-1]
            for kind, rounds in found.items()
        }
    report(options, {kind: summary(rounds, peaks[kind]) for kind, rounds in found.items()})


def measured(options: argparse.Namespace, kind: str, *, tidy: bool = False) -> Any:
    python = {"trl": options.trl_python, "unsloth": options.unsloth_python}.get(kind, sys.executable)
    passed = ["--worker", kind, "--difficulties", *map(str, options.difficulties)]
    passed += ["--compile-layers"] if options.compile_layers else []
    for name in ("weights", "device", "batch", "accumulate", "steps", "threads", "max_length", "fused"):
        passed += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    threads = {"OMP_NUM_THREADS": str(options.threads), "HF_HUB_OFFLINE": "1"}
    if tidy:  # blocks from 64 KiB on are mapped one by one and unmapped when freed
        threads |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_MMAP_MAX_": "1000000", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [python, __file__, *passed], env={**os.environ, **threads}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{kind} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def summary(rounds: list[Any], peak: Any) -> dict[str, float]:
    """Each step's least time of all rounds, since other programs only ever add; then all steps together."""
    seconds = [min(step) for step in zip(*(r["seconds"] for r in rounds), strict=True)]
    return {
        "seconds": sum(seconds),
        "seconds_per_step": sum(seconds) / len(seconds),
        "tokens_per_second": sum(rounds[0]["tokens"]) / sum(seconds),
        "peak_gb": peak["peak_bytes"] / 1e9,
        "peak_gb_of_training": (peak["peak_bytes"] - peak["bytes_before_training"]) / 1e9,
    }


def report(options: argparse.Namespace, rows: dict[str, dict[str, float]]) -> None:
    print("| | s/step | tokens/s | peak GB | of it, training |\n| :-- | --: | --: | --: | --: |")
    for kind, row in rows.items():
        print(
            f"| {kind} | {row['seconds_per_step']:.3f} | {row['tokens_per_second']:,.0f} | {row['peak_gb']:.2f} | "
            f"{row['peak_gb_of_training']:.2f} |"
        )
    ratios = {"step over bare loop": rows["ours"]["seconds"] / rows["bare"]["seconds"]}
    for kind, name in (("trl", "TRL"), ("unsloth", "Unsloth")):
        if kind in rows:
            ours, theirs = rows["ours"], rows[kind]
            ratios[f"tokens/s over {name}"] = ours["tokens_per_second"] / theirs["tokens_per_second"]
            ratios[f"peak memory over {name}"] = ours["peak_gb"] / theirs["peak_gb"]
            ratios[f"memory of training over {name}"] = ours["peak_gb_of_training"] / theirs["peak_gb_of_training"]
    for name, value in ratios.items():
        print(f"{name}: {value:.3f}")
    if options.out:
        settings = {
            key: str(value)
            for key, value in vars(options).items()
            if key not in ("worker", "out", "trl_python", "unsloth_python")
        }
        settings |= {} if Path(settings["weights"]).is_absolute() is False else {"weights": "random"}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"settings": settings, "rows": rows, "ratios": ratios}, indent=2) + "\n")


if __name__ == "__main__":
    main()
