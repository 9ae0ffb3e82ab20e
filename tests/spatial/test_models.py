"""Tiny networks and adapters whose loss falls, answers that neighbours do not change, preferences, rewards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from physworld.data import Repeated, StreamData, collate
from physworld.errors import UserError
from physworld.lm.finetune import FinetuneModule
from physworld.lm.packed_lm import PackedLM
from physworld.lm.preference import Collapsed, DPOModule, GRPOModule
from physworld.lm.sequence import NothingToLearn, SequenceModule
from physworld.lm.tiny_lm import TinyLM
from physworld.lm.weights import attach_lora, load_network, load_tokenizer
from physworld.runs.checkpoints import load_model
from physworld.spatial.build import build
from physworld.spatial.card import learned_from
from physworld.spatial.codecs.chunks import SpatialCodec
from physworld.spatial.codecs.pointers import PointerCodec
from physworld.spatial.codecs.scene_codec import SceneCodec
from physworld.spatial.codecs.scene_text import SceneTextCodec
from physworld.spatial.evaluation import SpatialEvaluation
from physworld.spatial.reward import RuleReward
from physworld.spatial.scene.rules import check
from physworld.spatial.sources.drawn import SpatialSource
from physworld.spatial.sources.preference import PreferencePairs
from physworld.spatial.validation import RulesValidation

from repository import composed
from spatial_tools import samples, save_tiny_qwen

TARGETS = ["q_proj", "v_proj", "up_proj"]
CODEC = SpatialCodec()


def tiny(width: int = 64) -> PackedLM:
    torch.manual_seed(0)
    return TinyLM.for_vocabulary(CODEC.vocabulary, width=width, depth=2, heads=2, inner=128)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny_qwen(tmp_path_factory.mktemp("qwen"))


class Losses(pl.Callback):
    def __init__(self) -> None:
        self.figures: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.figures.append({k: float(v) for k, v in trainer.callback_metrics.items()})


def fit(module: Any, source: Any, codec: Any, steps: int, batch: int, folder: Path) -> list[dict[str, float]]:
    data = StreamData(train=source, val=source, codec=codec, micro_batch=batch, val_samples=batch, num_workers=0)
    losses = Losses()
    trainer = pl.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, callbacks=[losses], default_root_dir=folder,
        use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return losses.figures


@pytest.mark.slow
def test_tiny_network_learns_the_form(tmp_path: Path) -> None:
    module = SequenceModule(network=tiny(), total_steps=60, learning_rate=0.02, adam_learning_rate=0.008)
    figures = fit(module, SpatialSource(seed=0, split="train"), CODEC, 60, 8, tmp_path)
    assert figures[0]["train/loss"] > 7 and figures[-1]["train/loss"] < 3.5  # log 1995 = 7.6 nats of no knowledge


def test_unscored_logits_do_not_matter() -> None:
    """Only labelled places are computed, and what stands behind a row's end changes nothing."""
    batch = collate([CODEC.encode(s) for s in samples(count=4)], pad=CODEC.pad_id)
    network = tiny().eval()
    logits, target, place = network.scored(batch.input_ids, batch.labels)
    whole = network.inner(input_ids=batch.input_ids).logits
    b, i = np.divmod(place.numpy(), batch.input_ids.shape[1])
    assert torch.allclose(logits, whole[b, i - 1], atol=1e-5)
    assert (target == batch.input_ids[b, i]).all()
    longer = torch.nn.functional.pad(batch.input_ids, (0, 9), value=CODEC.pad_id)
    labels = torch.nn.functional.pad(batch.labels, (0, 9), value=-100)
    assert torch.allclose(network.scored(longer, labels)[0], logits, atol=1e-5)


def test_a_row_without_labels_is_an_error() -> None:
    batch = collate([CODEC.encode(s) for s in samples(count=3)], pad=CODEC.pad_id)
    batch.labels[1] = -100
    for module in (SequenceModule(network=tiny(), total_steps=1), DPOModule(network=tiny(), total_steps=1)):
        with pytest.raises(NothingToLearn, match="row 1"):
            module.training_step(batch, 0)


def excited() -> PackedLM:
    """Random weights whose answers differ: a fresh network is the identity."""
    network = tiny()
    for layer in network.inner.model.layers:
        torch.nn.init.normal_(layer.self_attn.o_proj.weight, std=4.0)
        torch.nn.init.normal_(layer.mlp.down_proj.weight, std=4.0)
    torch.nn.init.normal_(network.inner.lm_head.weight)  # and with it the embeddings: they are tied
    return network.eval()


