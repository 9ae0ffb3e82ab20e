"""A search over settings that survives whatever ends its process.

The study is a file (Optuna's journal) in the search's folder, and trial k is the run directory k beside it. The same
command goes on: trials that were under way continue from their checkpoints, finished ones are not run again, and
`n_trials` is how many there are in the end. What trial k tries follows from (seed, k, the trials that were finished
before), so a search that was killed and one that was not try the same.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    FloatRange,
    IntervalSweep,
    Override,
    RangeSweep,
    Transformer,
)
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from physworld.errors import UserError, first_line
from physworld.reporting.screen import screen
from physworld.runs import trial as trials
from physworld.runs.directory import write_config
from physworld.runs.state import Pruned
from physworld.runs.study_page import write_page
from physworld.settings.checks import whole

console = screen()
Launch = Callable[..., Sequence[Any]]
PAGE_EVERY = 20.0  # s between two drawings of study.html while trials run


@dataclass(frozen=True, kw_only=True)
class Search:
    directory: str  # of the study and its trials
    study_name: str
    storage: str | None  # a file, or the address of a database; None = study.journal in the folder
    direction: str  # minimize or maximize
    n_trials: int  # in the end, those of earlier commands included
    n_jobs: int  # trials that are launched together
    max_failures: int  # that many trials in a row that fail end the command
    sampler: Mapping[str, Any]  # {"name": a class of optuna.samplers, its settings}
    pruner: Mapping[str, Any] | None  # the same of optuna.pruners; None = every trial runs to its end

    def __post_init__(self) -> None:
        for name in ("n_trials", "n_jobs", "max_failures"):
            whole(f"hydra.sweeper.{name}", getattr(self, name), 1)
        if self.direction not in ("minimize", "maximize"):
            raise UserError(f"hydra.sweeper.direction={self.direction} is unknown; choose minimize or maximize.")

    @property
    def home(self) -> str:
        return str(Path(self.directory) / "study.journal") if self.storage is None else self.storage

    def run(self, arguments: Sequence[str], launch: Launch) -> None:
        """Run what is left of the search.

        Args:
            arguments: overrides; those that name several values are what is searched.
            launch: of a Hydra launcher.

        Raises:
            UserError: nothing is searched, the folder holds another search, or trials fail.
        """
        fixed, space = self._space(arguments)
        for kind, node in (("sampler", self.sampler), ("pruner", self.pruner)):
            if node is not None:
                trials.made(kind, node)
        Path(self.directory).mkdir(parents=True, exist_ok=True)
        lock = FileLock(Path(self.directory) / ".lock")
        try:
            lock.acquire(timeout=5)
        except Timeout:
            raise UserError(
                f"Another command runs the search in {self.directory}; wait for it, or choose another "
                "hydra.sweeper.study_name."
            ) from None
        try:
            study = self._opened(fixed, space)
            self._go_on(study, fixed, space, launch)
            self._conclude(study)
        finally:
            lock.release()

    def _opened(self, fixed: Sequence[str], space: Mapping[str, Any]) -> Any:
        """The study of this command: a study is of one command; only how long and by what it is searched may change.

        Where all trials of another command failed, it gives way, as that command was most likely a mistake.
        """
        mine = {override.partition("=")[0]: override for override in fixed} | {k: repr(v) for k, v in space.items()}
        home = trials.storage(self.home)
        about: dict[str, Any] = {"study_name": self.study_name, "storage": home, "direction": self.direction}
        study = trials.optuna().create_study(load_if_exists=True, **about)
        theirs = study.user_attrs.get("command")
        if theirs is not None and theirs != mine:
            failed = trials.optuna().trial.TrialState.FAIL
            every = study.get_trials(deepcopy=False)
            if not all(trial.state == failed for trial in every):
                odd = sorted(key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key))
                raise UserError(
                    f"The search in {self.home} is of another command: they differ in {', '.join(odd)}; give the "
                    "same settings, or another hydra.sweeper.study_name."
                )
            self._put_aside([trial.number for trial in every])
            trials.optuna().delete_study(study_name=self.study_name, storage=home)
            study = trials.optuna().create_study(**about)
        study.set_user_attr("command", mine)
        return study

    def _put_aside(self, failed: Sequence[int]) -> None:
        """Make room for the trials of another command; of those that had begun nothing is lost."""
        home = Path(self.directory)
        aside = next(path for n in itertools.count(1) if not (path := home / f"failed-{n}").exists())
        for folder in (home / str(number) for number in failed):
            if (folder / "config.yaml").is_file():
                aside.mkdir(exist_ok=True)
                folder.rename(aside / folder.name)
            else:
                shutil.rmtree(folder, ignore_errors=True)
        kept = f"; what they left is in {aside}" if aside.is_dir() else ""
        console.print(
            f"{home} holds another command's search, of which no trial succeeded{kept}. This one begins anew.",
            soft_wrap=True,
        )

    def _go_on(self, study: Any, fixed: Sequence[str], space: Mapping[str, Any], launch: Launch) -> None:
        before = study.get_trials(deepcopy=False)
        left = [trial.number for trial in before if not trial.state.is_finished()]
        if before:
            console.print(
                f"{self.directory} holds {len(before) - len(left)} finished trials and {len(left)} that were under "
                f"way; {max(0, self.n_trials - len(before))} more are to come.",
                soft_wrap=True,
            )
        failed, drawn = 0, time.monotonic()
        while left or len(study.get_trials(deepcopy=False)) < self.n_trials:
            batch = _together(left, self.n_jobs)
            left = left[len(batch) :]
            if not batch:
                room = min(self.n_jobs, self.n_trials - len(study.get_trials(deepcopy=False)))
                batch = [self._ask(study) for _ in range(room)]
            tried = [self._suggest(study, number, space) for number in batch]
            for number in batch:
                trials.write(
                    Path(self.directory) / str(number), study=self.study_name, storage=self.home, trial=number,
                    pruner=self.pruner,
                )  # fmt: skip
            chosen = [(*fixed, *(f"{name}={value}" for name, value in values.items())) for values in tried]
            try:
                results = launch(chosen, initial_job_idx=batch[0])
            except (HydraException, OmegaConfBaseException):  # settings of which no configuration can be made
                self._fail_unbegun(study, batch)
                raise
            for number, values, result in zip(batch, tried, results, strict=True):
                why = self._tell(study, number, result)
                failed = failed + 1 if why else 0
                words = " ".join(f"{name}={value}" for name, value in values.items())
                state = study.get_trials(deepcopy=False)[number]
                said = f"{state.value:.6g}" if state.value is not None and not why else why or "no figure"
                console.print(f"Trial {number} ({words}): {state.state.name.lower()}, {said}", soft_wrap=True)
                if failed >= self.max_failures:
                    raise UserError(f"{failed} trials in a row failed, the last of them with: {why}")
            if time.monotonic() - drawn > PAGE_EVERY:
                write_page(study, Path(self.directory) / "study.html")
                drawn = time.monotonic()

    def _fail_unbegun(self, study: Any, batch: Sequence[int]) -> None:
        """Trials of a batch that have begun stay under way, and the same command goes on with them."""
        for number in batch:
            if not (Path(self.directory) / str(number) / "config.yaml").is_file():
                study.tell(number, state=trials.optuna().trial.TrialState.FAIL)

    def _sampler(self, number: int) -> Any:
        """Each trial has a sampler of its own seed: one seed for all would repeat the first trials after a restart."""
        node = dict(self.sampler)
        if node.get("seed") is not None:
            node["seed"] = int(np.random.SeedSequence((int(node["seed"]), number)).generate_state(1)[0])
        return trials.made("sampler", node)

    def _ask(self, study: Any) -> int:
        study.sampler = self._sampler(len(study.get_trials(deepcopy=False)))
        return int(study.ask().number)

    def _suggest(self, study: Any, number: int, space: Mapping[str, Any]) -> dict[str, Any]:
        """What a trial tries; what it was given before a kill stays."""
        package = trials.optuna()
        frozen = study.get_trials(deepcopy=False)[number]
        study.sampler = self._sampler(number)
        trial = package.trial.Trial(study, frozen._trial_id)
        return {name: trial._suggest(name, distribution) for name, distribution in space.items()}

    def _tell(self, study: Any, number: int, result: Any) -> str:
        """Write a trial's outcome down; why it failed, '' where it did not."""
        states = trials.optuna().trial.TrialState
        try:
            study.tell(number, float(result.return_value))
        except Pruned:
            study.tell(number, state=states.PRUNED)
        except Exception as error:  # whatever ends one trial leaves the others theirs
            study.tell(number, state=states.FAIL)
            return first_line(error)
        if study.get_trials(deepcopy=False)[number].state == states.FAIL:
            return "its figure is no number"
        return ""

    def _conclude(self, study: Any) -> None:
        write_page(study, Path(self.directory) / "study.html")
        states = trials.optuna().trial.TrialState
        every = study.get_trials(deepcopy=False)
        counts = {state: sum(trial.state == getattr(states, state.upper()) for trial in every) for state in COUNTED}
        if not counts["complete"]:
            raise UserError(f"No trial of {self.directory} was finished.")
        best = study.best_trial
        words = " ".join(f"{name}={value}" for name, value in best.params.items())
        write_config(
            Path(self.directory) / "optimization_results.yaml",
            {"name": "optuna", "best_params": best.params, "best_value": best.value, "best_trial": best.number},
        )
        console.print(", ".join(f"{count} {state}" for state, count in counts.items() if count), soft_wrap=True)
        console.print(f"Best:         trial {best.number}, {best.value:.6g}, {words}", soft_wrap=True)
        console.print(f"Search:       {Path(self.directory) / 'study.html'}", soft_wrap=True)

    def _space(self, arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        """(overrides that are the same in every trial, name -> Optuna's distribution)."""
        fixed: dict[str, str] = {}
        space: dict[str, Any] = {}
        for override in OverridesParser.create().parse_overrides(list(arguments)):
            name = override.get_key_element()
            fixed.pop(name, None)  # the later one wins, as everywhere in Hydra
            space.pop(name, None)
            if override.is_sweep_override():
                space[name] = distribution(override)
            else:
                fixed[name] = f"{name}={override.get_value_element_as_str()}"
        if not space:
            raise UserError(
                "A search needs settings to try, such as 'model.learning_rate=interval(0.001,0.1)' or "
                "'model.network.depth=choice(2,4)'."
            )
        return list(fixed.values()), space


COUNTED = ("complete", "pruned", "fail")


def distribution(override: Override) -> Any:
    """What Hydra's sweep syntax means to Optuna: choice and range are lists, interval is continuous; tag(log, ...).

    Raises:
        UserError: it is none of these.
    """
    made = trials.optuna().distributions
    value: Any = override.value()
    name = override.get_key_element()
    if isinstance(value, IntervalSweep):
        if value.start is None or value.end is None or not value.start < value.end:
            raise UserError(f"{name}=interval(...) needs a lower and a higher end.")
        ends = (value.start, value.end)
        if "log" in value.tags and ends[0] <= 0:
            raise UserError(f"{name}=tag(log,interval(...)) needs a lower end above 0, and it is {ends[0]:g}.")
        kind = made.IntDistribution if all(isinstance(end, int) for end in ends) else made.FloatDistribution
        return kind(*ends, log="log" in value.tags)
    if isinstance(value, RangeSweep) and not value.shuffle:
        every = list(value.range())
        if not every:
            raise UserError(f"{name}=range(...) holds no value.")
        if all(isinstance(one, int) for one in every) and (value.step or 1) > 0:
            return made.IntDistribution(every[0], every[-1], step=int(value.step or 1), log=False)
        return made.CategoricalDistribution(every)
    if isinstance(value, ChoiceSweep | RangeSweep | FloatRange):
        return made.CategoricalDistribution(list(override.sweep_iterator(transformer=Transformer.encode)))
    raise UserError(f"{name} is searched by choice(...), range(...) or interval(...), not by {value}.")


def _together(numbers: Sequence[int], most: int) -> list[int]:
    """The first numbers that follow upon one another: a launcher counts its jobs up."""
    batch = list(numbers[:1])
    for number in numbers[1:most]:
        if number != batch[-1] + 1:
            break
        batch.append(number)
    return batch
