"""A plan says what a run takes: held against torch's own count of operations, its allocator, and its optimisers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from physworld import run
from physworld.errors import UserError
from physworld.lm.unweighted import architecture
from physworld.training import plan as plans
from physworld.training.fake import COUNTED, numberless, size
from physworld.training.hardware import Hardware
from physworld.training.plan import Need, Plan, Planned

from allocations import rise
from repository import composed

TINY = ("model=tiny_lfm2", "codec=engine", "scenario.names=[projectile]", "curriculum=stage0", "data.source.frames=12")
FEW = ("global_batch=4", "steps=3")
MACHINE = plans.Target(name="h100", memory=80e9, peak=1e12, mfu=0.5, price=2.0, assumed="")


def planned(*overrides: str) -> tuple[Any, Planned, Hardware]:
    cfg = composed("plan", "hardware=cpu", *FEW, *overrides)
    _, hardware = plans.choose(cfg.gpu, "cpu", instantiate(cfg.hardware))
    micro, _ = hardware.split(cfg.global_batch)
    return cfg, run.system(str(cfg.data.task)).plan(cfg, hardware.precision, micro), hardware


def foretold(*overrides: str, **hardware: Any) -> Plan:
    with numberless() as mode:
        cfg, made, found = planned(*overrides)
        return plans.make(mode, made, replace(found, **hardware), MACHINE, cfg.global_batch)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("LiquidAI/LFM2-350M", 354_483_968),
        ("LiquidAI/LFM2-700M", 742_489_344),
        ("Qwen/Qwen2.5-0.5B", 494_032_768),
        ("Qwen/Qwen2.5-1.5B-Instruct", 1_543_714_304),
        ("HuggingFaceTB/SmolLM2-135M", 134_515_008),
    ],
)
def test_known_architectures_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        lm = AutoModelForCausalLM.from_config(architecture(name))
    assert sum(p.numel() for p in lm.parameters()) == parameters


@pytest.mark.parametrize(
    "overrides",
    [("scenario.names=[projectile]", "data.source.frames=12"), TINY, ("model=tiny_gravity",), ("model=tiny_video",)],
    ids=["gpt", "lfm2", "gravity", "video"],
)
def test_a_plan_is_what_a_step_takes(overrides: tuple[str, ...]) -> None:
    """Operations to the last one, memory within 15 %."""
    told = foretold(*overrides)
    _, real, _ = planned(*overrides)
    module, batch = real.module, real.stages[0].batch
    module.network.train()
    counter = FlopCounterMode(display=False, custom_mapping=COUNTED)
    with counter:
        module.training_step(batch, 0).backward()
    assert counter.get_total_flops() == told.stages[0].flops > 0
    held = [*module.network.parameters(), *module.network.buffers()]
    held += [p.grad for p in module.network.parameters() if p.grad is not None]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        loss = module.training_step(batch, 0)
        module.zero_grad()
        loss.backward()
    measured = sum(map(size, held)) + rise(watched)
    assert told.need.peak - told.need.optimiser == pytest.approx(measured, rel=0.15)


def test_checkpointing_spares_memory_and_computes_again() -> None:
    told = foretold(*TINY, "model.network.gradient_checkpointing=true")
    assert told.need.with_checkpointing is not None
    assert told.need.activations == told.need.with_checkpointing < told.need.without_checkpointing
    assert told.stages[0].flops < told.stages[0].computed < 1.5 * told.stages[0].flops
    assert told.stages[0].flops == foretold(*TINY).stages[0].flops


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "adamw8bit"])
def test_the_state_of_optimisers(optimizer: str) -> None:
    _, real, _ = planned(*TINY, f"model.optimizer={optimizer}")
    made = real.module.configure_optimizers()["optimizer"]
    for p in real.module.network.parameters():
        p.grad = torch.ones_like(p)
    made.step()
    tensors = [x for state in made.state.values() for x in state.values() if isinstance(x, torch.Tensor)]
    tables = {x.data_ptr(): size(x) for x in tensors if x.numel() > 1}  # bitsandbytes' tables of levels are shared
    assert plans.state_bytes(real.module) == pytest.approx(sum(tables.values()), rel=0.02)


def parts(need: Need) -> tuple[int, int, int]:
    return need.weights, need.gradients, need.optimiser


def test_two_devices_split_the_model_or_keep_one_copy_each() -> None:
    alone = foretold(*TINY)
    ddp = foretold(*TINY, devices=2, strategy="ddp")
    fsdp = foretold(*TINY, devices=2, strategy="fsdp")
    assert parts(ddp.need) == parts(alone.need) and ddp.need.exchange == alone.need.gradients
    assert parts(fsdp.need) == tuple(part // 2 for part in parts(alone.need))
    assert ddp.devices == 2 and ddp.micro_batch == 2 and alone.micro_batch == 4
    assert ddp.stages[0].dollars == pytest.approx(2 * ddp.stages[0].hours * MACHINE.price)


def test_time_and_price_are_arithmetic() -> None:
    part = foretold(*TINY).stages[0]
    assert part.seconds == pytest.approx(part.flops / (MACHINE.peak * MACHINE.mfu))
    assert part.hours == pytest.approx(part.seconds * 3 / 3600) and part.dollars == pytest.approx(2 * part.hours)


def test_samples_that_a_finished_run_makes_can_be_planned_for() -> None:
    """Its answers are real, though the pass itself has no numbers; what is learned from them costs the same."""
    small = ("scenario.names=[projectile]", "data.source.frames=12", "global_batch=2")
    assert foretold(*small, "data=distilled").stages[0].flops > 0


def test_every_stage_of_a_curriculum_is_a_row() -> None:
    stages = ("curriculum=progressive", "curriculum.samples_per_stage=8", "curriculum.difficulties=[1,3]", "steps=5")
    told = foretold(*TINY, *stages)
    assert [(part.name, part.steps) for part in told.stages] == [("difficulty 1", 2), ("difficulty 1, 3", 3)]


@pytest.mark.parametrize(
    ("gpu", "choice", "devices", "says"),
    [
        (None, "ddp", "auto", "hardware=ddp takes every GPU of a machine, and none is visible here; give gpu="),
        (None, "fsdp", "auto", "hardware=fsdp takes every GPU of a machine, and none is visible here; give gpu="),
        ("h1000", "auto", 1, "gpu=h1000 is unknown. Did you mean h100?"),
        ("h100", "fsdp", "auto", "give hardware.devices=N"),
    ],
)
def test_a_machine_that_cannot_be_planned_for_is_a_sentence(
    gpu: str | None, choice: str, devices: Any, says: str
) -> None:
    hardware = instantiate(composed("plan", f"hardware={choice}").hardware, devices=devices)
    if torch.cuda.is_available():
        pytest.skip("devices=auto means those that are here")
    with pytest.raises(UserError, match=says):
        plans.choose(gpu, choice, hardware)


def test_a_model_that_nobody_knows_is_a_sentence() -> None:
    with numberless(), pytest.raises(UserError, match="weights=who/knows is no folder with"):
        planned(*TINY, "model=hf", "weights=who/knows")


def test_captions_that_a_transformer_does_not_read_are_a_sentence() -> None:
    with numberless(), pytest.raises(UserError, match=r"captions of 226 tokens; model\.codec\.tokens=16 gives others"):
        planned("model=cogvideox", "data.source.frames=9", "model.codec.tokens=16")


def test_own_clips_have_the_size_that_the_model_was_made_for_unless_one_is_named() -> None:
    """The plan reads none of them."""
    with numberless():
        own, simulated = (planned("model=tiny_video", *more)[1].stages[0].batch for more in (["data=clips"], []))
    assert own.latents.shape == simulated.latents.shape
    with numberless(), pytest.raises(UserError, match="frames=7 must be a multiple of 8 and one more"):
        planned("model=tiny_video", "data=clips", "data.source.frames=7")
