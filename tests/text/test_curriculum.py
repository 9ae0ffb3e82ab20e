from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from physworld.text.curriculum import StageTable

MODULE: Any = SimpleNamespace(
    device="cpu", eval_network=lambda: None, train=lambda: None, log_dict=lambda *_, **__: None
)


def stages() -> StageTable:
    evaluation: Any = SimpleNamespace(evaluate=lambda *_: SimpleNamespace(summary={"headline": {}}))
    codec: Any = None
    return StageTable(
        difficulties=[1, 2], steps_per_stage=4, global_batch=3, evaluation=evaluation, codec=codec,
        draw=lambda _: SimpleNamespace(given=[]),  # type: ignore[arg-type, return-value]
    )  # fmt: skip


def train(told: StageTable, first: int, last: int) -> None:
    """Steps first .. last - 1 of a training that ends there; step k has the loss k."""
    for step in range(first, last):
        trainer: Any = SimpleNamespace(global_step=step, max_steps=last, callback_metrics={"train/loss": float(step)})
        told.on_train_batch_start(trainer, MODULE, None, 0)
        trainer.global_step += 1
        told.on_train_batch_end(trainer, MODULE, None, None, 0)


@pytest.mark.parametrize("end", [2, 4, 6, 8])
def test_a_run_that_is_prolonged_has_the_rows_of_an_undisturbed_one(end: int) -> None:
    whole, first, second = stages(), stages(), stages()
    train(whole, 0, 10)
    train(first, 0, end)
    second.load_state_dict(first.state_dict())
    train(second, end, 10)
    assert second.rows == whole.rows
    assert [(row["stage"], row["examples"], row["loss"]) for row in whole.rows] == [(0, 12, 1.5), (1, 18, 6.5)]