def test_answers_are_those_of_generate_and_of_any_batch() -> None:
    network, briefs = excited(), [s.given for s in samples(count=20)]
    prompts = [CODEC.prompt(b) for b in briefs]
    said: dict[int, list[np.ndarray]] = {}
    for size in (1, 7, 20):
        parts = [prompts[first : first + size] for first in range(0, 20, size)]
        said[size] = [a for part in parts for a in network.generate(part, [25] * len(part), CODEC.end_id)]
    assert len({answer.tobytes() for answer in said[1]}) > 5
    for size in (7, 20):
        assert all(np.array_equal(a, b) for a, b in zip(said[1], said[size], strict=True))
    for prompt, answer in list(zip(prompts, said[20], strict=True))[:5]:
        theirs = network.inner.generate(torch.tensor(prompt)[None], max_new_tokens=25, do_sample=False)[
            0, len(prompt) :
        ]
        assert theirs.tolist() == answer.tolist()


@pytest.mark.slow
def test_guided_answers_do_not_depend_on_the_batch() -> None:
    """Rows take different numbers of forced tokens, so they advance unevenly."""
    network, briefs = excited(), [s.given for s in samples(count=9)]
    said = []
    for parts in ([[b] for b in briefs], [briefs]):
        said.append([])
        for part in parts:
            guide = CODEC.guide(part, "pinned")
            said[-1] += network.generate([CODEC.prompt(b) for b in part], [400] * len(part), CODEC.end_id, guide)
    assert all(np.array_equal(a, b) for a, b in zip(*said, strict=True))


def test_lora_starts_as_nothing_and_names_a_wrong_target(qwen: str) -> None:
    base = load_network(qwen).eval()
    ids = torch.arange(40)[None]
    before = base(input_ids=ids).logits
    network = attach_lora(base, rank=4, alpha=8, dropout=0.0, targets=TARGETS).eval()
    assert torch.equal(network(input_ids=ids).logits, before)
    trainable = [name for name, p in network.named_parameters() if p.requires_grad]
    assert trainable and all("lora_" in name for name in trainable)
    with pytest.raises(ValueError, match="no_such_proj"):
        attach_lora(load_network(qwen), rank=4, alpha=8, dropout=0.0, targets=["no_such_proj"])


@pytest.mark.parametrize(("tuning", "optimizer"), [("lora", "adamw"), ("qlora", "adamw8bit"), ("full", "adamw")])
def test_five_steps_of_tuning(qwen: str, tuning: str, optimizer: str, tmp_path: Path) -> None:
    """The loss falls, the saved adapter loads in plain peft, and our own loading gives the same logits."""
    codec = SceneTextCodec(tokenizer=load_tokenizer(qwen), max_length=4096)
    network = PackedLM.for_vocabulary(
        codec.vocabulary, weights=qwen, tuning=tuning, rank=8, alpha=16, dropout=0.0, targets=TARGETS
    )
    if tuning == "qlora":
        assert any("4bit" in type(m).__name__.lower() for m in network.modules())
    module = FinetuneModule(
        network=network, total_steps=50, optimizer=optimizer, learning_rate=0.01, warmup_fraction=0.02,
        schedule="constant", mean_over="tokens",
    )  # fmt: skip
    short = [s for s in samples(count=200, split="train") if len(s.given.objects) == 1][:1]

    class One:
        def sample(self, index: int) -> Any:
            return short[0]

    figures = fit(module, One(), codec, 5, 2, tmp_path)
    losses = [f["train/loss"] for f in figures]
    assert len(losses) == 5 and losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 0.1, losses
    module.eval_network().save_run(tmp_path, codec.tokenizer, codec.end_id)
    if tuning == "qlora":  # onto a base in full precision: the same adapter, another base
        from peft import PeftModel, get_peft_model_state_dict

        plain = PeftModel.from_pretrained(load_network(qwen), tmp_path / "adapter")
        want = get_peft_model_state_dict(network.lm)
        have = get_peft_model_state_dict(plain)
        assert want.keys() == have.keys() and all(torch.equal(want[k].float(), have[k].float()) for k in want)
    if tuning == "lora":
        from peft import PeftModel

        ids = torch.arange(40)[None]
        want = network.eval().lm(input_ids=ids).logits
        plain = PeftModel.from_pretrained(load_network(qwen), tmp_path / "adapter").eval()
        merged = PackedLM.from_pretrained(tmp_path / "model").eval()
        # As an earlier version left runs: the adapter itself in model/.
        earlier = PackedLM.from_pretrained(tmp_path / "adapter").eval()
        for other in (plain, merged.lm, earlier.lm):
            assert torch.allclose(other(input_ids=ids).logits, want, atol=1e-5)


