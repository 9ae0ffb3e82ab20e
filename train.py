"""Train a model on freshly simulated scenes, evaluate it and write its report: `python train.py --help`."""

import hydra
from omegaconf import DictConfig

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.settings.messages import job, run_main


@hydra.main(config_path="conf", config_name="train", version_base="1.3")
@job
def main(cfg: DictConfig) -> float:
    from physworld.run import train  # late, so that --help and shell completion need no torch

    return train(cfg)


if __name__ == "__main__":
    run_main(main, "train")
