"""Every listed value of every enumerated setting is run: a new choice in the code is a new case here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from physworld.errors import UserError
from physworld.lm.finetune import MEANS
from physworld.lm.weights import TUNINGS
from physworld.optim import OPTIMIZERS, SCHEDULES
from physworld.run import build
from physworld.seeding import SEEDS, generator, short
from physworld.settings import limits
from physworld.training.fit import fit
from physworld.training.hardware import ACCELERATORS, PRECISIONS, STRATEGIES
from physworld.training.precision import SPLIT, plugin
from physworld.video.backbones import DTYPES
from physworld.video.codecs.vae import DTYPES as CODEC_DTYPES
from physworld.video.diffusion_module import TARGETS
from physworld.video.scenes import PHYSICS, SCENARIOS

import tiny_cogvideox
import tiny_lms
from repository import composed

pytestmark = pytest.mark.slow

FEW = (
    *("steps=1", "hardware=cpu", "hardware.num_workers=0", "global_batch=2", "validate_every=1", "checkpoint_every=1"),
    "data.stream.val_samples=2",
)
SYSTEMS = {
    "text": (
        *("evaluation=quick", "evaluation.val_rollouts=1", "evaluation.frames=2", "evaluation.horizons=[1]"),
        *("evaluation.video=gif", "scenario.names=[projectile]", "data.source.frames=12", "model.network.width=32"),
        "model.network.depth=1",
    ),
    "finetune": (
        *("model=hf", "codec=engine", "evaluation=quick", "evaluation.val_rollouts=1", "evaluation.frames=1"),
        *("evaluation.horizons=[1]", "scenario.names=[projectile]", "data.source.frames=12", "model.warmup_steps=0"),
    ),
    "spatial": (
        *("model=tiny_gravity", "model.network.depth=1", "model.network.copying_layers=0", "evaluation.val_samples=1"),
    ),
    "video": ("model=tiny_video", "evaluation.val_clips=1", "evaluation.steps=1", "evaluation.controls=[]"),
}


def step(folder: Path, *options: str) -> Any:
    """One training step and one validation with everything that belongs to a run; the module."""
    cfg = composed("train", *FEW, *options)
    parts = build(cfg)
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    before = {name: value.detach().clone() for name, value in parts.module.network.named_parameters()}
    fit(cfg, resolved, parts, folder, None, 0)
    after = dict(parts.module.network.named_parameters())
    assert any(not torch.equal(before[name].double(), after[name].detach().double()) for name in before)
    assert all(bool(value.isfinite().all()) for value in after.values())
    return parts.module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["text", "spatial", "video"])
def test_every_precision_trains_every_system(name: str, precision: str, tmp_path: Path) -> None:
    # The scale of 16-mixed halves, and a step is left out, until no gradient is beyond float16.
    steps = ["steps=8", "validate_every=8"] if precision == "16-mixed" else []
    module = step(tmp_path, *SYSTEMS[name], *steps, f"hardware.precision={precision}")
    used = str(module.trainer.precision)
    assert used == ("32-true" if precision == "auto" else precision), "it is what was asked for"
    kinds = {p.dtype for p in module.network.parameters() if p.requires_grad}
    assert kinds == {{"64-true": torch.float64, "bf16-true": torch.bfloat16}.get(used, torch.float32)}


@pytest.mark.filterwarnings("ignore")
def test_weights_of_16_bits_and_their_average_go_on_and_are_evaluated(tmp_path: Path) -> None:
    options = (*SYSTEMS["text"], "hardware.precision=bf16-true", "model.ema_decay=0.999")
    step(tmp_path, *options)
    last = tmp_path / "checkpoints" / "last.ckpt"
    saved = torch.load(last, weights_only=True)["state_dict"]
    assert saved["average.words.weight"].dtype == torch.float32
    cfg = composed("train", *FEW, *options, "steps=2")
    parts = build(cfg)
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    fit(cfg, resolved, parts, tmp_path, last, 1)  # with a rollout of the average in its validation
    module: Any = parts.module
    now = module.average.words.weight
    assert now.dtype == torch.float32 and not torch.equal(now, saved["average.words.weight"])


@pytest.mark.parametrize("precision", [p for p in PRECISIONS if p != "auto"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_cannot_be_split_says_so(device: str, precision: str) -> None:
    if precision in SPLIT and (device, precision) != ("cpu", "bf16-true"):
        assert plugin(precision, device, split=True).precision == precision
        return
    with pytest.raises(UserError, match=f"hardware.precision={precision} does not go with hardware.strategy=fsdp on"):
        plugin(precision, device, split=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("option", [
    *(f"hardware.accelerator={value}" for value in ACCELERATORS if value != "cuda" or torch.cuda.is_available()),
    *(f"hardware.strategy={value}" for value in STRATEGIES if value == "auto"),  # the others: test_two_ranks
    *(f"model.optimizer={value}" for value in OPTIMIZERS),
    *(f"seed={value}" for value in (2**32, 20251125123456, SEEDS - 1)),
])  # fmt: skip
def test_every_choice_of_text(option: str, tmp_path: Path) -> None:
    step(tmp_path, *SYSTEMS["text"], option)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lms.save_base(tmp_path_factory.mktemp("base"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("option", [
    *(f"model.optimizer={value}" for value in OPTIMIZERS),
    *(f"model.schedule={value}" for value in SCHEDULES),
    *(f"+model.mean_over={value}" for value in MEANS),
    *(f"model.network.tuning={value}" for value in TUNINGS),
    *(f"hardware.precision={value}" for value in PRECISIONS if value != "16-mixed"),  # its first steps are left out
])  # fmt: skip
def test_every_choice_of_finetuning(option: str, base: Path, tmp_path: Path) -> None:
    step(tmp_path, *SYSTEMS["finetune"], f"weights={base}", option)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("option", [
    *(f"model.target={value}" for value in TARGETS),
    *(f"data.source.physics={value}" for value in PHYSICS),
    *(f"data.source.scenarios=[{value}]" for value in SCENARIOS if value.startswith(("ball_drop", "test", "ball_e"))),
    f"seed={SEEDS - 1}",
])  # fmt: skip
def test_every_choice_of_video(option: str, tmp_path: Path) -> None:
    step(tmp_path, *SYSTEMS["video"], option)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("option", [
    *(f"model.network.dtype={value}" for value in DTYPES),
    *(f"model.codec.dtype={value}" for value in CODEC_DTYPES),
])  # fmt: skip
def test_every_type_of_cogvideox(option: str, tmp_path: Path) -> None:
    folder = tiny_cogvideox.make(tmp_path / "weights")
    module = step(
        tmp_path / "run", "model=cogvideox", f"model.network.pretrained={folder}", "model.codec.tokens=8",
        "model.codec.cache=null", "data.source.frames=9", "data.source.width=32", "data.source.height=32",
        "data.source.repeat=2", "evaluation.val_clips=1", "evaluation.steps=1", "evaluation.guidance=1.0", option,
    )  # fmt: skip
    if option.startswith("model.network"):
        frozen = {p.dtype for p in module.network.parameters() if not p.requires_grad}
        assert frozen == {DTYPES[option.partition("=")[2]]}


@pytest.mark.parametrize("seed", [-1, SEEDS, 1.5, True, "x"])
def test_a_seed_that_is_none_is_one_sentence_for_every_verb(seed: Any) -> None:
    with pytest.raises(UserError, match=r"^seed=.* must be a whole number .*\.$"):
        limits.check(OmegaConf.create({"seed": seed}))


def test_long_seeds_stay_apart() -> None:
    assert [short(k) for k in (0, 7, 2**32 - 1)] == [0, 7, 2**32 - 1]
    assert len({short(k) for k in (0, 2**32, 2**33, SEEDS - 1)}) == 4
    assert generator(SEEDS - 1, "test", 0).random() != generator(SEEDS - 2, "test", 0).random()