def test_a_run_of_an_earlier_version_loads_and_answers(qwen: str, tmp_path: Path) -> None:
    """It has the adapter in model/, and the names of classes and settings that were its time's."""
    codec = SceneTextCodec(tokenizer=load_tokenizer(qwen), max_length=4096)
    network = PackedLM.for_vocabulary(codec.vocabulary, weights=qwen, rank=4, alpha=8, targets=TARGETS)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    network.eval().lm.save_pretrained(tmp_path / "model")
    network.inner.config.save_pretrained(tmp_path / "model")
    codec.tokenizer.save_pretrained(tmp_path / "model")
    config = {
        "codec": {"_target_": "physworld.codecs.scene_text.SceneTextCodec", "name": qwen, "max_length": 4096},
        "model": {"network": {"_target_": "physworld.models.pretrained_lm.PretrainedLM.for_vocabulary", "name": qwen}},
        "weights": None,
    }
    OmegaConf.save(config, tmp_path / "config.yaml")
    loaded, theirs, _ = load_model(tmp_path, torch.device("cpu"))
    brief = next(s.given for s in samples() if len(s.given.objects) == 2)
    prompt = theirs.prompt(brief)
    assert prompt.tolist() == codec.prompt(brief).tolist()
    ids = torch.as_tensor(prompt)[None]
    first, again, untuned = (lm(input_ids=ids).logits for lm in (network.lm, loaded.lm, load_network(qwen)))
    assert torch.allclose(first, again, atol=1e-4) and not torch.allclose(first, untuned, atol=1e-2)
    answers = [one.generate([prompt], [40], codec.end_id)[0].tolist() for one in (network, loaded)]
    assert answers[0] == answers[1]


def test_splitting_over_devices_is_refused() -> None:
    with pytest.raises(UserError, match="cannot be split over devices; use hardware=ddp"):
        build(composed("train", "model=tiny_gravity", "hardware=cpu", "hardware.devices=2", "hardware.strategy=fsdp"))


def test_payloads_of_the_run_s_own_axis_choose_its_checkpoint() -> None:
    """Not tidy ones, among which are the styles that `counted` holds out."""
    parts = build(composed("train", "model=tiny_gravity", "hardware=cpu", "data.source.axis=counted"))
    (rules,) = [one for one in parts.callbacks if isinstance(one, RulesValidation)]
    styles = {rules.source.sample(k).given.payload.style for k in range(64)}
    assert styles and not styles & {"jazz", "cinematic"}
    assert rules.source.sample(3).target == parts.data.val.sample(3).target


@pytest.mark.parametrize("name", ["axes", "modes"])
def test_an_evaluation_of_nothing_is_refused(name: str) -> None:
    options = dict(composed("train", "model=tiny_gravity", "hardware=cpu").evaluation)
    given = {key: value for key, value in options.items() if not key.startswith("_")}
    with pytest.raises(UserError, match=rf"evaluation\.{name} is empty\. Choose from (seen|raw)"):
        SpatialEvaluation(**{**given, name: []})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"train_file": "a/b.jsonl"}, "the rows of b.jsonl"),
        ({"key": "key.json", "answers": ["ann.json"]}, "listeners preferred"),
        ({"axis": "seen"}, "rule-based engineer"),
    ],
)
def test_a_card_says_what_was_learned_from(source: dict[str, Any], words: str) -> None:
    assert words in learned_from(source)


@pytest.mark.parametrize("codec", [CODEC, PointerCodec()], ids=["chunks", "pointers"])
def test_broken_twins_break_exactly_something(codec: SceneCodec) -> None:
    pairs = PreferencePairs(SpatialSource(seed=0, split="train"), seed=0, split="train", codec=codec)
    for index in range(0, 120, 2):
        good, bad = pairs.sample(index), pairs.sample(index + 1)
        assert good.given.payload == bad.given.payload and good.target != bad.target
        assert not check(bad.target, bad.given.payload).obeys
        one, other = (codec.encode(sample).input_ids for sample in (good, bad))
        assert not np.array_equal(one, other), "what is learned from differs, and can be written"
    assert pairs.sample(7).target == pairs.sample(7).target


