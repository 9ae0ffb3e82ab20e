"""A search loses no trial, runs none twice and none too many, whenever its process is killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import ConfigCompositionException

from physworld.errors import UserError
from physworld.runs import trial as trials
from physworld.runs.search import Search
from physworld.runs.state import Pruned
from physworld.runs.study_page import importances

FORK = multiprocessing.get_context("fork")
ASKED = ("seed=3", "rate=tag(log,interval(0.001,1.0))", "depth=choice(2,4)", "width=range(8,33,8)")


def search(folder: Path, **some: Any) -> Search:
    settings: dict[str, Any] = {
        "directory": str(folder), "study_name": "s", "storage": None, "direction": "minimize", "n_trials": 6,
        "n_jobs": 1, "max_failures": 3, "sampler": {"name": "TPESampler", "seed": 0, "n_startup_trials": 3},
        "pruner": None, **some,
    }  # fmt: skip
    return Search(**settings)


def figure(overrides: Sequence[str]) -> float:
    values = dict(override.split("=") for override in overrides)
    return (float(values["rate"]) - 0.1) ** 2 + 0.1 * float(values["depth"]) + 0.001 * float(values["width"])


def done(value: Any) -> JobReturn:
    result = JobReturn()
    result.status = JobStatus.FAILED if isinstance(value, Exception) else JobStatus.COMPLETED
    result.return_value = value
    return result


class Launcher:
    """Jobs that compute a figure; each says when it begins and when it ends."""

    def __init__(self, log: Path, pause: float = 0.0) -> None:
        self.log, self.pause = log, pause

    def __call__(self, batch: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        return [self.job(initial_job_idx + place, overrides) for place, overrides in enumerate(batch)]

    def job(self, number: int, overrides: Sequence[str]) -> JobReturn:
        self.say("begins", number)
        time.sleep(self.pause)
        self.say("ends", number)
        return done(figure(overrides))

    def say(self, what: str, number: int) -> None:
        with self.log.open("a") as file:
            file.write(f"{what} {number}\n")

    def lines(self, what: str) -> list[int]:
        text = self.log.read_text() if self.log.exists() else ""
        return [int(line.split()[1]) for line in text.splitlines() if line.startswith(what)]


def study(folder: Path) -> Any:
    return trials.optuna().load_study(study_name="s", storage=trials.storage(str(folder / "study.journal")))


def told(folder: Path) -> list[tuple[str, dict[str, Any], float | None]]:
    return [(trial.state.name, trial.params, trial.value) for trial in study(folder).get_trials()]


def test_killed_twice_it_has_its_trials_each_once_and_tries_what_it_would_have(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    search(whole).run(ASKED, Launcher(tmp_path / "log"))
    slow = Launcher(tmp_path / "slow", pause=0.3)
    for begun in (2, 4):  # in the middle of trials 1 and 2
        process = FORK.Process(target=search(killed).run, args=(ASKED, slow))
        process.start()
        deadline = time.monotonic() + 60
        while len(slow.lines("begins")) < begun:
            assert process.is_alive() and time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with (killed / "study.journal").open("a") as file:
            file.write('{"op_code":6,"half')  # a line that a kill cut short
    search(killed).run(ASKED, slow)
    assert slow.lines("ends") == [0, 1, 2, 3, 4, 5]
    assert told(killed) == told(whole)
    assert [state for state, *_ in told(whole)] == ["COMPLETE"] * 6
    search(killed).run(ASKED, slow)  # nothing is left to do
    search(killed, n_trials=7).run(ASKED, slow)
    assert slow.lines("ends") == [0, 1, 2, 3, 4, 5, 6]
    assert len({str(params) for _, params, _ in told(killed)}) > 4  # no first trials again after each start
    assert "Trial" not in (killed / "study.html").read_text() and "<svg" in (killed / "study.html").read_text()


def test_what_is_searched_stays_within_its_bounds(tmp_path: Path) -> None:
    search(tmp_path, n_trials=20, n_jobs=4, sampler={"name": "RandomSampler", "seed": 1}).run(
        ASKED, Launcher(tmp_path / "log")
    )
    for _, params, value in told(tmp_path):
        assert 0.001 <= params["rate"] <= 1 and params["depth"] in (2, 4) and params["width"] in (8, 16, 24, 32)
        assert value == figure([f"{name}={one}" for name, one in params.items()])
    logs = [params["rate"] < 0.03 for _, params, _ in told(tmp_path)]
    assert 5 <= sum(logs) <= 15  # half of a logarithmic range lies below its geometric middle
    shares = importances(study(tmp_path))
    assert set(shares) == {"rate", "depth", "width"} and abs(sum(shares.values()) - 1) < 1e-6


def test_a_failure_is_one_trial_and_failures_in_a_row_end_it(tmp_path: Path) -> None:
    class Fails(Launcher):
        def job(self, number: int, overrides: Sequence[str]) -> JobReturn:
            return done(UserError("too hot")) if number == 1 else super().job(number, overrides)

    search(tmp_path, n_trials=3).run(ASKED, Fails(tmp_path / "log"))
    assert [state for state, *_ in told(tmp_path)] == ["COMPLETE", "FAIL", "COMPLETE"]

    def never(batch: Sequence[Any], initial_job_idx: int) -> list[JobReturn]:
        return [done(UserError("too hot"))] * len(batch)

    with pytest.raises(UserError, match="3 trials in a row failed, the last of them with: too hot"):
        search(tmp_path, n_trials=30).run(ASKED, never)
    assert len(told(tmp_path)) == 6


def test_a_hopeless_trial_is_given_up(tmp_path: Path) -> None:
    """Trial k validates at k: from the median on, what is worse is given up."""
    given_up = []

    def launch(batch: Sequence[Any], initial_job_idx: int) -> list[JobReturn]:
        own = trials.Trial.of(tmp_path / str(initial_job_idx))
        assert own is not None
        if own.hopeless(float(initial_job_idx), step=10):
            given_up.append(initial_job_idx)
            return [done(Pruned("given up"))]
        return [done(float(initial_job_idx))]

    pruner = {"name": "MedianPruner", "n_startup_trials": 2, "n_warmup_steps": 0}
    search(tmp_path, n_trials=4, pruner=pruner).run(ASKED, launch)
    assert given_up == [2, 3]
    assert [state for state, *_ in told(tmp_path)] == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED"]


@pytest.mark.parametrize("composed", [True, False])
def test_a_search_whose_trials_all_failed_gives_way_to_the_corrected_command(tmp_path: Path, composed: bool) -> None:
    def wrong(batch: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        if not composed:  # Hydra's launchers let this through
            raise ConfigCompositionException("Could not override 'nope.x'")
        (tmp_path / str(initial_job_idx) / "config.yaml").write_text("seed: 3\n")  # this one has begun
        return [done(UserError("too hot"))]

    says, first = ("2 trials in a row", UserError) if composed else ("nope.x", ConfigCompositionException)
    with pytest.raises(first, match=says):
        search(tmp_path, max_failures=2).run((*ASKED, "nope.x=choice(1,2)"), wrong)
    assert {state for state, *_ in told(tmp_path)} == {"FAIL"}
    log = Launcher(tmp_path / "log")
    search(tmp_path, n_trials=2).run(ASKED, log)
    assert log.lines("ends") == [0, 1] and [state for state, *_ in told(tmp_path)] == ["COMPLETE"] * 2
    begun = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("config.yaml"))
    assert begun == (["failed-1/0/config.yaml", "failed-1/1/config.yaml"] if composed else [])
    with pytest.raises(UserError, match="is of another command"):  # what is finished stays
        search(tmp_path).run((*ASKED, "more=1"), log)


@pytest.mark.parametrize(
    ("settings", "asked", "said"),
    [
        ({}, ("seed=3", "rate=interval(0.1,0.2)"), "is of another command: they differ in depth, rate, width; give"),
        ({}, ("seed=3",), "A search needs settings to try"),
        ({}, ("rate=tag(log,interval(0,0.1))",), r"rate=tag\(log,interval\(...\)\) needs a lower end above 0"),
        ({}, ("depth=range(5,1)",), r"depth=range\(...\) holds no value"),
        ({"sampler": {"name": "TPSampler"}}, ASKED, "sampler.name=TPSampler is unknown. Did you mean TPESampler"),
        ({"pruner": {"name": "MedianPruner", "warm": 1}}, ASKED, "hydra.sweeper.pruner cannot be used"),
        ({"n_trials": 0}, ASKED, "hydra.sweeper.n_trials"),
        ({"direction": "down"}, ASKED, "choose minimize or maximize"),
        ({"storage": "nosuch://x"}, ASKED, "hydra.sweeper.storage=nosuch://x cannot be used"),
    ],
)
def test_mistakes_are_one_sentence(settings: dict[str, Any], asked: Sequence[str], said: str, tmp_path: Path) -> None:
    if not settings and len(asked) > 1:
        search(tmp_path, n_trials=1).run(ASKED, Launcher(tmp_path / "log"))
    with pytest.raises(UserError, match=said):
        search(tmp_path, **settings).run(asked, Launcher(tmp_path / "log"))


def test_a_study_names_its_home_wherever_a_trial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    search(Path("here"), n_trials=1, pruner={"name": "NopPruner"}).run(ASKED, Launcher(tmp_path / "log"))
    said = json.loads(Path("here/0/trial.json").read_text())
    assert said["storage"] == str(tmp_path / "here" / "study.journal") and said["trial"] == 0
