"""Every option of every Hydra group composes, and every class it names takes the settings it gives."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import get_object, instantiate
from lightning.pytorch import Trainer
from omegaconf import OmegaConf

from physworld import run, scenarios
from physworld.errors import UserError
from physworld.io.images import write_gif
from physworld.runs.trusted import trusted
from physworld.seeding import generator
from physworld.settings import limits
from physworld.settings.groups import scenario_sets
from physworld.sim.pymunk_sim import simulate
from physworld.spatial.codecs.rows import row
from physworld.text.codecs.scene_json import write_jsonl
from physworld.video.network import VideoNetwork

from repository import CONF, composed
from spatial_tools import samples, save_tiny_qwen

GROUPS = sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name != "hydra")
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
OPTIONS += [("scenario", name) for name in scenario_sets()]
SLOW = ("scenario",)  # all made by the same lines of code
MARKED = [pytest.param(*pair, marks=pytest.mark.slow if pair[0] in SLOW else ()) for pair in OPTIONS]
NEEDS_WEIGHTS = ("hf", "lfm2", "lfm2_700m", "qwen25_05b", "smollm2", "smollm2_135m")  # models that are downloads
LARGE = ("lfm2_random",)
JUDGED = ("api",)  # models that nobody trains
SERVICES = ("mlflow", "trackio", "wandb")  # loggers that need the extra `loggers`
OPTIONAL = {"slurm": "hydra_plugins.hydra_submitit_launcher"}


def need_plugin(option: str) -> None:
    if option in OPTIONAL:
        try:
            found = importlib.util.find_spec(OPTIONAL[option])
        except ModuleNotFoundError:
            found = None
        if found is None:
            pytest.skip(f"{OPTIONAL[option]} is not installed (extra: sweep)")


def nodes(tree: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node that names a class or function."""
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield path, tree
        for key, child in tree.items():
            yield from nodes(child, f"{path}.{key}" if path else key)


def check_binding(path: str, node: dict[str, Any]) -> None:
    """The settings of a node bind to the signature of what it names; without `_partial_` nothing is missing."""
    target = get_object(node["_target_"])
    given = {key: value for key, value in node.items() if not key.startswith("_")}
    signature = inspect.signature(target)
    takes = signature.parameters
    if any(p.kind == p.VAR_KEYWORD for p in takes.values()) and hasattr(target, "__self__"):
        takes = {**takes, **inspect.signature(target.__self__).parameters}  # a constructor that passes sizes on
        assert set(given) <= set(takes), f"{path}: {set(given) - set(takes)} is not taken by {node['_target_']}"
        return
    # Codecs of pretrained weights get the tokenizer that lies beside the weights.
    if node.get("_partial_", False) or path == "codec":
        signature.bind_partial(**given)
    else:
        signature.bind(**given)


@pytest.mark.parametrize(("group", "option"), MARKED)
def test_option_composes_and_binds(group: str, option: str) -> None:
    need_plugin(option)
    main = "evaluate" if group == "suite" or option in JUDGED else "train"
    long = ["steps=400"] if group == "early_stopping" else []  # or there is nothing to stop
    cfg = composed(main, f"{group}={option}", *long)
    tree = OmegaConf.to_container(cfg, resolve="hydra:" not in OmegaConf.to_yaml(cfg))
    found = dict(nodes(tree))
    assert main == "evaluate" or {
        "trainer",
        "codec",
        "model",
        "model.network",
        "data.source",
        "data.stream",
        "hardware",
        "evaluation",
    } - ({"model.network"} if group == "model" and option in JUDGED else set()) <= set(found)
    for path, node in found.items():
        check_binding(path, node)
    if group == "logger" and option in SERVICES and importlib.util.find_spec(option) is None:
        with pytest.raises(UserError, match=f"logger={option} needs {option}"):
            limits.check(cfg)
    elif main == "train":
        limits.check(cfg)


