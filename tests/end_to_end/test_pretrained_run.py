"""Whole runs of pretrained models: five stages in one command, killed and resumed, on two ranks, in other formats."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM, AutoTokenizer

from physworld.errors import UserError
from physworld.lm.finetune import MEANS
from physworld.lm.packed_lm import PackedLM
from physworld.lm.weights import load_network, load_tokenizer
from physworld.run import build
from physworld.runs.checkpoints import load_model
from physworld.text import hub as artefacts
from physworld.text.codecs.engine import EngineCodec
from physworld.training.mfu import peak

from cards import run_example
from commands import ENVIRONMENT, run, same, start
from evaluations import rows
from repository import composed
from tiny_lms import samples, save_base

FEW = (
    "hardware=cpu",
    "evaluation=quick",
    "evaluation.rollouts=1",
    "evaluation.horizons=[1,2]",
    "evaluation.frames=2",
    "evaluation.pictures=0",
    "scenario.names=[billiards]",
    "data.stream.val_samples=4",
    "data.source.frames=30",
    "global_batch=4",
    "validate_every=100",
    "checkpoint_every=1",
    "trainer.log_every_n_steps=1",
)
SPLIT = ("hardware.devices=2", "hardware.strategy=fsdp")
SIZE = "model.network.architecture"
STRATEGIES = ("ddp", "fsdp")
BY_VALUE = ("model.network.numbers=value",)
TINY = ("model=tiny_lfm2", f"{SIZE}.hidden_size=32", f"{SIZE}.intermediate_size=64")
STAGED = (*FEW, *TINY, "curriculum=progressive", "curriculum.samples_per_stage=8", "curriculum.keep_easier=false")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pretrained")


def losses(directory: Path) -> list[float]:
    events = EventAccumulator(str(directory / "tensorboard"))
    events.Reload()
    return [event.value for event in events.Scalars("loss/train")]


# --- stages


@pytest.fixture(scope="module")
def staged(work: Path) -> tuple[Path, str]:
    """All five stages of two steps each; `steps=null` is once through them."""
    options = [*STAGED, "model.network.tuning=lora", "model.network.dropout=0.1", "steps=null"]
    said = run(work, "train.py", *options, f"hydra.run.dir={work / 'staged'}")
    return work / "staged", said


def test_five_stages_in_one_command(staged: tuple[Path, str]) -> None:
    directory, said = staged
    rows = json.loads((directory / "stages.json").read_text())
    assert [(row["stage"], row["difficulty"], row["examples"]) for row in rows] == [(k, k + 1, 8) for k in range(5)]
    assert "Stages" in said and "10 steps of 4 samples" in said
    seen = losses(directory)
    assert len(seen) == 10
    for row in rows:
        assert row["loss"] == pytest.approx(np.mean(seen[2 * row["stage"] : 2 * row["stage"] + 2]), rel=1e-5)
        assert row["rollouts"] == 1 and "parse_rate" in " ".join(row)
    assert "## Stages" in (directory / "report.md").read_text()
    assert "| 4 | 5 |" in (directory / "model" / "README.md").read_text()


def test_killed_in_a_stage_it_resumes_to_the_bit(work: Path, staged: tuple[Path, str]) -> None:
    directory = work / "stopped"
    options = [*STAGED, "model.network.tuning=lora", "model.network.dropout=0.1", "steps=null"]
    training = start(work, "train.py", *options, f"hydra.run.dir={directory}")
    training.wait_until((directory / "checkpoints" / "last.ckpt").is_file)
    training.process.terminate()
    done = training.end()
    assert done.returncode == 75 and "it is saved" in done.stdout, done.stdout + done.stderr
    step = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert 1 <= step < 10
    run(work, "train.py", *options, f"hydra.run.dir={directory}", "ckpt=last")
    ours, theirs = (torch.load(d / "checkpoints" / "last.ckpt", weights_only=True) for d in (directory, staged[0]))
    assert same(ours["state_dict"], theirs["state_dict"])
    assert json.loads((directory / "stages.json").read_text()) == json.loads((staged[0] / "stages.json").read_text())


def test_a_later_stage_continues_a_run(work: Path, staged: tuple[Path, str]) -> None:
    options = [*FEW, *TINY, "model.network.tuning=lora", "curriculum=stage3", "steps=1", "seed=5"]
    run(work, "train.py", *options, f"init_from={staged[0]}", f"hydra.run.dir={work / 'later'}")
    first, last = (load_network(str(d / "base")).state_dict() for d in (staged[0], work / "later"))
    assert all(torch.equal(first[name], last[name]) for name in first)  # not the random weights of seed 5


# --- weights from a folder


@pytest.fixture(scope="module")
def base(work: Path) -> Path:
    return save_base(work / "base", num_hidden_layers=2, layer_types=["conv", "full_attention"])


@pytest.fixture(scope="module")
def tuned(work: Path, base: Path) -> Path:
    """LoRA with the card's settings on a folder of weights, engine text in their own tokenizer."""
    options = ["model=lfm2", f"weights={base}", *FEW, "steps=2", "model.learning_rate=0.05"]
    run(work, "train.py", *options, "curriculum=stage0", f"hydra.run.dir={work / 'tuned'}")
    return work / "tuned"


