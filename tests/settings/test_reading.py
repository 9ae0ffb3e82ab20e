"""No setting is ignored: what a verb does not read is refused, and what it names it does read."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf

from physworld import mains, run
from physworld.errors import UserError
from physworld.runs.state import recorded
from physworld.settings import folders, limits
from physworld.settings.messages import option_names, options
from physworld.settings.program import typed_command
from physworld.text.evaluate import evaluate

from repository import CONF, ROOT, composed

HOW = [(name, verb) for name in run.systems() for verb in run.SHARED]


@contextmanager
def asking(main: str, *overrides: str) -> Iterator[DictConfig]:
    """A configuration as Hydra hands it to a main."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(main, list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    try:
        yield config
    finally:
        HydraConfig.instance().cfg = None


REFUSED = [
    ("train", "+foo=1", "foo is unknown. train reads base, "),
    ("train", "+data.foo=1", "data.foo is unknown."),
    ("train", "model=tiny_video scenario=pong", "scenario= is for text models; model=tiny_video is a video model"),
    ("train", "model=tiny_video codec=engine", "codec= is for spatial and text models; model=tiny_video is a video"),
    ("train", "model=gravity curriculum=stage3", "curriculum= is for text models; model=gravity is a spatial model"),
    ("train", "model=gpt weights=X", "weights=X goes with pretrained models"),
    ("train", "model=tiny_gravity base=X", "base=X goes with pretrained models"),
    ("train", "scenario.names=[towr]", "Did you mean tower?"),
    (
        "train",
        "codec=spatial",
        "codec=spatial does not write text samples, which data=physics gives; choose a codec of",
    ),
    ("train", "data=spatial", "codec=islands does not write spatial samples, which data=spatial gives"),
    *[("train", f"{key}=null", f"{key}=null leaves nothing to build") for key in limits.BUILT if key != "model.codec"],
    ("train", "model=tiny_video model.codec=3", "model.codec=3 leaves nothing to build"),
    ("train", "hparams_search=optuna seed=1", " -m hparams_search=optuna seed=1"),
    ("train", "steps=0", "steps=0 must be a whole number from 1"),
    ("train", "ckpt=3", "ckpt=3 must be a path; write a name that is a number as ckpt=./3."),
    ("train", "data.source.errors=true", "data.source.errors=true must be a path"),
    *[
        (
            "train",
            f"data.source.{name}_scenes={value}",
            f"data.source.{name}_scenes={value} must be a number from 0 to 1",
        )
        for name in ("kicked", "turned", "varied")
        for value in ("abc", "true", "1.5", "null")
    ],
    ("train", "data.source.context_noise=inf", "data.source.context_noise=inf must be a number from 0 on"),
    ("train", "scenario=tower scenario.names=[pong]", "scenario=tower changes nothing beside scenario.names=..."),
    ("train", "codec=plain codec.shuffle_names=1", "codec.shuffle_names=1 must be true or false"),
    ("train", "codec.memory=true codec.memory_dropout=abc", "codec.memory_dropout=abc must be a number from 0 to 1"),
    ("train", "data.source.kicked_scenes=0 data.source.kick_size=3", "data.source.kick_size=3 changes nothing while"),
    *[
        ("train", f"{settings} {idle}", f"{idle.lstrip('+')} changes nothing {why}")
        for settings, idle, why in (
            ("model=gpt model.optimizer=adamw", "model.adam_learning_rate=0.9", "with model.optimizer=adamw, which"),
            ("model=tiny_lfm2 codec=engine", "model.betas=[0.1,0.2]", "with model.optimizer=muon, whose AdamW has"),
            ("model=tiny_lfm2 codec=engine", "model.network.rank=3", "with model.network.tuning=full, which has no"),
            ("model=lfm2 +model.warmup_fraction=0.1", "model.warmup_steps=9", "beside model.warmup_fraction"),
            ("model=tiny_gravity_dpo", "+model.event_weight=5", "in learning from preferences, which has no events"),
        )
    ],
    ("train", "curriculum.keep_easier=false", "curriculum.keep_easier=false changes nothing without stages; give"),
    ("train", "curriculum=stage1 curriculum.keep_easier=true", "curriculum.keep_easier=true changes nothing without"),
    ("simulate", "curriculum.samples_per_stage=8", "curriculum.samples_per_stage=8 changes nothing in scenes that"),
    ("simulate", "curriculum.keep_easier=false", "curriculum.keep_easier=false changes nothing in scenes that"),
    (
        "evaluate",
        "run=shipped evaluation.val_rollouts=2",
        "evaluation.val_rollouts is for the validations of a training",
    ),
    ("evaluate", "run=shipped cache=true", "cache=true must be a path"),
    ("evaluate", "run=shipped +prompt=x", "prompt is unknown. evaluate reads base,"),
    ("evaluate", "run=shipped limit=0", "limit=0 must be"),
    ("evaluate", "run=shipped codec=card", "codec= is for model=hf, predictions= and export=; a run brings its own"),
    ("simulate", "ood.level=0.5", "ood.level=0.5 moves nothing without a family; choose ood= of"),
    ("evaluate", "limit=1", "Nothing to judge: give run=DIR"),
    ("evaluate", "run=[]", "Nothing to judge: give run=DIR"),
    ("evaluate", "weights=X", "weights=X needs model=hf beside it."),
    ("predict", "frames=3", "input=FILE is missing"),
    ("predict", "input=nothere.jsonl", "input=nothere.jsonl cannot be read (there is no such file)."),
    ("predict", "input=/", "input=/ cannot be read (it is a folder)."),
    ("predict", "prompt=x", "prompt= is for video runs; run=shipped is a text run"),
    ("simulate", "task=spatial scenario=pong", "scenario= is for text and video data; task=spatial"),
    ("simulate", "task=spatial ood=low_gravity", "ood= is for text data; task=spatial"),
    ("simulate", "task=video shards=2", "shards= is for text data; task=video"),
    ("simulate", "video.fps=3", "video= is for video data; task=text"),
    ("simulate", "count=0", "count=0 must be a whole number from 1 on."),
    ("train", "+trainer.barebones=true", "trainer.barebones has no effect here; leave it out."),
    ("train", "+trainer.gradient_clip_algoritm=norm", "Did you mean gradient_clip_algorithm?"),
    ("train", "model=tiny_video hardware.num_workers=4", "hardware.num_workers=4 is for text and spatial runs"),
    ("train", "model=tiny_video model.betas=[0.9]", "model.betas=[0.9] must be a list of two numbers"),
    ("train", "model=tiny_video model.betas=[0.9,1.5]", "model.betas=1.5 must be a number from 0 to just below 1."),
    ("train", "model=tiny_video model.codec.scale=0", "model.codec.scale=0 must be a number above 0."),
    ("train", "model=tiny_video model.network.lora.rank=1.5", "model.network.lora.rank=1.5 must be a whole number"),
    ("train", "model=tiny_video data.source.fps=fast", "data.source.fps=fast must be a number above 0, or null."),
    ("train", "model=tiny_video data.source.samples=0", "data.source.samples=0 must be a whole number from 1 on."),
    ("train", "model=tiny_video model.final_lr=-1", "model.final_lr=-1 must be a number from 0 on."),
    ("train", "seed=18446744073709551616", "seed=18446744073709551616 must be a whole number below 2^64."),
    ("simulate", "seed=18446744073709551616", "must be a whole number below 2^64."),
    ("evaluate", "run=shipped hardware.precision=bf16-true", "hardware.precision is for training; here hardware.acc"),
    ("predict", f"input={__file__} hardware.micro_batch=2", "hardware.micro_batch is for training"),
    *[("train", f"+{key}=1", f"{key} is set by {by}; leave it out") for key, by in limits.SET_BY.items()],
]


