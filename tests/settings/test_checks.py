"""Mistakes that once ended in a traceback, or lost something."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from physworld.cli import main
from physworld.errors import UserError, call, no_setting
from physworld.lm.gpt import GPT
from physworld.lm.next_token import NextTokenModule
from physworld.mains import MAINS
from physworld.run import build
from physworld.runs import directory as runs
from physworld.runs.checkpoints import check_fits, read_checkpoint, start_from
from physworld.runs.directory import find_run, read_config
from physworld.settings import checks, limits
from physworld.settings.help import show
from physworld.settings.messages import explain
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.evaluation.evaluation import Evaluation
from physworld.text.task import check
from physworld.training.checkpoint_io import AtomicCheckpointIO
from physworld.training.hardware import Hardware
from physworld.types import Scene

from repository import composed
from tiny_gpt import network

HARDWARE: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "precision": "auto",
    "micro_batch": None,
    "num_workers": None,
    "strategy": "auto",
}
EVALUATION: dict[str, Any] = {
    "rollouts": 1,
    "val_rollouts": 1,
    "frames": 5,
    "horizons": [1, 5],
    "latest_start": 0,
    "batch_size": 1,
    "guided": True,
    "pictures": 0,
}


@pytest.mark.parametrize(("value", "shown"), [(3, "3"), (True, "true"), (0.5, "0.5"), (["a"], "['a']")])
def test_a_path_is_text(value: Any, shown: str) -> None:
    checks.path("cache", "outputs/3")
    checks.path("cache", None)
    with pytest.raises(UserError, match=f"cache={re.escape(shown)} must be a path; write a name"):
        checks.path("cache", value)


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (-1, "-1"), ("abc", "abc"), (1.5, "1.5"), (True, "true"), (None, "null")]
)
def test_a_count_is_a_whole_number_from_one(value: Any, shown: str) -> None:
    with pytest.raises(UserError, match=f"count={shown} must be a whole number from 1"):
        checks.whole("count", value, 1)


@pytest.mark.parametrize("value", [[], [7], 3, "12", None, [1, 6]])
def test_difficulties_are_a_list_of_one_to_five(value: Any) -> None:
    with pytest.raises(UserError, match="from 1 to 5"):
        checks.difficulties(value)
    assert checks.difficulties([5, 1]) == [5, 1]


def test_names_are_a_list() -> None:
    with pytest.raises(UserError, match=r"scenario\.names=\[tower\]"):
        checks.scenario_names("tower")
    with pytest.raises(UserError, match="Did you mean tower"):
        checks.scenario_names(["towr"])
    with pytest.raises(UserError, match="Did you mean train"):
        checks.split("trains")


@pytest.mark.parametrize(("verb", "more"), [("train", ()), ("plan", ()), ("evaluate", ("run=shipped",))])
def test_a_type_that_is_named_twice_is_refused(verb: str, more: tuple[str, ...]) -> None:
    """Its scenes would be scored twice, which ended in a traceback when all of them were answered."""
    with pytest.raises(UserError, match=r"^scenario\.names has tower twice; give each once\.$"):
        check(composed(verb, "scenario.names=[tower,pong,tower]", *more))
    check(composed("simulate", "scenario.names=[tower,pong,tower]"))  # takes them in turn, and scores none


@pytest.mark.parametrize(
    "change", [{"num_workers": -1}, {"devices": "x"}, {"micro_batch": "abc"}, {"precision": "foo"}, {"micro_batch": 0}]
)
def test_hardware_is_checked_before_it_is_used(change: dict[str, Any]) -> None:
    Hardware(**HARDWARE)
    with pytest.raises(UserError, match=f"hardware.{next(iter(change))}="):
        Hardware(**{**HARDWARE, **change})


@pytest.mark.parametrize("name", ["rollouts", "val_rollouts", "batch_size"])
def test_an_evaluation_of_nothing_is_refused_before_training(name: str) -> None:
    Evaluation(**EVALUATION)
    with pytest.raises(UserError, match=f"evaluation.{name}=0"):
        Evaluation(**{**EVALUATION, name: 0})


@pytest.mark.parametrize(
    ("frames", "horizons"), [(1, [1]), (3, [1, 3]), (5, [1, 5]), (30, [1, 5, 10, 30]), (100, [1, 5, 10, 30, 60, 100])]
)
def test_horizons_that_nobody_named_end_where_the_rollout_ends(frames: int, horizons: list[int]) -> None:
    assert Evaluation(**{**EVALUATION, "frames": frames, "horizons": None}).horizons == horizons


def test_horizons_in_any_order() -> None:
    assert Evaluation(**{**EVALUATION, "horizons": [5, 1, 5]}).horizons == [1, 5]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"horizons": [1, 6]}, r"evaluation\.horizons=\[1,6\] must be a list of whole numbers from 1 to .*frames=5"),
        ({"horizons": 3}, r"evaluation\.horizons=3 must be a list"),
        ({"horizons": ["a"]}, r"evaluation\.horizons=\[a\] must be a list"),
        ({"horizons": [0, 1]}, r"evaluation\.horizons=\[0,1\] must be a list"),
        ({"horizons": []}, r"evaluation\.horizons=\[\] must be a list"),
        ({"temperature": "abc"}, r"evaluation\.temperature=abc must be a number above 0"),
        ({"temperature": 0}, r"evaluation\.temperature=0 must be a number above 0"),
        ({"guided": "maybe"}, r"evaluation\.guided=maybe must be true or false"),
        ({"video": ["gif"]}, r"evaluation\.video=\['gif'\] is unknown; choose gif or mp4"),
        ({"samples": 1}, r"evaluation\.samples=1 must be 0, or at least 2"),
        ({"starts": 2}, r"evaluation\.starts=2 needs as many different frames"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Evaluation(**{**EVALUATION, **change})


def test_an_evaluation_leaves_out_and_names_what_the_text_cannot_write() -> None:
    class Small(ImpulseCodec):
        """Names fewer bodies than some scenes have."""

        def unwritable(self, scene: Scene) -> str:
            return f"{len(scene.bodies)} bodies are too many" if len(scene.bodies) > 3 else ""

    cases = Evaluation(**EVALUATION).sample_cases(
        Small(), ["pendulum", "tower"], [1], split="test", seed=0, per_scenario=2, trained_on=[]
    )
    assert list(cases.left_out) == ["tower"] and "too many" in cases.left_out["tower"]
    assert {given.scene.name for given in cases.given} == {"pendulum"} and len(cases.given) == 2


@pytest.mark.parametrize(
    "text",
    [
        "codec:\n  _target_: physworld.io.atomic.Path.write_text\n",
        "codec:\n  _target_: physworld.text.codecs.scene_json.Path.write_text\n",
        "codec:\n  _target_: physworld.io.atomic.os.system\n",
        "codec:\n  _target_: physworld.text.codecs.impulse.ImpulseCodec\n  more: [{_target_: pathlib.Path.unlink}]\n",
        "model:\n  network:\n    - - _target_: os.system\n",
    ],
)
def test_a_configuration_calls_nothing_but_our_classes(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="only classes from physworld"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "model:\n  network:\n    dropout: '${oc.create:{_target_: pathlib.Path.mkdir}}'\n",
        "codec: ${oc.env:CODEC}\n",
        "data:\n  - ['${oc.decode:\"x\"}']\n",
        "model: {'${oc.env:HOME}': 1}\n",
    ],
)
def test_a_configuration_holds_values_only(text: str, tmp_path: Path) -> None:
    """A resolver makes a node, and so a call, of what no look at the file's own targets shows."""
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="which is no value; only values are used"):
        read_config(tmp_path)


