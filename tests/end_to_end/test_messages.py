"""A user's mistake ends with one plain sentence and exit code 1, never a traceback."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from physworld import cli
from physworld.lm.tokenizers import word_tokenizer
from physworld.settings.messages import override, quoted

from commands import ended, ends
from repository import ROOT
from tiny_lms import save_base


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("scenario=billiard", ["Did you mean billiards?", "tower"]),
        ("curriculum=stage9", ["stage9 is unknown", "stage4", "progressive"]),
        ("learning_rate=1", ["learning_rate is unknown. Did you mean model.learning_rate?"]),
        ("model.learning_rat=1", ["model.learning_rat is unknown", "Did you mean model.learning_rate?"]),
        ("codec.context_frames=3", ["codec.context_frames is unknown", "codec=card, codec=engine have it"]),
        ("modle=gpt_small", ["modle is unknown", "Did you mean model?"]),
        ("steps=1,2", ["steps=1,2", "-m", "steps=[1,2]", "\"steps='1,2'\""]),
        ("steps=[1", ["steps=[1 cannot be read as NAME=VALUE: "]),
        ("init_from=scène.d", ["cannot be read as NAME=VALUE", "\"init_from='scène.d'\""]),
        ("scenario=[pong,tower]", ["takes one option", "scenario.names=[pong,tower]"]),
        ("scenario=pong,tower", ["add -m", "scenario.names=[pong,tower]"]),
        ("model=gpt,gpt_small", ["add -m to run with each of them."]),
        ("model=null", ["model=null is unknown; choose one of", "gpt_small"]),
        ("model=api", ["model=api is judged by evaluate.py, not trained; choose another one, such as gpt."]),
        ("=3", ["=3 has no name before the ="]),
    ],
)
def test_composition(tmp_path: Path, argument: str, words: list[str]) -> None:
    said = ends(tmp_path, "train.py", argument)
    assert all(word in said for word in words), said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "value",
    [
        "a b (1).jsonl",
        "scène.d",
        "a=1",
        "a,b",
        "`idé`",
        "$HOMEé",
        'é"q',
        "a\\ü\\",
        "it's é",
        "a\\'b",
        "\\\\",
        "hi!",
        "[b]x[/y]|z",
        "plain/1",
    ],
)
def test_a_suggested_quoting_is_read_back(value: str) -> None:
    (argument,) = shlex.split(quoted("input", value))
    assert OverridesParser.create().parse_override(argument).value() == value
    assert OverridesParser.create().parse_override(override("input", value)).value() == value


def test_checkpoints(tmp_path: Path) -> None:
    assert "ckpt=missing is no file" in ends(tmp_path, "train.py", "ckpt=missing")
    whole = tmp_path / "whole.ckpt"
    torch.save({"state_dict": {"weight": torch.zeros(1000)}}, whole)
    short = tmp_path / "short.ckpt"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    said = ends(tmp_path, "train.py", f"ckpt={short}")
    assert "short.ckpt" in said and "cut short" in said


def test_a_named_run_never_goes_on_from_another(tmp_path: Path) -> None:
    other = tmp_path / "outputs" / "other" / "checkpoints"
    other.mkdir(parents=True)
    torch.save({"state_dict": {"weight": torch.zeros(1000)}}, other / "last.ckpt")
    said = ends(tmp_path, "train.py", "ckpt=last", "++hydra.run.dir=outputs/mistyped")
    assert "ckpt=last finds no outputs/mistyped/checkpoints/last.ckpt; give ckpt=PATH, or leave ckpt out" in said


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path) -> None:
    from physworld.errors import UserError
    from physworld.runs.checkpoints import read_checkpoint

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"state_dict": {}, "extra": Trap()}, tmp_path / "trap.ckpt")
    with pytest.raises(UserError, match=r"trap\.ckpt"):
        read_checkpoint(tmp_path / "trap.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_a_run_that_names_foreign_classes_is_refused(tmp_path: Path) -> None:
    from physworld.errors import UserError
    from physworld.runs.directory import read_config

    (tmp_path / "config.yaml").write_text("codec:\n  _target_: os.system\n  command: 'true'\n")
    with pytest.raises(UserError, match=r"os\.system"):
        read_config(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_missing_gpu(tmp_path: Path) -> None:
    said = ends(tmp_path, "train.py", "hardware=a6000")
    assert "hardware=a6000" in said and "hardware=cpu" in said


def test_sweep_with_its_own_ranks(tmp_path: Path) -> None:
    said = ends(
        tmp_path, "train.py", "-m", "model=gpt,gpt_small", "hardware=cpu", "hardware.devices=2", "hardware.strategy=ddp"
    )
    assert "torchrun" in said and "slurm" in said


def test_slurm_is_asked_for_a_number_of_devices(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    said = ends(tmp_path, "train.py", "-m", "hydra/launcher=slurm", "hardware=ddp")
    assert said.endswith("give the number on a node, for example hardware.devices=8."), said


def test_one_sentence_in_a_sweep_too(tmp_path: Path) -> None:
    assert ends(tmp_path, "evaluate.py", "-m", "run=last", "seed=0,1").startswith(
        "Jobs 0, 1: run=last finds no finished"
    )


def test_broken_scene_file(tmp_path: Path) -> None:
    source = next((ROOT / "tests").rglob("*.jsonl"), None)
    lines = source.read_text().splitlines() if source else _scene_lines(tmp_path)
    lines[6] = lines[6][: len(lines[6]) // 2]
    broken = tmp_path / "broken.jsonl"
    broken.write_text("\n".join(lines) + "\n")
    said = ends(tmp_path, "predict.py", "run=shipped", f"input={broken}")
    assert "broken.jsonl" in said and "line 7" in said
    assert "no finished run" in ends(tmp_path, "evaluate.py", "run=last")


def _scene_lines(where: Path) -> list[str]:
    import numpy as np

    from physworld import scenarios
    from physworld.sim.pymunk_sim import simulate
    from physworld.text.codecs.scene_json import write_jsonl

    scene = scenarios.build("projectile", np.random.default_rng(0), 1)
    write_jsonl(where / "whole.jsonl", simulate(scene, 12))
    return (where / "whole.jsonl").read_text().splitlines()


def test_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (rate, error) in enumerate([(0.01, 12.5), (0.02, 34.5)]):
        folder = tmp_path / "sweep" / str(number)
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(f"seed: 1\nmodel:\n  learning_rate: {rate}\n")
        figures = {
            "headline": {"rmse@30/model": error},
            "cost": {"seconds": 61.5},
            "scenarios": {"pong": {"rollouts": 3}},
        }
        (folder / "metrics.json").write_text(json.dumps(figures))
    assert cli.main(["compare", str(tmp_path / "sweep")]) == 0
    table = capsys.readouterr().out
    assert "model.learning_rate" in table and "0.02" in table and "34.5" in table and "61.5" in table
    assert "seed" not in table and "pong" not in table  # the same everywhere; a detail of one scenario
    assert cli.main(["compare", str(tmp_path / "nothing")]) == 1
    said = capsys.readouterr().err
    assert "nothing is no directory" in said and "Traceback" not in said
    assert cli.main(["compare", str(tmp_path / "sweep"), "--csv", str(tmp_path / "no" / "x.csv")]) == 1
    assert "no is no folder" in capsys.readouterr().err and not (tmp_path / "no").exists()


def test_a_wide_comparison_has_a_run_a_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        settings = "".join(f"a_setting_of_some_length_{k}: v{number}{k}\n" for k in range(40))
        (tmp_path / str(number) / "config.yaml").write_text(settings)
        (tmp_path / str(number) / "metrics.json").write_text(json.dumps({"cost": {"seconds": 61.5}}))
    assert cli.main(["compare", str(tmp_path)]) == 0
    rows = capsys.readouterr().out.splitlines()
    (row,) = (row for row in rows if "a_setting_of_some_length_17 " in row)
    assert "v017" in row and "v117" in row and len(rows) < 50


def test_exports_and_verbs_say_what_they_want(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(tmp_path / "nope"), "--format", "onnx"]) == 1
    assert (
        capsys.readouterr().err
        == f"{tmp_path / 'nope'} is neither a run nor a scene: there is no such file or folder.\n"
    )
    assert cli.main(["compare", "shipped"]) == 0
    assert capsys.readouterr().out.startswith("1 run\n")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert "compare" in said and "simulate" in said and "L4" not in said and "`" not in said


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    from physworld.errors import UserError
    from physworld.text.hub import export

    (tmp_path / "model").mkdir()
    (tmp_path / "config.yaml").write_text("data:\n  task: text\n")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(save_base(tmp_path / "base", "llama") / name, tmp_path / "model")
    word_tokenizer(["pos"]).save_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match="byte-level BPE"):  # comes after the folder is made
        export(tmp_path, "gguf")
    assert not (tmp_path / "gguf").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trian"], "trian is no verb. Did you mean train? Choose one of train, "),
        ([], "physworld: the following arguments are required: VERB; see physworld --help."),
        (
            ["compare"],
            "physworld compare: the following arguments are required: directory; see physworld compare --help.",
        ),
        (["compare", "last", "--cvs", "x"], "physworld compare does not take --cvs x; see physworld compare --help."),
    ],
)
def test_a_wrong_verb_is_one_sentence(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 1
    said = capsys.readouterr()
    assert said.err.startswith(says) and said.err.count("\n") == 1 and said.out == ""


def test_help_of_the_verbs_does_not_load_torch() -> None:
    program = (
        "import sys\nfrom physworld.cli import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("flags", "says"), [("-m seed=0,1 --cfg job", "-m runs several; leave one"), ("--resolve", "goes with --cfg job.")]
)
def test_flags_that_do_not_go_together(flags: str, says: str, tmp_path: Path) -> None:
    done = ended(tmp_path, "train.py", *flags.split())
    assert done.returncode == 1 and says in done.stderr and done.stderr.count("\n") == 1


def test_interrupted_verbs_stop_without_a_traceback(tmp_path: Path) -> None:
    scene = tmp_path / "scene.json"
    os.mkfifo(scene)  # nobody writes it, so reading waits
    verb = subprocess.Popen(
        [sys.executable, "-c", f"from physworld.cli import main; raise SystemExit(main(['validate', {str(scene)!r}]))"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # pytest's workers ignore it
    )
    for _ in range(1200):
        try:
            os.open(scene, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError:  # nobody reads it yet
            time.sleep(0.1)
    for _ in range(5):  # a signal can be lost in a destructor: people press again, too
        verb.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            verb.wait(timeout=15)
            break
    assert verb.returncode == 130
    assert verb.communicate()[1].endswith("Stopped.\n")


def test_a_full_disk_is_named_and_leaves_no_half_checkpoint(tmp_path: Path) -> None:
    from physworld.errors import unwritable
    from physworld.training.checkpoint_io import AtomicCheckpointIO

    content = {"state_dict": {str(k): torch.zeros(10_000) for k in range(20)}}
    writer, target = AtomicCheckpointIO(), tmp_path / "checkpoints" / "last.ckpt"
    writer.save_checkpoint(content, target)
    before = target.read_bytes()
    target.with_name(f".last.{os.getpid()}.ckpt").symlink_to("/dev/full")  # where it writes before it is whole
    with pytest.raises(OSError, match="No space left") as caught:
        writer.save_checkpoint(content, target)
    assert unwritable(caught.value) == f"{target.parent} is full: last.ckpt cannot be written."
    assert [path.name for path in target.parent.iterdir()] == ["last.ckpt"] and target.read_bytes() == before


def test_a_full_disk_is_named_for_other_files_too(tmp_path: Path) -> None:
    from physworld.errors import unwritable
    from physworld.io.placing import placing

    def fails() -> None:
        with placing(tmp_path) as work, Path("/dev/full").open("wb", buffering=0) as stream:
            assert work.is_dir()
            stream.write(b"1")

    with pytest.raises(OSError, match="No space left") as caught:
        fails()
    assert unwritable(caught.value) == f"{tmp_path} is full: a file cannot be written."
    nameless = OSError(errno.ENOSPC, "No space left on device")
    assert unwritable(nameless, "outputs/q") == "outputs/q is full: a file cannot be written."
    theirs = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert unwritable(theirs, "outputs/q") == "outputs/q is full: a file cannot be written."


def test_a_tokenizer_that_cannot_write_the_text_is_named(tmp_path: Path) -> None:
    from physworld.errors import UserError
    from physworld.lm.weights import load_tokenizer
    from physworld.runs.wiring import codec_for
    from physworld.text.codecs.engine import WORDS
    from physworld.text.codecs.impulse import ImpulseCodec

    engine = {"_target_": "physworld.text.codecs.engine.EngineCodec"}
    ImpulseCodec().tokenizer.save_pretrained(tmp_path / "impulse")
    for some in (engine, {"_target_": "physworld.text.codecs.card.CardCodec"}):
        with pytest.raises(
            UserError, match=f"The tokenizer in {tmp_path}/impulse cannot write codec=(engine|card) text"
        ):
            codec_for(some, load_tokenizer(str(tmp_path / "impulse")))
    word_tokenizer(WORDS).save_pretrained(tmp_path / "engine")
    for fits in (tmp_path / "engine", save_base(tmp_path / "base")):
        assert codec_for(engine, load_tokenizer(str(fits))).context_frames == 4


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["prompt=A ball falls"],
            "prompt= is for video runs; run=shipped is a text run, which reads frames, input, row, ",
        ),
        (["input=x.jsonl", "mode=pinned"], "mode= is for spatial runs; run=shipped is a text run"),
        (["run=shiped", "input=x.jsonl", "prompt=hello"], "run=shiped is no run directory"),
        (
            ["run=shiped", "prompt=hello"],
            "Did you mean shipped? Give the directory of a finished run, last, shipped or solver.",
        ),
    ],
)
def test_predictions_refuse_what_they_would_ignore(overrides: list[str], words: str) -> None:
    from physworld.errors import UserError
    from physworld.run import predict

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("predict", overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    try:
        with pytest.raises(UserError, match=re.escape(words)):
            predict(config)
    finally:
        HydraConfig.instance().cfg = None


def test_an_empty_folder_holds_no_weights(tmp_path: Path) -> None:
    from physworld.lm.weights import WeightsError, load_network, load_tokenizer

    for load in (load_network, load_tokenizer):
        with pytest.raises(WeightsError, match=r"holds no model: there is no config\.json and no adapter_config\.json"):
            load(str(tmp_path))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    from physworld.errors import UserError
    from physworld.text.candidates import load_hf

    folder = save_base(tmp_path / "base", "llama")
    weights = load_file(folder / "model.safetensors")
    broken = {**weights, "model.norm.weight": weights["model.norm.weight"] * torch.nan}
    save_file(broken, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"is damaged: numbers in its model\.norm\.weight are not finite"):
        load_hf(str(folder), None, torch.device("cpu"))
