"""Make data and pictures: `python simulate.py scenario=billiards count=3 format=gif`."""

import hydra
from omegaconf import DictConfig

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.settings.messages import job, run_main


@hydra.main(config_path="conf", config_name="simulate", version_base="1.3")
@job
def main(cfg: DictConfig) -> None:
    from physworld.run import simulate  # late, so that --help and shell completion need no torch

    simulate(cfg)


if __name__ == "__main__":
    run_main(main, "simulate")
