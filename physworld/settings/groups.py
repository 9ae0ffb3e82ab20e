"""The `scenario` and `ood` groups of the Hydra configuration, made from the code so that no YAML repeats it.

Importing this module is enough; the mains do so before Hydra composes.
"""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from physworld import scenarios
from physworld.sim import ood

# What a plain `python train.py` trains on: types on which it was shown to beat extrapolation (experiments/001_default).
DEFAULT = ("billiards", "dominos", "head_on", "orbit", "pendulum", "projectile", "tower")


def scenario_sets() -> dict[str, tuple[str, ...]]:
    """Option name -> scenario names: the sets, then every category, then every type alone."""
    sets = {
        "default": DEFAULT,
        "seen": scenarios.seen(),
        "heldout": scenarios.heldout(),
        "all": scenarios.names(),
    }
    for name in scenarios.names():
        category = scenarios.category(name)
        sets[category] = (*sets.get(category, ()), name)
    return sets | {name: (name,) for name in scenarios.names()}


def register() -> None:
    store = ConfigStore.instance()
    for option, names in scenario_sets().items():
        store.store(group="scenario", name=option, node={"names": list(names)}, provider="physworld.scenarios")
    for family in (None, *ood.FAMILIES):
        store.store(
            group="ood", name=family or "none", node={"family": family, "level": 1.0}, provider="physworld.sim.ood"
        )
    folders = {"folders": {"_target_": "physworld.settings.folders.Folders"}}
    store.store(group="hydra/callbacks", name="physworld", node=folders, provider="physworld.settings")
    OmegaConf.register_new_resolver("gres", gres, replace=True)


def gres(hardware: Any) -> str | None:
    """The GPUs that SLURM is asked for; None where the command wants none: on CPUs, and where it only simulates."""
    return None if hardware is None or hardware.accelerator == "cpu" else f"gpu:{hardware.devices}"


register()