def test_a_checkpoint_of_another_network_is_refused() -> None:
    module = torch.nn.Linear(3, 2)
    check_fits(Path("same.ckpt"), {"state_dict": module.state_dict()}, module)
    with pytest.raises(UserError, match=r"other\.ckpt holds another network"):
        check_fits(Path("other.ckpt"), {"state_dict": torch.nn.Linear(4, 2).state_dict()}, module)


def test_last_is_of_the_named_directory_or_of_the_newest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine, newest = Path("outputs/mine"), Path("outputs/newest")
    for kept in (mine / "checkpoints/best.ckpt", newest / "checkpoints/last.ckpt"):
        kept.parent.mkdir(parents=True)
        kept.touch()
    assert runs.find_checkpoint("best", mine, named=True) == mine / "checkpoints/best.ckpt"
    assert runs.find_checkpoint("last", mine, named=False) == newest / "checkpoints/last.ckpt"
    with pytest.raises(UserError, match=r"finds no outputs/mine/checkpoints/last\.ckpt; ckpt=best is there\.$"):
        runs.find_checkpoint("last", mine, named=True)


def test_one_command_at_a_time_writes_in_a_run_directory(tmp_path: Path) -> None:
    refused = pytest.raises(UserError, match="Another command is writing in")
    with runs.held(tmp_path), refused, runs.held(tmp_path, patience=0.1):
        pass
    with runs.held(tmp_path, patience=0.1):
        pass


