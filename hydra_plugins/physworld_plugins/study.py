"""`hydra/sweeper: study`: Hydra takes plugins from this package only; what it does is in physworld.runs.search.

No `from __future__ import annotations`: Hydra runs this module before it is in sys.modules, where dataclasses look.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class StudyConf:
    _target_: str = "hydra_plugins.physworld_plugins.study.StudySweeper"
    study_name: str = "physworld"
    storage: str | None = None
    direction: str = "minimize"
    n_trials: int = 20
    n_jobs: int = 1
    max_failures: int = 3
    sampler: dict[str, Any] = field(default_factory=lambda: {"name": "TPESampler", "seed": 0})
    pruner: dict[str, Any] | None = None
    params: dict[str, str] = field(default_factory=dict)


class StudySweeper(Sweeper):
    """Runs the trials of an Optuna study through any launcher."""

    def __init__(self, params: Mapping[str, str], **settings: Any) -> None:
        self.params, self.settings = params, settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.directory = str(config.hydra.sweep.dir)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.launch = launcher.launch

    def sweep(self, arguments: list[str]) -> None:
        from physworld.runs.search import Search

        Search(directory=self.directory, **self.settings).run(
            [*(f"{key}={value}" for key, value in self.params.items()), *arguments], self.launch
        )


ConfigStore.instance().store(group="hydra/sweeper", name="study", node=StudyConf, provider="physworld")