def test_every_checked_setting_is_one_of_its_group() -> None:
    for key in limits.SETTINGS:
        group, leaf = key.partition(".")[0], key.rpartition(".")[2]
        written = "\n".join(path.read_text() for path in [*CONF.glob("*.yaml"), *(CONF / group).rglob("*.yaml")])
        of_lightning = key in {f"trainer.{name}" for name in inspect.signature(Trainer).parameters}  # typed with a +
        assert of_lightning or re.search(rf"^ *{leaf}:", written, re.MULTILINE), key


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ("model.network.smoothing=-1", "model.network.smoothing=-1 must be a number from 0 on"),
        ("model.network.learned_positions=-5", "model.network.learned_positions=-5 must be a whole number from 0 on"),
        ("model.network.heads=0", "model.network.heads=0 must be a whole number from 1 on"),
        ("model.network.depth=null", "model.network.depth=null must be a whole number from 1 on"),
        ("model.network.dropout=2", "model.network.dropout=2 must be a number from 0 to 1"),
        ("model.network.numeric_embedding=3", "model.network.numeric_embedding=3 must be true or false"),
        ("model.network.median=null", "model.network.median=null must be true or false"),
        ("model.learning_rate=abc", "model.learning_rate=abc must be a number above 0"),
        ("model.length_groups=0", "model.length_groups=0 must be a whole number from 1 on"),
        ("data.source.event_fraction=abc", "data.source.event_fraction=abc must be a number from 0 to 1"),
        ("data.source.kick_rate=-1", "data.source.kick_rate=-1 must be a number from 0 to just below 1"),
        ("data.source.kick_rate=1", "data.source.kick_rate=1 must be a number from 0 to just below 1"),
        ("data=on_policy data.source.share=null", "data.source.share=null must be a number from 0 to 1"),
        ("codec=islands codec.collision_sampling=true", "codec.collision_sampling=true must be a number from 0 to 1"),
        ("codec=engine codec.context_frames=null", "codec.context_frames=null must be a whole number from 1 on"),
        (
            "curriculum.difficulties=[true]",
            "curriculum.difficulties=[true] must be a list of difficulties from 1 to 5, for "
            "example curriculum.difficulties=[1,2]",
        ),
        (
            "curriculum.difficulties=[7]",
            "curriculum.difficulties=[7] must be a list of difficulties from 1 to 5, for "
            "example curriculum.difficulties=[1,2]",
        ),
        ("curriculum.keep_easier=maybe", "curriculum.keep_easier=maybe must be true or false"),
        (
            "data=files data.path=. curriculum=progressive",
            "data=files takes scenes of every difficulty from the first step, so there are no stages; set "
            "curriculum.samples_per_stage=null",
        ),
        ("model.ema_decay=1", "model.ema_decay=1 must be a number from 0 to just below 1"),
        ("trainer.gradient_clip_val=abc", "trainer.gradient_clip_val=abc must be a number from 0 on, or null"),
        ("trainer.log_every_n_steps=0", "trainer.log_every_n_steps=0 must be a whole number from 1 on"),
        ("codec=engine codec.published_bytes=3", "codec.published_bytes=3 must be true or false"),
        *(
            (
                f"early_stopping.{one}",
                f"early_stopping.{one} stops nothing without early_stopping.patience=N; give that too, or choose "
                "early_stopping=loss or rollout",
            )
            for one in ("monitor=val/loss", "mode=max", "min_delta=0.1")
        ),
        (
            "early_stopping=loss steps=399",
            "early_stopping.patience=3 needs 4 validations to stop a run, and steps=399 with validate_every=100 makes "
            "3; choose early_stopping.patience=2, validate_every=99, early_stopping=none, or more steps",
        ),
        (
            "early_stopping=rollout steps=3",
            "early_stopping.patience=3 needs 4 validations to stop a run, and steps=3 with validate_every=100 makes 0; "
            "choose early_stopping=none, or more steps",
        ),
    ],
)
def test_a_setting_that_cannot_be_is_named(overrides: str, says: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(says)}[.]$"):
        run.build(composed("train", "steps=1", *overrides.split()))


