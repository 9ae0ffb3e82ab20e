"""A run as a trial of a search: trial.json beside it names the study, so any launcher's process finds it."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from physworld.errors import UserError, first_line, suggest
from physworld.io.checksums import digest_of
from physworld.runs.directory import write_json

FILE = "trial.json"


def optuna() -> Any:
    """The package, without what it says of every step.

    Raises:
        UserError: it is not installed, or too old to keep a study in a plain file.
    """
    try:
        import optuna
        import optuna.storages.journal
    except ImportError:
        raise UserError("A search needs Optuna 4.5 or later; install with: pip install 'physworld[sweep]'.") from None
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna


def storage(where: str) -> Any:
    """A study's home: a file, which several processes and machines may write, or the address of a database.

    Raises:
        UserError: it cannot be opened.
    """
    package = optuna()
    try:
        if "://" in where:
            return package.storages.get_storage(where)
        Path(where).parent.mkdir(parents=True, exist_ok=True)
        # A link is made as a whole on file servers too; one that a killed process left is taken over after 30 s.
        lock = package.storages.journal.JournalFileSymlinkLock(where)
        lock.acquire()
        try:
            _mend(Path(where))
        finally:
            lock.release()
        return package.storages.JournalStorage(_summed(package.storages.journal.JournalFileBackend)(where, lock))
    except Exception as error:  # of Optuna, SQLAlchemy, a driver, the disk or the file's content
        raise UserError(f"hydra.sweeper.storage={where} cannot be used ({first_line(error)}).") from None


def _summed(backend: Any) -> Any:
    """Optuna's file, in which each line has a sum of its own: a bit that flips is noticed.

    Optuna itself, and what shows its studies, reads such a file and does not look at the sum.
    """

    class Summed(backend):  # type: ignore[misc]  # an optional package
        def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
            for number, log in enumerate(super().read_logs(log_number_from), start=log_number_from + 1):
                written = log.pop("sum", None)  # lines that others wrote have none
                if written not in (None, _sum(log)):
                    raise ValueError(f"line {number} is damaged")
                yield log

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            super().append_logs([{**log, "sum": _sum(log)} for log in logs])

    return Summed


def _sum(log: Mapping[str, Any]) -> str:
    return digest_of(json.dumps(json.loads(json.dumps(log)), sort_keys=True))[:16]


def _mend(journal: Path) -> None:
    """A process that was killed while it wrote leaves half a line, and the next would be written behind it.

    Raises:
        ValueError: the last line is damaged; Optuna would take it for one that is not written yet.
    """
    with contextlib.suppress(FileNotFoundError), journal.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole:
            json.loads(content[:whole].splitlines()[-1])
        if whole < size:
            file.truncate(whole)


def made(kind: str, node: Mapping[str, Any]) -> Any:
    """An Optuna sampler or pruner of {"name": CLASS, its settings}.

    Raises:
        UserError: there is none of that name, or it does not take a setting.
    """
    module = getattr(optuna(), f"{kind}s")
    names = [name for name in module.__all__ if name.lower().endswith(kind) and not name.startswith("Base")]
    settings = {key: value for key, value in node.items() if key != "name"}
    name = node.get("name")
    if name not in names:
        raise UserError(
            f"hydra.sweeper.{kind}.name={name} is unknown.{suggest(str(name), names)} Choose one of {', '.join(names)}."
        )
    try:
        return getattr(module, str(name))(**settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"hydra.sweeper.{kind} cannot be used ({first_line(error)}).") from None


class Trial:
    """What a run says to its search while it is under way."""

    def __init__(self, study: Any, number: int) -> None:
        frozen = study.get_trials(deepcopy=False)[number]
        self._trial, self._finished = optuna().trial.Trial(study, frozen._trial_id), frozen.state.is_finished()

    @classmethod
    def of(cls, directory: Path) -> Trial | None:
        """None for a run that is of no search, or of one that gives nothing up."""
        try:
            said = json.loads((directory / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        if said["pruner"] is None:
            return None
        study = optuna().load_study(
            study_name=said["study"], storage=storage(said["storage"]), pruner=made("pruner", said["pruner"])
        )
        return cls(study, int(said["trial"]))

    def hopeless(self, value: float, step: int) -> bool:
        """Report a figure of a validation; whether the search would rather begin something else."""
        if self._finished or not math.isfinite(value):
            return False
        self._trial.report(value, step)
        return bool(self._trial.should_prune())


def write(directory: Path, *, study: str, storage: str, trial: int, pruner: Mapping[str, Any] | None) -> None:
    where = storage if "://" in storage else os.path.abspath(storage)
    write_json(
        directory / FILE,
        {"study": study, "storage": where, "trial": trial, "pruner": None if pruner is None else dict(pruner)},
    )
