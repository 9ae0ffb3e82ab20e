"""What `hydra/launcher=slurm` asks SLURM for, and what is said where SLURM refuses or loses a job."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir

from physworld.settings.messages import of_slurm

from repository import CONF

pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="extra: sweep")


@pytest.mark.parametrize(
    ("main", "overrides", "nodes", "tasks", "gres"),
    [
        ("train", [], 1, 1, "gpu:1"),
        ("train", ["hardware=fsdp", "hardware.devices=8", "hardware.nodes=2"], 2, 8, "gpu:8"),
        ("train", ["hardware=cpu"], 1, 1, None),
        ("train", ["hardware=ddp", "hardware.accelerator=cpu", "hardware.devices=2"], 1, 2, None),
        ("evaluate", ["hydra.launcher.gres=gpu:a100:1"], 1, 1, "gpu:a100:1"),
        ("evaluate", ["hydra.launcher.gres=null"], 1, 1, None),
        ("simulate", [], 1, 1, None),
    ],
)
def test_a_task_for_each_device_and_gpus_where_there_are_any(
    main: str, overrides: list[str], nodes: int, tasks: int, gres: str | None
) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        asks = compose(main, ["hydra/launcher=slurm", *overrides], return_hydra_config=True).hydra.launcher
    assert (asks.nodes, asks.tasks_per_node, asks.gres) == (nodes, tasks, gres)
    assert asks.additional_parameters.requeue is True and asks.max_num_timeout > 0  # else a time limit ends the job


def test_what_slurm_says_in_one_sentence() -> None:
    refused = "sbatch: error: Invalid generic resource (gres) specification\n"
    assert "SLURM refuses the jobs (Invalid generic resource (gres) specification)" in str(of_slurm(refused))
    lost = (
        "Job 7_0 (task: 0) with path /a b/.submitit/7_0/7_0_0_result.pkl\nhas not produced any output (state: FAILED)\n"
        "Error stream produced:\n----\nsrun: error: vm: task 0: Exited with exit code 137"
    )
    said = of_slurm(lost)
    assert said == (
        "Job 7_0 ended without a result (FAILED); see /a b/.submitit/7_0/7_0_0_log.err. The same command goes on."
    )
    assert of_slurm("srun is mentioned in something else") is None