@pytest.mark.parametrize(("main", "overrides", "says"), REFUSED)
def test_what_is_not_read_is_refused(main: str, overrides: str, says: str) -> None:
    with asking(main, *overrides.split()) as config, pytest.raises(UserError) as refused:
        run.VERBS[main](config)
    assert says in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ("run=shipped scenes=FILE split=val", "split=val is of simulated scenes; those of scenes=FILE are judged as"),
        ("export=x.jsonl run=shipped", "export= writes the moments in codec=, and asks no run; leave run= out"),
        ("export=x.jsonl predictions=FILE", "export= writes the moments and stops; leave predictions= out"),
        (
            "export=x.jsonl suite=planning evaluation.start=9",
            "suite=planning makes its own.*leave evaluation.start=9",
        ),
        ("export=x.jsonl suite=phyworld evaluation.starts=1", "makes its own scenes; leave evaluation.starts=1 out"),
        ("export=x.jsonl suite=laws evaluation.latest_start=9", "its own scenes; leave evaluation.latest_start=9 out"),
        ("export=x.jsonl scenes=FILE +suite.first_index=3", "of scenes=FILE all are.*leave suite.first_index=3 out"),
        (
            "export=x.jsonl scenes=FILE evaluation.rollouts=3",
            "of scenes=FILE all are.*leave evaluation.rollouts=3 out",
        ),
    ],
)
def test_what_an_evaluation_does_not_read_is_refused(overrides: str, says: str) -> None:
    with asking("evaluate", *overrides.split()) as config, pytest.raises(UserError, match=says):
        evaluate(config)


