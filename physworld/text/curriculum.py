"""A curriculum of several stages, told stage by stage: what was learned from, the loss, and rollouts at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.table import Table

from physworld.accumulators import Means
from physworld.reporting.markdown import table
from physworld.runs.directory import write_json
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.evaluation.evaluation import EvalCases, Evaluation

LATE = 0.1  # share of a stage, at its end, over which `end loss` is the mean


class StageTable(Callback):
    """One row per finished stage. Rows and sums are in the checkpoint, so a resumed stage goes on where it was."""

    def __init__(
        self,
        *,
        difficulties: Sequence[int],
        steps_per_stage: int,
        global_batch: int,
        evaluation: Evaluation,
        codec: FrameCodec,
        draw: Callable[[int], EvalCases],
    ) -> None:
        """
        Args:
            draw: moments of validation scenes of one difficulty.
        """
        self.difficulties, self.steps_per_stage, self.global_batch = list(difficulties), steps_per_stage, global_batch
        self.evaluation, self.codec, self.draw = evaluation, codec, draw
        self.rows: list[dict[str, Any]] = []
        self._losses: list[float] = []  # of the stage under way, one for each pass
        self._step = 0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "losses": self._losses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self._losses = list(state["rows"]), list(state["losses"])

    def stage(self, step: int) -> int:
        """The stage that optimiser step `step`, counted from 0, belongs to."""
        return min(step // self.steps_per_stage, len(self.difficulties) - 1)

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._losses.append(float(trainer.callback_metrics["train/loss"]))
        step = trainer.global_step
        if step > self._step and (self.stage(step) != self.stage(self._step) or step == trainer.max_steps):
            self._finish(trainer, module, self.stage(self._step), step)

    def _finish(self, trainer: pl.Trainer, module: Any, stage: int, step: int) -> None:
        late = self._losses[-max(1, round(LATE * len(self._losses))) :]
        means = Means("loss", "end_loss").to(module.device)
        means.update(loss=torch.tensor(self._losses).double(), end_loss=torch.tensor(late).double())
        loss, end = (float(value) for value in means.compute().values())
        difficulty = self.difficulties[stage]
        cases = self.draw(difficulty)
        network = module.eval_network()
        headline = self.evaluation.evaluate(network, self.codec, cases).summary["headline"]
        module.train()
        counts = [len(given.scene.bodies) for given in cases.given]
        row = {
            "stage": stage,
            "difficulty": difficulty,
            "objects": f"{min(counts)}-{max(counts)}" if counts else "",
            "examples": (step - stage * self.steps_per_stage) * self.global_batch,
            "loss": loss,
            "end_loss": end,
            "rollouts": len(cases.given),
            **{key: float(value) for key, value in headline.items() if isinstance(value, int | float)},
        }
        if self.rows and self.rows[-1]["stage"] == stage:  # training had ended within it, and was prolonged
            self.rows.pop()
        self.rows.append(row)
        if self.stage(step) != stage:
            self._losses = []
        module.log_dict({f"stage/{key}": row[key] for key in ("stage", "loss", "end_loss")}, rank_zero_only=False)

    # --- telling

    def _skill(self) -> list[str]:
        return [key for key in (self.rows[0] if self.rows else {}) if key.startswith(("ratio_best@", "parse_rate"))]

    def markdown(self) -> list[str]:
        """A section of the report."""
        if not self.rows:
            return []
        names = ["stage", "difficulty", "objects", "examples", "loss", "end_loss", "rollouts", *self._skill()]
        return [
            "## Stages",
            "",
            "Losses are of training: the mean of the stage, and of its last tenth. The rest are rollouts of validation "
            "scenes of that difficulty at the stage's end.",
            "",
            *table(names, [[_show(row.get(name)) for name in names] for row in self.rows]),
        ]

    def write(self, directory: Path, console: Console) -> None:
        """stages.json, and the table on the screen."""
        write_json(directory / "stages.json", self.rows)
        screen = Table(title="Stages")
        names = ["stage", "difficulty", "objects", "examples", "loss", "end_loss", *self._skill()]
        for name in names:
            screen.add_column(name, justify="right", overflow="fold")
        for row in self.rows:
            screen.add_row(*(_show(row.get(name)) for name in names))
        console.print(screen)


def _show(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