def test_one_changed_byte_of_a_checkpoint_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    state = {"state_dict": {"weight": torch.arange(4096.0)}, "global_step": 7, "optimizer_states": []}
    AtomicCheckpointIO().save_checkpoint({**state, "lr_schedulers": []}, path)
    assert torch.equal(read_checkpoint(path)["state_dict"]["weight"], torch.arange(4096.0))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"last\.ckpt is damaged or cut short; there is no other"):
        read_checkpoint(path)


def test_weights_alone_are_no_checkpoint(tmp_path: Path) -> None:
    torch.save({"state_dict": torch.nn.Linear(3, 2).state_dict(), "global_step": 7}, tmp_path / "alone.ckpt")
    with pytest.raises(UserError, match=r"no training state \(no optimizer_states, no lr_schedulers\)"):
        read_checkpoint(tmp_path / "alone.ckpt")


def test_weights_of_another_network_say_what_they_are_of() -> None:
    gpt = {"_target_": "physworld.lm.gpt.GPT.for_vocabulary", "depth": 4}
    ours = {"codec": {"_target_": "physworld.text.codecs.impulse.ImpulseCodec"}, "model": {"network": gpt}}
    for run, said in (
        ("shipped", "model.network.depth=6 codec=islands codec.collision_sampling=0.5."),
        (
            "solver",
            "model=solver codec=islands codec.collision_sampling=0.5 codec.memory=true codec.memory_dropout=0.1.",
        ),
    ):
        with pytest.raises(UserError, match="holds another network than this one") as refused:
            start_from(network(), find_run(run), ours)
        assert str(refused.value).endswith(f" has: {said}")


def test_a_setting_that_nothing_takes_is_named_beside_those_that_are_taken() -> None:
    """Settings that were added with a `+`: their names are first seen by what is made of them."""
    module = functools.partial(NextTokenModule, learning_rate=0.1)
    with pytest.raises(
        UserError, match=r"^learning_rat is no setting of NextTokenModule. Did you mean learning_rate\? It"
    ):
        call(module, network=network(), total_steps=1, learning_rat=0.1)
    with pytest.raises(UserError) as refused:
        call(module, network=network(), total_steps=1, lr=0.1)
    assert "optimizer" in str(refused.value) and "total_steps" not in str(refused.value)
    suite = {"_target_": "physworld.text.evaluation.suites.Suite", "name": "ood", "first_indx": 3}
    with pytest.raises(InstantiationException) as failed:
        instantiate(suite)
    assert explain(failed.value, "evaluate", []).startswith(
        "first_indx is no setting of Suite. Did you mean first_index?"
    )
    with pytest.raises(TypeError) as built:
        GPT.for_vocabulary(ImpulseCodec().vocabulary, dpth=3)
    assert str(no_setting(built.value, GPT.for_vocabulary)).startswith(
        "dpth is no setting of GPT. Did you mean depth? It"
    )
    assert no_setting(TypeError("unsupported operand"), GPT) is None


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, writer = tmp_path / "last.ckpt", AtomicCheckpointIO()
    writer.save_checkpoint({"step": 1}, path)

    def full(_value: Any, place: Any) -> None:
        place.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("physworld.training.checkpoint_io.torch", SimpleNamespace(save=full))
    with pytest.raises(OSError, match="No space"):
        writer.save_checkpoint({"step": 2}, path)
    monkeypatch.undo()
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(
    ("model", "setting", "says"),
    [
        ("tiny_gravity_dpo", "model.beta=x", "must be a number above 0"),
        ("tiny_gravity_dpo", "model.likelihood=null", "must be a number from 0 on"),
        ("tiny_gravity_grpo", "model.group=2.5", "must be a whole number from 2 on"),
        ("tiny_gravity_grpo", "model.patience=0", "must be a whole number from 1 on"),
        ("tiny_gravity_grpo", "model.temperature=0", "must be a number above 0"),
        ("tiny_lfm2", "model.network.max_length=-5", "must be a whole number from 1 on"),
        ("tiny_lfm2", "model.network.repetition_penalty=0", "must be a number above 0"),
        ("tiny_lfm2", "model.network.rank=0", "must be a whole number from 1 on"),
        ("gpt", "early_stopping.monitor=3", "must be a name, or null"),
    ],
)
def test_a_setting_of_a_model_that_cannot_be_is_named(model: str, setting: str, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"{setting} {says}")):
        codec = "codec=spatial" if "grav" in model else "codec=engine"
        limits.check(composed("train", "early_stopping=loss", f"model={model}", codec, setting))


