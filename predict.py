"""Roll a given scene forward with a finished run: `python predict.py run=DIR input=scene.jsonl frames=100`."""

import hydra
from omegaconf import DictConfig

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.settings.messages import job, run_main


@hydra.main(config_path="conf", config_name="predict", version_base="1.3")
@job
def main(cfg: DictConfig) -> None:
    from physworld.run import predict  # late, so that --help and shell completion need no torch

    predict(cfg)


if __name__ == "__main__":
    run_main(main, "predict")
