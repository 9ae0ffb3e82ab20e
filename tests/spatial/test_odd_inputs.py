"""Files and settings that nobody should give: one sentence, in bounded time and memory, and nothing is lost unsaid."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from physworld.cli import main
from physworld.errors import FormatError, UserError
from physworld.spatial.codecs.rows import row
from physworld.spatial.dataset import check
from physworld.spatial.export.stems import StemError, read_stems
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.reading import Invalid, dumps, parse_json
from physworld.spatial.scene.repair import repair
from physworld.spatial.sound.headphones import Measured
from physworld.spatial.sources.rows import RowsSource

from spatial_tools import payload, samples

RATE = 48000
DEEP = ('{"version":%s0%s}', "[", "]"), ('{"objects":[{"id":"vox","motion":%s0%s}]}', '{"a":', "}")


@pytest.mark.parametrize(("text", "opening", "closing"), DEEP)
@pytest.mark.parametrize("depth", [30, 500, 900])
def test_what_is_nested_deeply_is_no_document(text: str, opening: str, closing: str, depth: int) -> None:
    """Whatever is read is copied and printed too, which takes more of Python's stack than reading does."""
    with pytest.raises(Invalid, match="nested too deeply"):
        repair(parse_json(text % (opening * depth, closing * depth)), payload())


def test_a_line_of_rows_takes_no_memory_without_bounds(tmp_path: Path) -> None:
    """A packed line of 100 MB is some 100 kB; a row has at most two documents."""
    path, (sample,) = tmp_path / "rows.jsonl.gz", samples(count=1)
    good = json.dumps(row(sample.given.payload, sample.target)).encode() + b"\n"
    path.write_bytes(gzip.compress(good + b'{"prompt": "' + b"x" * 100_000_000 + b'"}\n' + good))
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"rows\.jsonl\.gz line 2 has more than 4,000,000 bytes\.$"):
        RowsSource(seed=0, split="train", train_file=str(path), valid_file=None)
    assert check([path]).count == 2
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


# --- stems of an export


