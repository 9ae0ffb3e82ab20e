"""How often each scenario type is drawn, by what a finished run got wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from physworld.errors import UserError
from physworld.runs import directory as runs

EVEN = 0.5  # share of the scenes that is drawn of all types equally often, so that nothing is forgotten
OPTION = "data.source.errors"


def shares(run: str, names: Sequence[str]) -> np.ndarray:
    """(len(names),) probabilities: EVEN equally, the rest in proportion to a run's error on validation scenes.

    The error is position RMSE over the best baseline's at the longest horizon, mean of a type's rollouts.

    Args:
        run: directory of a training run, or of an evaluation with split=val; or its name, as `find_named` reads it.

    Raises:
        UserError: it was measured on other scenes, or not on all these types.
    """
    directory = runs.find_named(run)
    metrics = runs.read_metrics(directory) if directory else {}
    split = str(metrics.get("measured", {}).get("split")).strip("`")
    if split != "val":
        raise UserError(
            f"{OPTION}={run} has no figures of validation scenes, and no others may choose what is trained on; "
            "give a training run, or an evaluation with split=val."
        )
    if not metrics.get("horizons") or "scenarios" not in metrics:  # of another system
        raise UserError(f"{OPTION}={run} has no errors by scenario type; give a run of text physics.")
    horizon, types = str(max(metrics["horizons"])), metrics["scenarios"]
    if missing := [name for name in names if name not in types]:
        raise UserError(f"{OPTION}={run} has no figures of {', '.join(missing)}; evaluate it on every trained type.")
    found = [types[name]["horizons"][horizon]["ratio_best"] for name in names]  # none where no baseline is off
    ratios = [ratio["mean"] if ratio else None for ratio in found]
    if unknown := [name for name, ratio in zip(names, ratios, strict=True) if ratio is None]:
        raise UserError(f"{OPTION}={run} has no finite error on {', '.join(unknown)}.")
    error = np.array(ratios, float)
    if not error.sum() > 0:
        raise UserError(f"{OPTION}={run} makes no errors, so there is nothing to draw more often.")
    return EVEN / len(names) + (1 - EVEN) * error / error.sum()