VIDEO_WITHOUT_WEIGHTS = ("model=cogvideox", "model=cogvideox_5b")


def test_options_of_the_video_recipes_bind_to_what_they_build() -> None:
    """`lora` is passed on as settings of `add_lora`."""
    for model in ("tiny_video", "cogvideox"):
        lora = composed("train", f"model={model}").model.network.lora
        inspect.signature(VideoNetwork.add_lora).bind(None, **lora)


def test_the_published_recipe_is_the_cards() -> None:
    cfg = composed("train", "model=cogvideox")
    assert (cfg.steps, cfg.global_batch, cfg.data.source["repeat"]) == (200, 1, 40)
    assert (cfg.trainer.gradient_clip_val, list(cfg.model.times)) == (1.0, [50, 950])
    assert (cfg.model.learning_rate, cfg.model.warmup_steps, cfg.model.weight_decay) == (1e-4, 10, 0.01)
    lora = OmegaConf.to_container(cfg.model.network.lora)
    assert lora == {"rank": 16, "alpha": 32, "dropout": 0.05, "targets": ["to_q", "to_k", "to_v", "to_out.0"]}


@pytest.mark.parametrize("main", ["evaluate", "predict", "simulate"])
def test_other_mains_compose_and_bind(main: str) -> None:
    for path, node in nodes(OmegaConf.to_container(composed(main))):
        check_binding(path, node)


def test_binding_check_sees_a_wrong_key() -> None:
    cfg: Any = OmegaConf.to_container(composed("train"))
    for key in ("model", "codec", "hardware"):
        with pytest.raises(TypeError):
            check_binding(key, {**cfg[key], "no_such_setting": 1})
    with pytest.raises(AssertionError):
        check_binding("network", {**cfg["model"]["network"], "no_such_setting": 1})


@pytest.mark.slow
@pytest.mark.parametrize(
    "override",
    [
        f"{group}={option}"
        for group, option in OPTIONS
        if group in ("data", "codec", "model", "curriculum", "debug")
        and not (group == "model" and option in (*NEEDS_WEIGHTS, *LARGE, *JUDGED))
    ],
)
def test_option_builds(override: str, tmp_path: Path) -> None:
    more = []
    if override in VIDEO_WITHOUT_WEIGHTS:
        with pytest.raises(run.UserError, match=r"cannot be read.*hf download"):
            run.build(composed("train", "hardware=cpu", override, "data.source.width=32", "data.source.height=32"))
        return
    if override == "data=listened":
        with pytest.raises(UserError, match=r"data\.answers=.* are needed"):
            run.build(composed("train", "hardware=cpu", "model=tiny_gravity_dpo", override))
        return
    if override.startswith("data=video"):
        more = ["model=tiny_video", "data.stream.val_samples=2"]
        if override == "data=video_480p":  # at a size that is drawn quickly
            more += ["data.source.width=16", "data.source.height=16", "model.network.base=null", "data.source.frames=9"]
    if override in ("data=spatial", "data=rows", "codec=spatial", "codec=pointers"):
        more = ["model=tiny_gravity"]
    elif override in ("codec=scene_text", "model=gravity"):
        name = save_tiny_qwen(tmp_path)
        more = ["model=gravity", f"model.network.weights={name}", "model.network.targets=[q_proj]"]
    if override == "data=rows":
        rows = "".join(json.dumps(row(s.given.payload, s.target)) + "\n" for s in samples(count=3))
        (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
        more += [f"data.train_file={tmp_path}/rows.jsonl", f"data.valid_file={tmp_path}/rows.jsonl"]
    if override == "data=files":
        for k in range(20):
            scene = scenarios.build("billiards", generator(0, "train", k), 1)
            write_jsonl(tmp_path / f"scene_{k}.jsonl", simulate(scene, 12))
        more = [f"data.path={tmp_path}", "data.source.held_back=0.5"]
    if override == "data=clips":
        for k in range(3):
            write_gif(tmp_path / f"{k}.gif", np.full((17, 48, 8, 3), 50 * k, np.uint8), 10)
            (tmp_path / f"{k}.txt").write_text("A ball falls from 3 m, restitution 0.7.", encoding="utf-8")
        more = ["model=tiny_video", f"data.path={tmp_path}", "data.stream.val_samples=2"]
    parts = run.build(composed("train", "hardware=cpu", override, *more))
    assert parts.accumulate == 1
    assert parts.data.codec is parts.codec


@pytest.mark.parametrize("option", sorted(p.stem for p in (CONF / "hydra/launcher").glob("*.yaml")))
def test_launcher_preset_composes(option: str) -> None:
    need_plugin(option)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"hydra/launcher={option}"], return_hydra_config=True)
    assert "_target_" in cfg.hydra.launcher