def test_the_adapter_loads_with_the_lines_of_its_card(tuned: Path, base: Path) -> None:
    printed, shown, scope = run_example(tuned / "adapter" / "README.md", str(base))
    assert printed == shown
    assert run_example(tuned / "model" / "README.md")[:2] == (printed, shown)
    inputs = scope["tokenizer"]("Scene: A ball.\n", return_tensors="pt")
    adapter = scope["model"].generate(**inputs, max_new_tokens=8, do_sample=False)
    merged: Any = AutoModelForCausalLM.from_pretrained(tuned / "model")
    assert adapter.tolist() == merged.generate(**inputs, max_new_tokens=8, do_sample=False).tolist()
    plain: Any = AutoModelForCausalLM.from_pretrained(base)
    assert not torch.allclose(plain(**inputs).logits, merged(**inputs).logits, atol=1e-3)
    assert json.loads((tuned / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == ""
    # What is given away names no folder of this machine; the run itself knows what its adapter is put on.
    given = {name: file for name, file in artefacts.published_files(tuned).items() if file.suffix in (".json", ".md")}
    told = [name for name, file in given.items() if str(base) in file.read_text(encoding="utf-8")]
    assert len(given) > 8 and set(told) <= {"metrics.json", "report.md"}, told  # these quote what was typed
    loaded = load_network(str(tuned / "adapter"))
    assert torch.allclose(loaded(**inputs).logits, merged(**inputs).logits, atol=1e-4)


def test_a_run_is_loaded_like_any_other(staged: tuple[Path, str], tuned: Path, base: Path) -> None:
    for directory, size in ((staged[0], None), (tuned, len(load_tokenizer(str(base))))):
        network, codec, _ = load_model(directory, torch.device("cpu"))
        assert size in (None, len(codec.tokenizer))  # engine text in the tokenizer of the weights
        sample = samples(1)[0]
        given = sample.given.window(4 - codec.context_frames, 4)
        limit = codec.max_new_tokens(given.scene)
        answer = network.generate([codec.prompt(given)], [limit], codec.end_id, codec.guide([given]))[0]
        assert codec.decode(answer, given) is not None


def test_a_run_answers_within_the_length_that_it_was_trained_with(tuned: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tuned, tmp_path / "run")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"]["network"]["max_length"] = 300
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert (
        load_model(run, torch.device("cpu"))[0].max_length == 300 < load_model(tuned, torch.device("cpu"))[0].max_length
    )


def test_published_fine_tunes_are_weights_too(tuned: Path, base: Path, tmp_path: Path) -> None:
    """Base + adapter as a start of training: what is learned next lies on the merged weights, which go with it."""
    codec = EngineCodec(tokenizer=load_tokenizer(str(tuned / "adapter"), str(base)))
    network = PackedLM.for_vocabulary(codec.vocabulary, weights=str(tuned / "adapter"), base=str(base))
    network.save_run(tmp_path, codec.tokenizer, codec.end_id)
    ours, theirs = load_network(str(tmp_path / "base")), load_network(str(tuned / "model"))
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, atol=1e-6), name


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["model=lfm2"],
            "weights=LiquidAI/LFM2-350M is no folder here.*`hf download LiquidAI/LFM2-350M --local-dir m",
        ),
        (["model=hf"], "model=hf needs weights="),
        (["model=gpt", "weights=somewhere"], "goes with pretrained models"),
        (
            ["model=lfm2", "weights={base}", "hardware.devices=2", "hardware.strategy=fsdp"],
            "cannot be split over devices",
        ),
        (["model=lfm2", "weights={base}", "codec=impulse"], "choose codec=engine or codec=card"),
        (
            ["model=lfm2", "weights={base}", *BY_VALUE, "hardware.devices=2", "hardware.strategy=fsdp"],
            "numbers by value .* cannot be split over devices",
        ),
        (["model=lfm2", "weights={base}", *BY_VALUE, "model.network.tuning=qlora"], "not for 4-bit weights"),
        (["model=lfm2", "weights={base}", "model.network.numbers=words"], "choose one of digits, value"),
        (["model=lfm2_random", *BY_VALUE], "without weights choose codec=plain"),
    ],
)
def test_what_is_missing_is_one_sentence(base: Path, options: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build(composed("train", "hardware=cpu", *(option.format(base=base) for option in options)))


def test_publish_says_what_it_would_send(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from physworld.cli import main

    assert main(["publish", str(tuned), "someone/physics"]) == 0
    said = capsys.readouterr().out
    for name in ("adapter_model.safetensors", "merged/model.safetensors", "README.md", "Nothing was sent"):
        assert name in said
    assert main(["publish", str(tuned), "nonsense"]) == 1
    assert "OWNER/NAME" in capsys.readouterr().err


def test_sending_wants_a_token(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UserError, match="HF_TOKEN"):
        artefacts.publish(tuned, "someone/physics", send=True, console=Console(quiet=True))


def test_onnx_says_what_torch_says(tuned: Path) -> None:
    import onnxruntime

    folder = artefacts.export(tuned, "onnx")
    network, tokenizer = load_network(str(tuned / "model")), AutoTokenizer.from_pretrained(folder)
    ids = np.array([tokenizer("Scene: A ball and a box.\nGravity: (0.0, -981.0)\n").input_ids])
    prefill, decode = (onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("prefill", "decode"))
    names = [out.name for out in prefill.get_outputs()]
    out = dict(
        zip(names, prefill.run(None, {"input_ids": ids, "position_ids": np.arange(ids.size)[None]}), strict=True)
    )
    said = [int(out["logits"][0, -1].argmax())]
    for step in range(9):
        cache = {f"input.{name.removeprefix('output.')}": value for name, value in out.items() if name != "logits"}
        token = {"input_ids": np.array([[said[-1]]]), "position_ids": np.array([[ids.size + step]])}
        names = [one.name for one in decode.get_outputs()]
        out = dict(zip(names, decode.run(None, {**token, **cache}), strict=True))
        said.append(int(out["logits"][0, -1].argmax()))
    greedy = network.generate(torch.as_tensor(ids), max_new_tokens=10, do_sample=False, eos_token_id=-1)
    assert said == greedy[0, ids.size :].tolist()


# --- numbers by value


def test_a_run_by_value_is_gone_on_with_and_judged(work: Path, base: Path) -> None:
    options = ["model=lfm2", f"weights={base}", *BY_VALUE, *FEW, "curriculum=stage0", "model.optimizer=adamw"]
    first, again = work / "by_value", work / "by_value_again"
    run(work, "train.py", *options, "steps=2", f"hydra.run.dir={first}")
    run(work, "train.py", *options, "steps=2", f"init_from={first}", f"hydra.run.dir={again}")
    judged = ["limit=1", "scenario.names=[billiards]", *(option for option in FEW if option.startswith("evaluation"))]
    asked = ["model=hf", f"weights={again / 'model'}", "codec=engine", "hardware=cpu", "hydra.run.dir=judged"]
    run(work, "evaluate.py", *asked, *judged)
    assert [row["method"] for row in rows(work / "judged")].count("model") == 1
    network, codec, _ = load_model(again, torch.device("cpu"))
    sample = samples(1)[0]
    limit = codec.max_new_tokens(sample.given.scene)
    answer = network.generate([codec.prompt(sample.given)], [limit], codec.end_id, codec.guide([sample.given]))[0]
    assert codec.decode(answer, sample.given) is not None
    with pytest.raises(UserError, match="cut numbers into digits, and this model reads them by value; use onnx"):
        artefacts.export(again, "gguf")


# --- several ranks


def passes(work: Path, name: str, ranks: int, *runs: list[str]) -> None:
    """Runs that write down the loss of every pass, one after another in the same processes, as torchrun starts them.

    torchrun itself, whose imports take longer than these runs, is used in test_accumulators.
    """
    few = [*FEW, "model=lfm2", "model.optimizer=adamw", "model.network.dropout=0.0", "curriculum=stage0", "steps=3",
           "model.learning_rate=0.02", "model.warmup_steps=0"]  # fmt: skip
    asked = [argument for run in runs for argument in ("--", *few, *run)][1:]
    losses = {**ENVIRONMENT, "ALL_LOSSES": str(work / f"{name}_losses")}
    port = str(20000 + os.getpid() % 20000)
    together = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": name}
    started = [
        start(work, "tests/helpers/two_ranks.py", *asked, env=losses if ranks == 1 else losses | own | together)
        for own in ({"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks))
    ]
    for done in [one.end(400) for one in started]:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]


ON_RANKS = [(strategy, mean) for strategy in STRATEGIES for mean in MEANS]


@pytest.fixture(scope="module")
def one_rank(work: Path, base: Path) -> dict[str, np.ndarray]:
    """(3, 2) losses of three steps of two passes each, in one process, for each kind of mean."""
    runs = [
        [f"weights={base}", "hardware.micro_batch=2", f"+model.mean_over={mean}", f"hydra.run.dir={work / mean}"]
        for mean in MEANS
    ]
    passes(work, "one", 1, *runs)
    return {
        mean: np.reshape(json.loads((work / f"one_losses{number}_0").read_text()), (3, 2))
        for number, mean in enumerate(MEANS)
    }


@pytest.fixture(scope="module")
def two_ranks(work: Path, base: Path) -> None:
    runs = [
        [f"weights={base}", "hardware.devices=2", f"hardware.strategy={strategy}", f"+model.mean_over={mean}",
         f"hydra.run.dir={work / (strategy + mean)}"]
        for strategy, mean in ON_RANKS
    ]  # fmt: skip
    passes(work, "two", 2, *runs)


@pytest.mark.parametrize(("strategy", "mean"), ON_RANKS)
@pytest.mark.usefixtures("two_ranks")
def test_two_ranks_have_the_losses_of_one(
    work: Path, one_rank: dict[str, np.ndarray], strategy: str, mean: str
) -> None:
    number = ON_RANKS.index((strategy, mean))
    ranks = [json.loads((work / f"two_losses{number}_{rank}").read_text()) for rank in range(2)]
    assert np.allclose(np.transpose(ranks), one_rank[mean], atol=1e-5)  # rank r takes what pass r takes in one process
    run = work / (strategy + mean)
    ours, theirs = (load_network(str(folder / "model")).state_dict() for folder in (run, work / mean))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)
    assert (run / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("NVIDIA RTX A6000", 154.8e12),
        ("NVIDIA H200", 989.4e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("Some CPU", None),
        ("NVIDIA L40", None),
        ("NVIDIA RTX A4000", None),
        ("NVIDIA A100-SXM4-80GB", 312e12),
    ],
)
def test_peaks_are_found_by_name(name: str, flops: float | None) -> None:
    assert peak(name) == flops
