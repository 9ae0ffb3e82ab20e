"""Jobs of a sweep as tasks of Ray: training runs of a grid or a search, shards of a dataset, shares of an evaluation.

A task that Ray starts again elsewhere, because its machine was lost, goes on as a sweep does that is started again.
Machines must see the same folders.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, filter_overrides, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from physworld.errors import UserError, first_line
from physworld.reporting.screen import screen

console = screen()


def launch(
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    initial_job_idx: int,
    *,
    address: str | None,
    num_cpus: float,
    num_gpus: float,
    max_retries: int,
) -> list[JobReturn]:
    """Run jobs, as many at a time as there are processors for.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise UserError("hydra/launcher=ray needs Ray; install with: pip install 'physworld[ray]'.") from None
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    if not ray.is_initialized():
        try:
            ray.init(address=address, logging_level="ERROR", **({} if address else {"include_dashboard": False}))
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"Ray cannot be reached at {address} ({first_line(error)}).") from None
    # A job that ends in a mistake is not started again; one whose process or machine is lost is.
    task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=max_retries, max_calls=1)(_job)
    shared = ray.put((hydra_context, task_function, config, Singleton.get_state(), os.getcwd()))
    waiting = []
    for number, overrides in enumerate(job_overrides, start=initial_job_idx):
        console.print(f"Job {number}: {' '.join(filter_overrides(overrides))}", soft_wrap=True, highlight=False)
        waiting.append(task.remote(shared, list(overrides), number))
    return [_result(ray, one) for one in waiting]


def _result(ray: Any, waiting: Any) -> JobReturn:
    """What a job gave back; a lost one is a failed one, and leaves the others theirs."""
    from hydra.core.utils import JobStatus

    try:
        found: JobReturn = ray.get(waiting)
        return found
    except ray.exceptions.RayError as error:
        lost = JobReturn()
        lost.status = JobStatus.FAILED
        lost.return_value = UserError(f"A job was lost ({first_line(error)}).")
        return lost


def _job(shared: Any, overrides: list[str], number: int) -> JobReturn:
    """One job, in a process of Ray's."""
    hydra_context, task_function, config, state, place = shared
    os.chdir(place)
    setup_globals()
    Singleton.set_state(state)
    sweep_config = hydra_context.config_loader.load_sweep_config(config, overrides)
    with open_dict(sweep_config):
        sweep_config.hydra.job.id = sweep_config.hydra.job.num = number
    return run_job(
        hydra_context=hydra_context,
        task_function=task_function,
        config=sweep_config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
