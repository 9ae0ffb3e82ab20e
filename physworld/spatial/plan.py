"""A training run of spatial scenes without weights: its network without content, and a batch."""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig

from physworld.data import collate
from physworld.errors import UserError, call
from physworld.runs.planning import network_for, switch
from physworld.training.plan import Planned, Stage

DRAWN = 32  # samples at most; a larger batch holds them again


def plan(cfg: DictConfig, precision: str, micro_batch: int) -> Planned:
    """Codec, network and samples of a configuration.

    Raises:
        UserError: the configuration asks for something that does not fit together, or draws answers while it trains.
    """
    codec, network, weights, notes = network_for(cfg, precision)
    module = call(instantiate(cfg.model), network=network, total_steps=cfg.steps)
    if module.objective != "likelihood":
        raise UserError("plan knows runs that learn from given answers; preferences and rewards are not among them.")
    train = call(instantiate(cfg.data.source), seed=cfg.seed, split="train")
    try:
        drawn = [codec.encode(train.sample(index)) for index in range(min(micro_batch, DRAWN))]
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"This data and codec do not fit together: {error}.") from error
    batch = collate([drawn[k % len(drawn)] for k in range(micro_batch)], pad=int(codec.pad_id))
    tokens = sum(len(drawn[k % len(drawn)].input_ids) for k in range(micro_batch))
    toggle, on = switch(network)
    stage = Stage(name="all", steps=cfg.steps, batch=batch, tokens=tokens)
    return Planned(module=module, stages=[stage], checkpointing=toggle, checkpointed=on, weights=weights, notes=notes)