@pytest.mark.parametrize(
    ("main", "overrides"),
    [
        ("train", "debug=smoke experiment=gpu_25m scenario=pong curriculum.difficulties=[1] ++data.repeat=3"),
        ("train", "model=tiny_video evaluation.pairs=3 trainer.gradient_clip_val=null"),
        ("train", "model=tiny_gravity codec=spatial data.source.axis=seen"),
        ("predict", f"run=shipped input={Path(__file__)} frames=3 hardware=cpu"),
        ("simulate", "task=video video.fps=3 scenario=pong"),
    ],
)
def test_what_is_read_is_taken(main: str, overrides: str) -> None:
    with asking(main, *overrides.split()) as config:
        name = str(config.data.task) if main == "train" else "text" if main == "predict" else str(config.task)
        kept = run.asked(main, name, config, "this")
    assert set(kept) == set(run.reads(main)[name])


def test_a_command_of_train_can_be_planned(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it says of its start and its end; a note names what changes no plan."""
    with asking("plan", "init_from=shipped", "logger=csv", "max_time=00:00:01:00", "steps=7") as config:
        kept = run.asked("plan", "text", config, "this")
    assert set(kept) == set(run.reads("train")["text"]) - set(run.UNPLANNED) | {"gpu", "mfu", "price"}
    assert capsys.readouterr().out == "Note: init_from, logger, max_time change nothing in a plan.\n"


@pytest.mark.parametrize(("name", "verb"), HOW)
def test_every_name_is_one_of_the_main(name: str, verb: str) -> None:
    with asking(verb) as config:
        assert set(run.reads(verb)[name]) <= set(config) - {"hydra"}


@pytest.mark.parametrize("verb", list(run.SHARED))
def test_every_key_of_a_main_is_read_by_a_system(verb: str) -> None:
    with asking(verb) as config:
        assert set(config) - {"hydra"} == set().union(*run.reads(verb).values())


def read_in(path: Path) -> set[str]:
    """Keys of a variable named cfg, trained or config that a file asks for."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cfg":
            found.add(node.attr)
    return found


@pytest.mark.parametrize(("name", "verb"), HOW)
def test_every_name_is_asked_for_by_the_system(name: str, verb: str) -> None:
    """Asking for more is an error while it runs (see `only`); here: no name stands there that nobody asks for."""
    package = ROOT / "physworld"
    files = [file for room in (name, "runs", "training") for file in (package / room).glob("*.py")]
    files += [package / "run.py", package / "settings" / "checks.py", package / "settings" / "limits.py"]
    asked = set().union(*map(read_in, files))
    if verb == "train":
        asked |= {"weights", "base"}  # checks.pretrained, and the wiring of models that have weights
    assert set(run.reads(verb)[name]) - asked == set()


class Recorder(DictConfig):
    """Notes which of its keys are asked for."""

    def __init__(self, cfg: DictConfig, notes: set[str]) -> None:
        super().__init__(content=cfg)
        self.__dict__["notes"] = notes

    def __getattr__(self, key: str) -> Any:
        self.__dict__["notes"].add(key)
        return super().__getattr__(key)

    def __getitem__(self, key: Any) -> Any:
        self.__dict__["notes"].add(key)
        return super().__getitem__(key)


@pytest.mark.parametrize(
    ("name", "overrides", "unread"),
    [
        # `frames` is of pictures, too; ood and shards are read whatever they are
        ("text", ["scenario=pendulum", "count=1", "frames=3"], {"task"}),
        ("spatial", ["task=spatial", "count=1"], {"task"}),
        ("video", ["task=video", "count=1", "video.frames=9", "video.width=16", "video.height=16", "format=gif"],
         {"task", "curriculum"}),  # curriculum: of two-dimensional scenarios
    ],
)  # fmt: skip
def test_simulate_reads_what_it_names(
    name: str, overrides: list[str], unread: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: set[str] = set()
    scenario = ["scenario=pendulum"] if name == "video" else []
    with asking("simulate", *overrides, *scenario, f"out={tmp_path}/made", "hydra.runtime.output_dir=x") as config:
        kept = run.asked("simulate", name, config, "this")
        run.system(name).simulate(Recorder(kept, notes))
    notes &= set(config)
    assert notes <= set(run.reads("simulate")[name])
    assert set(run.reads("simulate")[name]) - notes <= unread


def test_asking_for_more_than_is_named_is_an_error() -> None:
    with asking("simulate") as config:
        kept = run.asked("simulate", "text", config, "this")
    with pytest.raises(AttributeError):
        _ = kept.video


def test_a_system_without_evaluation_settings_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spatial, called = run.system("spatial"), []
    monkeypatch.setattr(run, "system_of", lambda _run: "spatial")
    monkeypatch.setattr(spatial, "READS", {**spatial.READS, "evaluate": ("hardware", "split", "seed")})
    monkeypatch.setattr(spatial, "evaluate", called.append)
    arguments = ["run=shipped"]
    mains.offer_evaluation(arguments)
    assert arguments == ["run=shipped"]
    with asking("evaluate", *arguments, f"hydra.runtime.output_dir={tmp_path}") as config:
        run.evaluate(config)
    assert len(called) == 1 and "evaluation" not in called[0]


def test_what_training_sets_is_refused_by_name() -> None:
    """Each argument of Lightning's Trainer is passed on, or refused with what decides on it."""
    known = set(inspect.signature(Trainer).parameters)
    assert {key.partition(".")[2] for key in limits.SET_BY} <= known
    assert {name for name in limits.TRAINER if not name.startswith("_")} <= known
    for leaf in sorted(known - set(limits.TRAINER)):
        trainer = OmegaConf.create({"trainer": {"_target_": "lightning.pytorch.Trainer", leaf: 1}})
        with pytest.raises(UserError, match=rf"^trainer\.{leaf} (is set by|has no effect here)"):
            limits.check(trainer)
    there = composed("train")
    for by in limits.SET_BY.values():
        group, _, option = by.partition("=")
        if option:
            assert option in option_names(group)
        elif not by.startswith("hydra."):
            assert OmegaConf.select(there, by, default="absent") != "absent", by


def test_a_refused_command_drops_its_own_folder_alone(tmp_path: Path) -> None:
    old = tmp_path / "outputs"
    old.mkdir()
    new = old / "day" / "time"
    folders.look(new)
    (new / ".hydra").mkdir(parents=True)
    folders.drop(new)
    assert old.is_dir() and list(old.iterdir()) == []
    folders.look(old)
    (old / ".hydra").mkdir()
    folders.drop(old)
    assert old.is_dir() and list(old.iterdir()) == []  # what it made goes, the folder stays
    (old / ".hydra").mkdir()
    (old / ".hydra" / "overrides.yaml").write_text("of an earlier command")
    folders.look(old)
    (old / ".hydra" / "overrides.yaml").write_text("of this one")
    folders.drop(old)
    assert (old / ".hydra" / "overrides.yaml").read_text() == "of an earlier command"
    folders.look(new)
    (new / "checkpoints").mkdir(parents=True)
    folders.drop(new)
    assert (new / "checkpoints").is_dir()
    sweep = tmp_path / "sweep"
    folders.look(sweep)
    (sweep / "0" / ".hydra").mkdir(parents=True)
    (sweep / "1").mkdir()
    folders.drop(sweep / "0")
    assert [path.name for path in sweep.iterdir()] == ["1"]


@pytest.mark.parametrize("there", [False, True])
def test_an_evaluation_that_is_refused_before_it_begins_leaves_no_failed_run(tmp_path: Path, there: bool) -> None:
    """Its record is written first, its config.yaml when everything that it scores is loaded."""
    new = tmp_path / "run"
    for begun in (False, True):
        if there:
            new.mkdir(exist_ok=True)
        folders.look(new)
        new.mkdir(exist_ok=True)
        with pytest.raises(UserError), recorded(new, verb="evaluate", command="c"):
            if begun:
                (new / "config.yaml").write_text("run: a")
            raise UserError("model.budget=-1 must be a number above 0.")
        folders.drop(new)
        assert new.is_dir() == (there or begun)
        assert (new / "run.json").exists() == begun


def test_last_is_the_last_that_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from physworld.runs.directory import find_run

    monkeypatch.chdir(tmp_path)
    for name, files in {
        "a": ["model/config.json", "metrics.json"],
        "b": ["model/config.json"],
        "c": ["metrics.json"],
    }.items():
        for file in files:
            path = tmp_path / "outputs" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
    assert find_run("last") == Path("outputs/a")


@pytest.mark.parametrize(("model", "own"), [("tiny_video", "video_quick"), ("tiny_gravity", "spatial_quick")])
def test_a_smoke_run_names_its_own_evaluation(model: str, own: str) -> None:
    with asking("train", f"model={model}", "debug=smoke") as config:
        run.system_for(config)
        assert config.evaluation == options("evaluation")[own]
    sentence = f"^evaluation=few is not for {own[:-6]} models; leave it out, or choose among {own[:-6]}, .*{own}[.]$"
    with asking("train", f"model={model}", "evaluation=few") as config, pytest.raises(UserError, match=sentence):
        run.system_for(config)


def test_evaluate_takes_the_evaluation_of_the_run(tmp_path: Path) -> None:
    """A video run is scored by settings of video evaluations; text's are refused by name."""
    with asking("train", "model=tiny_video") as config:
        own = OmegaConf.to_container(config.evaluation)
        (tmp_path / "model").mkdir()
        OmegaConf.save({"data": {"task": "video"}, "evaluation": own}, tmp_path / "config.yaml")
    typed = [f"run={tmp_path}", "evaluation.generated=4"]
    mains.offer_evaluation(typed)
    with asking("evaluate", *typed) as config:
        kept = run.asked("evaluate", "video", config, "this")
    assert kept.evaluation == {**own, "generated": 4}
    with (
        asking("evaluate", f"run={tmp_path}", "evaluation=few") as config,
        pytest.raises(UserError, match="few is not"),
    ):
        run.evaluate(config)
    texts = OmegaConf.to_container(composed("train", "debug=smoke").evaluation)  # as earlier versions wrote it
    OmegaConf.save({"data": {"task": "video"}, "evaluation": texts}, tmp_path / "config.yaml")
    mains.offer_evaluation(smoke := [f"run={tmp_path}"])
    with asking("evaluate", *smoke) as config:
        assert config.evaluation == options("evaluation")["video_quick"]
        assert typed_command("evaluate", smoke).endswith(f" run={tmp_path}")  # what nobody typed is not printed
    mains.offer_evaluation(own := [f"run={tmp_path}", "evaluation=of_the_run"])  # and it can be typed
    with asking("evaluate", *own) as config:
        assert config.evaluation == options("evaluation")["video_quick"]
        assert typed_command("evaluate", own).endswith(f" run={tmp_path} evaluation=of_the_run")
    shipped = ["run=shipped"]
    mains.offer_evaluation(shipped)
    assert shipped == ["run=shipped"]  # text keeps the suite's own