@pytest.mark.parametrize("rate", [1, 4, 100, 3000, 500_000])
@pytest.mark.parametrize("form", ["adm", "binaural", "iamf-json"])
def test_stems_of_a_rate_that_no_filter_has_are_refused(
    rate: int, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = engineer(payload())
    (tmp_path / "scene.json").write_text(dumps(scene))
    for thing in scene.objects:
        soundfile.write(tmp_path / f"{thing.id}.wav", np.full(100, 0.1), rate)
    assert main(["export", str(tmp_path / "scene.json"), "--format", form, "--stems", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"has {rate} Hz; a stem has 8000 to 384000" in said and len(said.splitlines()) == 1


def test_a_small_file_of_much_sound_takes_little_memory(tmp_path: Path) -> None:
    """Eight channels of silence are 60 kB as FLAC, and would be 370 MB of numbers at once."""
    scene = engineer(payload())
    for thing in scene.objects:
        soundfile.write(tmp_path / f"{thing.id}.wav", np.full(100, 0.1), RATE)
    count = 2**22
    with soundfile.SoundFile(tmp_path / "room.flac", "w", RATE, 8, "PCM_16") as file:
        for _ in range(count // 2**19):
            file.write(np.zeros((2**19, 8), np.int16))
    tracemalloc.start()
    _, rest, _ = read_stems(tmp_path, scene)
    assert len(rest["room"]) == count
    assert tracemalloc.get_traced_memory()[1] < 9 * 8 * count  # every stem is as long as the longest
    tracemalloc.stop()


def test_a_stem_that_is_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    scene = engineer(payload())
    for thing in scene.objects:
        soundfile.write(tmp_path / f"{thing.id}.wav", np.full(100, 0.1), 8000)
    with soundfile.SoundFile(tmp_path / "room.flac", "w", 8000, 1, "PCM_16") as file:
        for _ in range(56):
            file.write(np.zeros(2**19, np.int16))
    tracemalloc.start()
    with pytest.raises(StemError, match="3600"):
        read_stems(tmp_path, scene)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


# --- measured ears


def ears(path: Path, sounds: np.ndarray, places: np.ndarray, delays: object, kind: str = "spherical") -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.create_dataset("Data.IR", data=sounds, compression="gzip")
        file["Data.SamplingRate"], file["Data.Delay"] = [48000.0], delays
        file.create_dataset("SourcePosition", data=places, compression="gzip").attrs["Type"] = kind
    return path


def test_delays_of_ears_take_no_memory_without_bounds(tmp_path: Path) -> None:
    """27 kB that would become 13 GB."""
    path = ears(tmp_path / "ears.sofa", np.zeros((100_000, 2, 1)), np.zeros((100_000, 3)), [[0.0, 8192.0]])
    with pytest.raises(UserError, match="at most 134,217,728"):
        Measured(path)


def test_ears_without_a_direction_are_refused(tmp_path: Path) -> None:
    path = ears(tmp_path / "ears.sofa", np.ones((2, 2, 8)), np.array([[0, 0, 0], [1.0, 0, 0]]), [[0, 0]], "cartesian")
    with pytest.raises(UserError, match="no direction"):
        Measured(path)


def test_damaged_ears_are_one_sentence(tmp_path: Path) -> None:
    whole = ears(tmp_path / "ears.sofa", np.ones((2, 2, 8)), np.ones((2, 3)), [[0, 0]]).read_bytes()
    rng, refused = np.random.default_rng(0), 0
    for _ in range(150):
        content = np.frombuffer(whole, np.uint8).copy()
        content[rng.integers(len(content), size=8)] = rng.integers(256, size=8)
        (tmp_path / "bad.sofa").write_bytes(content.tobytes())
        try:
            Measured(tmp_path / "bad.sofa")
        except UserError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1
    assert refused > 10


# --- settings that would change nothing


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("--target bed --codec flac", "--codec has no effect without --target iamf; leave it out."),
        ("--target binaural --order 3", "--order has no effect without --target iamf or ambisonics; leave it out."),
        ("--target ambisonics --layout 7.1.4", "--layout has no effect without --target bed or iamf; leave it out."),
        ("--target iamf --order 2 --layout 5.1.4", "--layout has no effect without --target bed; leave it out."),
        ("--target csv --hrtf nowhere.sofa", "--hrtf has no effect without --target binaural; leave it out."),
        ("--target csv --fade 2", "--fade has no effect without --sections FILE; leave it out."),
        ("--target csv --mode nonsense", "--mode has no effect without --run RUN; leave it out."),
    ],
)
def test_options_of_other_targets_are_refused(
    given: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "kick.wav", np.full(4800, 0.1), RATE)
    assert main(["mix", str(tmp_path), "--out", str(tmp_path / "out"), *given.split()]) == 1
    assert capsys.readouterr().err.strip() == says and not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--repeats=2", "--out=page"])
def test_a_count_of_answers_makes_no_page(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", str(tmp_path), option, "--answers", "ann.json"]) == 1
    assert capsys.readouterr().err.strip() == f"{option.partition('=')[0]} has no effect with --answers; leave it out."


@pytest.mark.parametrize("form", ["png", "json", "iamf-json"])
def test_a_length_that_nothing_reads_is_refused(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = engineer(payload())
    (tmp_path / "scene.json").write_text(dumps(scene))
    for thing in scene.objects:
        soundfile.write(tmp_path / f"{thing.id}.wav", np.full(100, 0.1), RATE)
    stems = ["--stems", str(tmp_path)] if form == "iamf-json" else []
    command = ["export", str(tmp_path / "scene.json"), "--format", form, *stems, "--seconds", "5"]
    assert main(command) == 1
    assert "--seconds is for --format iamf-json or iamf-csv without --stems" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["png", "gif", "json"])
def test_stems_that_nothing_hears_are_refused(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scene.json").write_text(dumps(engineer(payload())))
    assert main(["export", str(tmp_path / "scene.json"), "--format", form, "--stems", str(tmp_path)]) == 1
    assert f"--stems is for formats of sound, and {form} has none; leave it out." in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["scene.json"]