TAKEN = {  # what Lightning would end in a traceback on, or do for nothing, and what it takes
    "benchmark": ("fast", ["true", "false", "null"]),
    "detect_anomaly": ("maybe", ["true", "false"]),
    "deterministic": ("maybe", ["true", "false", "warn", "null"]),
    "gradient_clip_algorithm": ("nrm", ["norm", "value", "null"]),
    "profiler": ("simple", ["null", "{_target_: lightning.pytorch.profilers.SimpleProfiler}"]),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_setting_of_the_trainer_that_cannot_be_is_named(name: str) -> None:
    wrong, right = TAKEN[name]
    says = "(is unknown.* Choose one of|must be true or false|would write nothing down; choose debug=profile)"
    with pytest.raises(UserError, match=rf"^trainer\.{name}={wrong} {says}"):
        limits.check(composed("train", f"+trainer.{name}={wrong}"))
    for value in right:
        limits.check(composed("train", f"+trainer.{name}={value}"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["model.network.max_length=20"], "are all longer than 20 tokens"),
        (["model.network.architecture.hidden_size=x"], "model.network.architecture is none: .*hidden_size"),
    ],
)
def test_a_network_that_no_sample_fits_is_refused_before_the_run(settings: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        build(composed("train", "model=tiny_lfm2", "codec=engine", "scenario=billiards", "hardware=cpu", *settings))


def test_help_of_a_setting_that_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    show("train", "", ["--help", "data.repeat", "early_stopping.monitor", "steps"])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("data.repeat: null  # N: only the first N windows") and len(said) == 3
    with pytest.raises(UserError, match=r"data\.repaet is unknown"):
        show("train", "", ["--help", "data.repaet"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export", "shipped", "--format", "onnx", "--out", "x"], "--out has no effect with a run"),
        (["export", "shipped", "--format", "onnx", "--seconds", "0"], "--seconds has no effect with a run"),
        (["play", "--export", "x", "--port", "0"], "--port has no effect with --export"),
        (["play", "--export", "x", "--no-browser"], "--no-browser has no effect with --export"),
    ],
)
def test_an_option_that_a_verb_would_not_read_is_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("verb", list(MAINS))
def test_help_has_a_space_before_each_comment(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    show(verb, "", [])
    _, _, settings = capsys.readouterr().out.partition("\nSettings\n")
    lines, cfg = settings.splitlines(), composed(verb)
    assert len(lines) > 4
    for line in lines:
        key = line.partition("=")[0].strip()
        said = f"  {key}={'...' if isinstance(cfg[key], DictConfig) else checks.typed(cfg[key])}"
        assert line == said or line.startswith(f"{said} "), line
