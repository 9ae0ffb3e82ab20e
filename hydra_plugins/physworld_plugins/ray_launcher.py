"""`hydra/launcher: ray`: each job is a task of Ray, on this machine or on a cluster; what it does is in
physworld.runs.ray_jobs.

No `from __future__ import annotations`: Hydra runs this module before it is in sys.modules, where dataclasses look.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class RayConf:
    _target_: str = "hydra_plugins.physworld_plugins.ray_launcher.RayLauncher"
    address: str | None = None  # of a cluster, or auto; null = a Ray of its own on this machine
    num_cpus: float = 1  # of each job
    num_gpus: float = 0
    max_retries: int = 3  # times that a job whose machine is lost is started again


class RayLauncher(Launcher):
    def __init__(self, **settings: object) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.what = (hydra_context, task_function)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from physworld.runs.ray_jobs import launch

        return launch(*self.what, self.config, job_overrides, initial_job_idx, **self.settings)


ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayConf, provider="physworld")
