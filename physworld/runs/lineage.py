"""trained_on.json: the scenario types that a run has learned from, in itself and in every run that it began from.

Without it a model whose first run saw a held-out type would be scored as if none had.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from physworld.errors import UserError
from physworld.io.checksums import refuse_changed
from physworld.runs import directory as runs
from physworld.runs.sweeps import named

FILE = "trained_on.json"
TEACHING = ("init_from", "data.source.run", "data.source.runs")  # settings that name runs to learn from
WEIGHTS = ("weights", "base", "model.network.weights", "model.network.base")  # that may name a folder of a run
FOLDERS = ("model", "adapter", *runs.EXPORTS)


def learned(run: Path) -> list[str]:
    """Scenario types that a run directory's model was trained on; of a run without the file, those of its settings.

    Raises:
        UserError: the file was changed or cannot be read.
    """
    path = run / FILE
    try:
        refuse_changed(run, FILE)
        names = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = runs.flatten(runs.read_config(run)).get("scenario.names") or []
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path} must be a list of scenario types.")
    return names


def of_weights(weights: str) -> list[str] | None:
    """Of a folder of weights that lies in a run directory; None for any other."""
    for folder in (Path(weights), Path(weights).parent):  # a GGUF file may be named itself
        if folder.name in FOLDERS and (folder.parent / "config.yaml").is_file():
            return learned(folder.parent)
    return None


def note(directory: Path, own: Sequence[str], resolved: Mapping[str, Any], checkpoint: Path | None) -> None:
    """Write what is learned from now on, and what was before: in this run, and in those that its settings name.

    Args:
        own: scenario types of this run.
        resolved: the configuration of the run.
        checkpoint: that it goes on from.
    """
    names = list(own)
    for before in _before(runs.flatten(resolved), checkpoint):
        names += [name for name in before if name not in names]
    runs.write_result(directory / FILE, names)


def _before(settings: Mapping[str, Any], checkpoint: Path | None) -> Iterator[list[str]]:
    if checkpoint is not None and (checkpoint.parent.parent / "config.yaml").is_file():
        yield learned(checkpoint.parent.parent)
    for run in (run for key in TEACHING for run in named(settings.get(key))):
        try:
            found = runs.find_run(run)
        except UserError:  # a run that goes on no longer needs it: what it gave was written when it began
            continue
        yield learned(found)
    for key in WEIGHTS:
        yield of_weights(str(settings.get(key))) or []