def test_five_dpo_steps_on_a_tiny_qwen(qwen: str, tmp_path: Path) -> None:
    codec = SceneTextCodec(tokenizer=load_tokenizer(qwen), max_length=4096)
    network = PackedLM.for_vocabulary(
        codec.vocabulary, weights=qwen, tuning="lora", rank=8, alpha=16, dropout=0.0, targets=TARGETS
    )
    module = DPOModule(
        network=network, total_steps=50, optimizer="adamw", learning_rate=0.01, warmup_fraction=0.02, beta=1.0,
        decay_fraction=0.1,
    )  # fmt: skip
    pairs = Repeated(PreferencePairs(SpatialSource(seed=0, split="train"), seed=0, split="train", codec=codec), count=2)
    figures = fit(module, pairs, codec, 5, 2, tmp_path)
    assert figures[-1]["train/loss"] < figures[0]["train/loss"]
    assert figures[0]["train/margin"] == pytest.approx(0, abs=1e-3), "before the first step nothing is preferred"
    assert figures[-1]["train/margin"] > 0.1


def test_dpo_stops_when_preferred_answers_collapse(tmp_path: Path) -> None:
    module = DPOModule(
        network=tiny(), total_steps=50, learning_rate=0.5, adam_learning_rate=0.5, likelihood=0.0, max_drop=0.5,
        warmup_fraction=0.0,
    )  # fmt: skip
    pairs = PreferencePairs(SpatialSource(seed=0, split="train"), seed=0, split="train", codec=CODEC)
    with pytest.raises(Collapsed, match="less likely"):
        fit(module, pairs, CODEC, 40, 4, tmp_path)


@pytest.mark.slow
def test_rewards_make_better_answers_likelier(tmp_path: Path) -> None:
    """A reward for short answers is learned in a few steps; the rule checker's own reward orders answers."""
    source = SpatialSource(seed=0, split="train")
    module = GRPOModule(
        network=tiny(), total_steps=100, group=8, kl=0.0, max_kl=50.0, learning_rate=0.01,
        adam_learning_rate=0.003, warmup_fraction=0.0,
    )  # fmt: skip
    module.reward = lambda indices, answers: [float(answer[0] < 1000) for answer in answers]
    module.limits = lambda indices: [4] * len(indices)
    module.tokens = (CODEC.end_id, CODEC.pad_id)
    figures = fit(module, source, CODEC, 30, 4, tmp_path)
    rewards = [f["train/reward"] for f in figures]
    assert np.mean(rewards[-5:]) > np.mean(rewards[:5]) + 0.1, rewards

    judge, sample = RuleReward(source, CODEC), source.sample(3)
    gold = CODEC.answer(sample.target, sample.given)[0]
    pairs = PreferencePairs(source, seed=0, split="train", codec=CODEC)
    broken = CODEC.answer(pairs.sample(7).target, sample.given)[0]
    worst, middle, best = judge([3, 3, 3], [gold[:5], broken, gold])
    assert worst == 0 and 0 < middle < best == 1


def test_drawn_answers_do_not_depend_on_the_pass() -> None:
    """And how long all answers have been the same goes on with a checkpoint."""

    def module() -> GRPOModule:
        made = GRPOModule(network=excited(), total_steps=1, group=3)
        made.limits, made.tokens = lambda indices: [6] * len(indices), (CODEC.end_id, CODEC.pad_id)
        made.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        return made

    rows = [CODEC.encode(sample) for sample in samples(count=4)]
    parts = [[collate(some, pad=CODEC.pad_id) for some in cut] for cut in ([rows], [rows[:2], rows[2:]])]
    whole, halves = ([group for part in cut for group in module()._draw(part)[2]] for cut in parts)
    assert [[a.tolist() for a in group] for group in whole] == [[a.tolist() for a in group] for group in halves]
    assert len({answer.tobytes() for answer in whole[0]}) > 1
    before, after, saved = module(), module(), {}
    before._stuck = 17
    before.on_save_checkpoint(saved)
    after.on_load_checkpoint(saved)
    assert after._stuck == 17
