"""A training run of text physics without weights: its network without content, and batches of every stage."""

from __future__ import annotations

from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from physworld.data import Source, collate, fitted
from physworld.errors import FormatError, UserError, call
from physworld.lm.next_token import NextTokenModule
from physworld.protocols import Codec
from physworld.runs.planning import network_for, switch
from physworld.runs.wiring import longest, stage_samples
from physworld.settings import checks
from physworld.text.build import sources
from physworld.training.fake import real
from physworld.training.plan import Planned, Stage

DRAWN = 32  # samples at most, each of another scene; a larger batch holds them again


def plan(cfg: DictConfig, precision: str, micro_batch: int) -> Planned:
    """Codec, network and samples of a configuration.

    Raises:
        UserError: the configuration asks for something that does not fit together.
    """
    names = checks.scenario_names(cfg.scenario.names)
    codec, network, weights, notes = network_for(cfg, precision)
    most = longest(cfg, network)
    with real():  # a finished run may make the samples
        train, _ = sources(cfg, names, codec)
    module: NextTokenModule = call(instantiate(cfg.model), network=network, total_steps=cfg.steps)
    each = stage_samples(cfg)
    count = 1 if each is None else len(cfg.curriculum.difficulties)
    apart = cfg.data.source.windows_per_scene if "windows_per_scene" in cfg.data.source else 1
    stages = []
    for number in range(count):
        first = 0 if each is None else number * each
        steps = cfg.steps if each is None else min(each // cfg.global_batch, cfg.steps - first // cfg.global_batch)
        if steps <= 0:
            break
        if number == count - 1:  # the last one goes on until the steps are over
            steps = cfg.steps - first // cfg.global_batch
        with real():
            drawn = _encoded(train, codec, [first + k * apart for k in range(min(micro_batch, DRAWN))], most)
        batch = collate([drawn[k % len(drawn)] for k in range(micro_batch)], pad=int(codec.tokenizer.pad_token_id))
        with torch.no_grad():
            tokens = int((batch.input_ids != int(codec.tokenizer.pad_token_id)).sum())
        difficulties = cfg.curriculum.difficulties
        which = difficulties if each is None else difficulties[0 if cfg.curriculum.keep_easier else number : number + 1]
        name = f"difficulty {', '.join(map(str, which))}"
        stages.append(Stage(name=name, steps=steps, batch=batch, tokens=tokens))
    toggle, on = switch(network)
    return Planned(module=module, stages=stages, checkpointing=toggle, checkpointed=on, weights=weights, notes=notes)


def _encoded(source: Source, codec: Codec, indices: list[int], most: int | None) -> list[Any]:
    try:
        found = [fitted(codec, source.sample(index), most) for index in indices]
    except FormatError as error:
        raise UserError(f"{error}.") from None
    kept = [item for item in found if item is not None]
    if not kept:
        raise UserError(f"Every sample that was drawn is longer than the {most} tokens that the network reads.")
    return kept
