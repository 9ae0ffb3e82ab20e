"""Score a finished run on fresh scenes: `python evaluate.py run=outputs/DATE/TIME`."""

import hydra
from omegaconf import DictConfig

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.settings.messages import job, run_main


@hydra.main(config_path="conf", config_name="evaluate", version_base="1.3")
@job
def main(cfg: DictConfig) -> None:
    from physworld.run import evaluate  # late, so that --help and shell completion need no torch

    evaluate(cfg)


if __name__ == "__main__":
    run_main(main, "evaluate")
