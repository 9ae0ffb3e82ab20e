"""Where things lie, and configurations as the mains compose them."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

import physworld.settings.groups  # noqa: F401  registers the scenario group

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
GOLDEN = ROOT / "tests" / "golden"


def composed(main: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(main, list(overrides))