def test_scenario_group_is_the_files() -> None:
    sets = scenario_sets()
    assert set(sets["all"]) == set(scenarios.names()) == set(sets["seen"]) | set(sets["heldout"])
    assert not set(sets["default"]) & set(scenarios.HELD_OUT)
    for name in scenarios.names():
        assert sets[name] == (name,)
        assert name in sets[scenarios.category(name)]
    assert composed("train", "scenario.names=[pong,tower]").scenario.names == ["pong", "tower"]


def test_self_comes_first() -> None:
    """`seed: 7` in an experiment is lost when `_self_` of the main file comes last."""
    for path in CONF.glob("*.yaml"):
        first = yaml.safe_load(path.read_text(encoding="utf-8"))["defaults"][0]
        assert first == "_self_" or (CONF / f"{first}.yaml").is_file(), path.name  # plan is train and more
    assert [composed(main, "experiment=gpu_25m").steps for main in ("train", "plan")] == [15000, 15000]


@pytest.mark.parametrize("chosen", ["hparams_search=optuna", "experiment=default_cpu", "experiment=long_cpu"])
def test_a_smoke_run_of_anything_is_a_smoke_run(chosen: str) -> None:
    cfg = composed("train", chosen, "debug=smoke")
    assert (cfg.steps, cfg.global_batch, cfg.evaluation) == (3, 4, composed("train", "debug=smoke").evaluation)


def test_hardware_never_changes_the_experiment() -> None:
    base: Any = OmegaConf.to_container(composed("train"))
    for path in sorted((CONF / "hardware").glob("*.yaml")):
        other: Any = OmegaConf.to_container(composed("train", f"hardware={path.stem}"))
        assert {k: v for k, v in other.items() if k != "hardware"} == {k: v for k, v in base.items() if k != "hardware"}
        assert set(other["hardware"]) == set(base["hardware"])


@pytest.mark.parametrize(
    ("micro_batch", "devices", "expected"), [(None, 1, (96, 1)), (24, 1, (24, 4)), (24, 2, (24, 2)), (None, 2, (48, 1))]
)
def test_global_batch_is_kept(micro_batch: int | None, devices: int, expected: tuple[int, int]) -> None:
    hardware = instantiate(composed("train", "hardware=cpu").hardware, micro_batch=micro_batch, devices=devices)
    assert hardware.split(96) == expected


@pytest.mark.parametrize(("micro_batch", "devices"), [(36, 1), (48, 4), (None, 5), (200, 1)])
def test_uneven_global_batch_is_an_error(micro_batch: int | None, devices: int) -> None:
    hardware = instantiate(composed("train", "hardware=cpu").hardware, micro_batch=micro_batch, devices=devices)
    with pytest.raises(run.UserError, match="global_batch=96"):
        hardware.split(96)


def test_what_a_run_may_name_is_what_our_options_name() -> None:
    """A run directory is read back only if every class in its configuration is trusted."""
    files = [path for path in CONF.rglob("*.yaml") if "hydra" not in path.parts]
    named = {word for path in files for word in re.findall(r"_target_: (\S+)", path.read_text(encoding="utf-8"))}
    assert "physworld.text.sources.on_policy.OnPolicySource" in named
    assert {name for name in named if not trusted(name)} == set()
