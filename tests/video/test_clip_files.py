"""People's own clips: which are found, how they are divided, cut and resampled, and what is said of bad ones."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from physworld.cli import main
from physworld.errors import FormatError, UserError
from physworld.io.captions import read_captions
from physworld.io.film import choose, read_frames, read_timeline
from physworld.io.images import write_gif, write_mp4, write_png
from physworld.io.pictures import Unreadable
from physworld.video.build import codec_and_source
from physworld.video.clip_files import JUMP, REVERSED, ClipFiles, reordered
from physworld.video.codecs.pixels import PixelCodec
from physworld.video.codecs.usual import Usual

from repository import CONF

USUAL = Usual(frames=9, fps=10, width=32, height=16)


def film(count: int, size: tuple[int, int] = (64, 32), start: int = 0) -> np.ndarray:
    """uint8 (T, H, W, 3): every frame is as grey as its number says, 5 levels a frame; the left half is darker."""
    frames = np.empty((count, size[1], size[0], 3), np.uint8)
    frames[:] = (20 + 5 * (start + np.arange(count)))[:, None, None, None]
    return frames


def number(frame: np.ndarray) -> int:
    """Which frame of `film` it is."""
    return round((float(frame.mean()) - 20) / 5)


@functools.cache
def mp4(frames: int, fps: float) -> bytes:
    """Encoding takes longer than all else here."""
    with tempfile.TemporaryDirectory() as there:
        return write_mp4(Path(there) / "a.mp4", film(frames), fps).read_bytes()


def folder(root: Path, count: int = 12, frames: int = 40, fps: float = 20) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        (root / f"c{k:02d}.mp4").write_bytes(mp4(frames, fps))
        (root / f"c{k:02d}.txt").write_text(f" caption {k}\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("clips"))


def files(path: Path, split: str = "train", **options: Any) -> ClipFiles:
    return ClipFiles(path=str(path), seed=3, split=split, usual=USUAL, **options)


def test_every_clip_is_in_one_split_and_stays_there(clips: Path) -> None:
    names = {split: [c.name for c in files(clips, split, held_back=0.5).clips] for split in ("train", "val", "test")}
    assert sorted(name for each in names.values() for name in each) == [f"c{k:02d}" for k in range(12)]
    assert all(names.values())
    least = {split: len(files(clips, split, held_back=1e-9).clips) for split in names}
    assert least == {"train": 10, "val": 1, "test": 1}


def test_folders_decide_on_splits(tmp_path: Path) -> None:
    for name, count in (("train", 2), ("validation", 1), ("test", 1)):
        folder(tmp_path / name, count, frames=20)
    for split, inside in (("train", "train"), ("val", "validation"), ("test", "test")):
        assert {c.name.split("/")[0] for c in files(tmp_path, split).clips} == {inside}


def test_a_sample_is_a_function_of_its_index(clips: Path) -> None:
    first, again = files(clips, window="random"), files(clips, window="random")
    many = len(first.clips)
    found = first.samples(range(2 * many))
    for k in (2 * many - 1, 0, many):
        alone = again.sample(k)
        assert np.array_equal(alone.target.frames, found[k].target.frames)
        assert alone.given.caption == found[k].given.caption
        assert np.array_equal(alone.given.first, alone.target.frames[0])
    for turn in range(2):  # each pass has every clip once
        assert len({s.given.caption for s in found[turn * many : (turn + 1) * many]}) == many
    assert [s.target.begin for s in found[:many]] != [s.target.begin for s in found[many:]]
    assert first.captions(range(many)) == [s.given.caption for s in found[:many]]
    assert set(first.ahead()) == {s.given.caption for s in found}


@pytest.mark.parametrize(("options", "expected"), [
    ({}, [0, 2, 4, 6, 8, 10, 12, 14, 16]),  # 10 of 20 frames a second
    ({"every_frame": True}, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ({"fps": 40}, [0, 0, 1, 1, 2, 2, 3, 3, 4]),
    ({"window": "middle", "every_frame": True}, [16, 17, 18, 19, 20, 21, 22, 23, 24]),
])  # fmt: skip
def test_frames_are_those_on_the_screen(clips: Path, options: dict[str, Any], expected: list[int]) -> None:
    clip = files(clips, **options).sample(0).target
    assert clip.frames.shape == (9, 16, 32, 3)
    assert [number(frame) for frame in clip.frames] == expected == clip.chosen.tolist()
    assert clip.fps == (20 if "every_frame" in options else options.get("fps", 10))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".avi", ".gif"])
def test_every_kind_of_file_is_read_at_any_place(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    frames = film(45)
    if suffix == ".gif":
        first, *rest = map(Image.fromarray, frames)
        first.save(path, save_all=True, append_images=rest, duration=50)
    else:
        import av

        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream({".webm": "libvpx", ".avi": "mpeg4"}.get(suffix, "libx264"), rate=20)
            stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
            fine = {".webm": {"b": "2M"}, ".avi": {"qmin": "1", "qmax": "2"}}.get(suffix, {})
            stream.options = {**fine, **({} if suffix == ".webm" else {"bf": "2"})}
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(stream.encode())
    timeline = read_timeline([path])
    assert len(timeline.times) == 45 and timeline.size == (64, 32)
    assert timeline.rate == pytest.approx(20, rel=0.01)
    assert timeline.times == pytest.approx(np.arange(45) / 20, abs=2e-3)
    chosen, begin = choose(timeline, frames=9, fps=10, window="random", draw=1.0)
    assert begin == pytest.approx(44 / 20 - 0.8, abs=2e-3)
    found = read_frames([path], timeline, chosen, size=(32, 16), fit="crop", background=(0, 0, 0))
    assert [number(f) for f in found] == list(range(28, 45, 2))


def test_crop_keeps_the_middle_and_pad_keeps_all(tmp_path: Path) -> None:
    frames = np.zeros((9, 40, 120, 3), np.uint8)
    frames[:, :, 40:80] = (250, 250, 250)  # the middle third is white
    write_gif(tmp_path / "a.gif", frames, 10)
    timeline = read_timeline([tmp_path / "a.gif"])
    chosen = np.arange(9)
    look = {"size": (40, 40), "background": (0, 0, 255)}
    crop = read_frames([tmp_path / "a.gif"], timeline, chosen, fit="crop", **look)  # type: ignore[arg-type]
    assert crop[:, :, 2:38].min() > 200
    pad = read_frames([tmp_path / "a.gif"], timeline, chosen, fit="pad", **look)  # type: ignore[arg-type]
    assert (pad[0, 3, 20] == (0, 0, 255)).all() and pad[0, 20, 20].min() > 200 and pad[0, 20, 3].max() < 50


def test_pictures_in_a_row_are_a_clip(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        for k, frame in enumerate(film(9)):
            write_png(tmp_path / name / f"{k:03d}.png", frame)
        (tmp_path / f"{name}.txt").write_text("pictures", encoding="utf-8")
    clip = files(tmp_path).sample(0).target
    assert [number(f) for f in clip.frames] == list(range(9))


def test_a_captions_file_may_name_a_run_of_pictures(tmp_path: Path) -> None:
    for k, frame in enumerate(film(9)):
        write_png(tmp_path / "train" / "a" / f"{k:03d}.png", frame)
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "train/a", "caption": "one"}), encoding="utf-8")
    assert [(clip.name, clip.captions) for clip in files(tmp_path).clips] == [("train/a", ("one",))]


FORMS: dict[str, dict[str, str]] = {  # each says of a.mp4 and sub/b.mp4 the same
    "metadata.jsonl": {
        "metadata.jsonl": '{"file_name": "a.mp4", "text": "one"}\n{"file_name": "./sub/b.mp4", "text": "two"}'
    },
    "metadata.csv": {"metadata.csv": 'file_name,caption\na.mp4,one\nsub/b.mp4,"two"\n'},
    "metadata.json": {
        "metadata.json": '{"data": [{"video": "a.mp4", "prompt": "one"}, {"path": "sub/b.mp4", "prompt": "two"}]}'
    },
    "captions.json": {"captions.json": '{"a.mp4": ["one"], "sub/b.mp4": "two"}'},
    "two lists": {"videos.txt": "a.mp4\nsub/b.mp4\n", "prompts.txt": "one\ntwo\n\n"},
    "the older names": {"video.txt": "a.mp4\nsub/b.mp4", "prompt.txt": "one\ntwo"},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_captions_files(form: str, tmp_path: Path) -> None:
    for name, text in FORMS[form].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = {name: row["captions"] for name, row in read_captions(tmp_path).items()}
    assert found == {"a.mp4": ["one"], "sub/b.mp4": ["two"]}


@pytest.mark.parametrize(("written", "said"), [
    ({"videos.txt": "a.mp4\nb.mp4", "prompts.txt": "one"}, "it has 2 lines, and prompts.txt has 1"),
    ({"videos.txt": "a.mp4"}, "there is no prompts.txt, prompt.txt"),
    ({"metadata.jsonl": '{"text": "one"}'}, "a row lacks file_name; it has text"),
    ({"metadata.jsonl": "nonsense"}, "cannot be read as a captions file"),
    ({"captions.json": '"words"'}, "it is neither a list of rows nor {file: caption}"),
    ({"metadata.json": "[5]"}, "row 1 is no JSON object"),
    ({"captions.json": "[" * 10**5}, "cannot be read as a captions file"),
    ({"captions.json": '{"a.mp4": {"text": "a"}}'}, "the caption of a.mp4 is no text"),
    ({"metadata.csv": "file_name,text\na.mp4,A ball falls, then bounces\n"}, "line 2 has more cells than the header"),
    ({"metadata.csv": f"file_name,text\na.mp4,{'a' * 200_000}\n"}, "cannot be read as a captions file"),
    ({"metadata.csv": "file_name,text\na,b", "captions.json": "{}"}, "both list clips; leave one of them"),
    ({"metadata.csv": "file_name,text\na.mp4,b\n./a.mp4,c"}, "a.mp4 stands in two rows; give a clip several captions"),
    ({"videos.txt": "a.mp4\na.mp4", "prompts.txt": "one\ntwo"}, "a.mp4 stands in two rows"),
])  # fmt: skip
def test_captions_files_that_cannot_be(written: dict[str, str], said: str, tmp_path: Path) -> None:
    for name, text in written.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        read_captions(tmp_path)


def test_several_captions_are_drawn_from(tmp_path: Path) -> None:
    write_gif(tmp_path / "a.gif", film(9), 10)
    (tmp_path / "train").mkdir()
    (tmp_path / "a.gif").rename(tmp_path / "train" / "a.gif")
    said = ["one", "two", "three"]
    (tmp_path / "captions.json").write_text(json.dumps({"train/a.gif": said}), encoding="utf-8")
    assert set(files(tmp_path).captions(range(40))) == set(said)


BAD = {
    "words.mp4": "it cannot be read as a clip (Invalid data found when processing input)",
    "cut.mp4": "it cannot be read as a clip",
    "short.mp4": "it lasts 0.25 s, and 9 frames at 10 a second take 0.90 s",
    "silent.mp4": "there is no caption",
    "gone.mp4": "the captions file names it, and it is not there",
}


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    root = folder(tmp_path, 3, frames=20)
    (root / "words.mp4").write_text("words", encoding="utf-8")
    whole = (root / "c00.mp4").read_bytes()
    (root / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    (root / "short.mp4").write_bytes(mp4(5, 20))
    (root / "silent.mp4").write_bytes(mp4(20, 20))
    rows = [{"file_name": name, "caption": "bad"} for name in ("words.mp4", "cut.mp4", "short.mp4", "gone.mp4")]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return root


def test_bad_clips_are_named_and_replaced(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found: list[str] = []
    for split in ("train", "val", "test"):
        source = files(bad, split, held_back=1e-9, on_error="skip")
        try:
            found += [c.caption for c in source.each()]
            source.samples(range(10))
        except (ValueError, FormatError) as error:  # a split of bad clips alone
            assert "none of the" in str(error)
    assert sorted(found) == ["caption 0", "caption 1", "caption 2"]
    told = capsys.readouterr().err
    for name, why in BAD.items():
        assert f"{bad / name}: {why}" in told


@pytest.mark.parametrize("name", BAD)
def test_a_bad_clip_ends_the_run(name: str, bad: Path) -> None:
    for other in BAD:
        if other != name:
            (bad / other).unlink(missing_ok=True)
    rows = [{"file_name": name, "caption": "bad"}] if name != "silent.mp4" else []
    (bad / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(FormatError, match=f"{name}: .*on_error=skip leaves such clips out"):
        for split in ("train", "val", "test"):
            list(files(bad, split, held_back=1e-9).each())


def test_wrong_orders_have_the_same_frames(clips: Path) -> None:
    right = files(clips).sample(0).target.frames
    order = [number(f) for f in reordered(right, JUMP)]
    assert [number(f) for f in reordered(right, REVERSED)] == [number(f) for f in right][::-1]
    assert sorted(order) == [number(f) for f in right] and order != sorted(order)
    assert order[:4] == [0, 2, 4, 6]
    kinds = [s.target.physics for s in files(clips, physics="placebo").samples(range(4))]
    assert kinds == [REVERSED, JUMP] * 2


@pytest.mark.parametrize(("options", "said"), [
    ({"frames": 12}, "frames=12 must be a multiple of 8 and one more"),
    ({"width": 30}, "width=30 must be a multiple of 8"),
    ({"window": "last"}, "window=last is unknown. Choose first, middle, random"),
    ({"fit": "cropp"}, "fit=cropp is unknown. Did you mean crop?"),
    ({"on_error": "ignore"}, "on_error=ignore is unknown"),
])  # fmt: skip
def test_settings_that_cannot_be(options: dict[str, Any], said: str, clips: Path) -> None:
    with pytest.raises(ValueError, match=said):
        files(clips, **options)


def test_too_few_clips(tmp_path: Path) -> None:
    folder(tmp_path, 2, frames=20)
    with pytest.raises(ValueError, match=r"holds no val clip \(2 train, 0 val, 0 test\)"):
        files(tmp_path, "val", held_back=1e-9).clips  # noqa: B018


def test_captions_that_the_small_model_cannot_read(clips: Path) -> None:
    with pytest.raises(FormatError, match="the small video model reads captions such as"):
        files(clips, refuses=PixelCodec().refuses).clips  # noqa: B018
    codec = PixelCodec(any_caption=True)
    assert files(clips, refuses=codec.refuses).clips
    said = codec.prompts(["a cat", codec.example])
    assert not said[0].any() and said[1].equal(PixelCodec().prompts([codec.example])[0])


def test_what_is_too_small_is_not_enlarged_without_end(tmp_path: Path) -> None:
    write_gif(tmp_path / "a.gif", film(9, (2, 1)), 10)
    timeline = read_timeline([tmp_path / "a.gif"])
    with pytest.raises(Unreadable, match="it is 2x1 px, too small to be enlarged to 320x320"):
        read_frames([tmp_path / "a.gif"], timeline, np.arange(9), size=(320, 320), fit="crop", background=(0, 0, 0))


def test_preview_shows_what_the_loader_feeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "mine", 6, frames=30)
    (root / "c01.mp4").write_bytes((root / "c00.mp4").read_bytes())
    (root / "words.mp4").write_text("words", encoding="utf-8")
    (root / "words.txt").write_text("<b>bold</b>", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    settings = ("model.codec.any_caption=true", "data.source.frames=9", "data.source.width=32", "data.source.fps=40")
    assert main(["preview", "mine", *settings, "--count", "3", "--seen"]) == 0
    there = tmp_path / "outputs" / "preview" / "mine"
    page, found = (there / "report.html").read_text(), json.loads((there / "preview.json").read_text())
    assert sorted(row["name"] for row in found["clips"]) == [f"c{k:02d}" for k in range(6)]
    assert all((row["frames"], row["fps"], row["repeated"]) == (30, 20.0, 4) for row in found["clips"])
    assert (there / "clips.csv").read_text().count("\n") == 7
    assert "words.mp4: it cannot be read as a clip" in found["skipped"][0] and "words.mp4" in page
    assert any("c00 (" in note and "c01 (" in note and "show the same frames" in note for note in found["notes"])
    assert any(note.startswith("6 of 6 clips are smaller than the frames") for note in found["notes"])
    with initialize_config_dir(str(CONF), version_base="1.3"):
        own = ["model=tiny_video", "data=clips", f"data.path={root}", "data.source.on_error=skip"]
        cfg = compose("train", [*own, *settings])
    codec, source = codec_and_source(cfg)
    data = instantiate(cfg.data.stream)(train=source("train"), val=source("val"), codec=codec, micro_batch=3)
    fed = next(iter(data.train_dataloader())).latents
    for k, frames in enumerate(codec.decode(fed)):
        shown = iio.imread(there / "pictures" / f"train_{k:04d}.png")
        assert abs(float(shown[1:49, 1:33].mean()) - frames[0].mean()) < 1  # the first frame of the first row
        assert shown.shape[0] == 2 * (48 + 2)


def test_preview_of_a_split_without_a_good_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page is written, counts bad files once each over all splits, and shows what is good."""
    root = folder(tmp_path / "mine", 3, frames=20)
    for name in ("val/a", "test/b"):
        (root / name).parent.mkdir()
        (root / f"{name}.mp4").write_text("words", encoding="utf-8")
        (root / f"{name}.txt").write_text("a caption", encoding="utf-8")
    out = tmp_path / "out"
    words = [str(root), "model.codec.any_caption=true", "data.source.frames=9", "--count", "1", "--out", str(out)]
    assert main(["preview", *words]) == 0
    said = capsys.readouterr().err
    assert "(1 so far)" in said and said.count("(1 so far)") == 1 and "(2 so far)" in said
    page = (out / "report.md").read_text()
    assert "none of the 1 val clips" in page and "Samples of train" in page and "Samples of val" not in page
    for clip in root.glob("*.mp4"):
        clip.write_text("words", encoding="utf-8")
    assert main(["preview", *words]) == 1
    assert "None of these clips can be trained on" in capsys.readouterr().err and (out / "report.html").exists()


def test_preview_of_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "a.mp4").touch()
    for words, said in (
        ([str(tmp_path / "no")], "is no folder"),
        (["data=physics"], "physworld preview is for clips, and data.task=text"),
        (["model=tiny_vidio"], "model=tiny_vidio is unknown. Did you mean tiny_video?"),
        ([str(clips), "data.source.fit=cropp"], "fit=cropp is unknown. Did you mean crop?"),
        ([str(clips), "--count", "0"], "--count from 1 on"),
    ):
        assert main(["preview", *words, "--out", str(tmp_path / "out")]) == 1
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["judge", "preview"])
def test_a_report_among_clips_or_over_a_run_is_refused(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its pictures would be the next command's clips."""
    root = folder(tmp_path / "mine", 1, frames=20)
    there = sorted(root.rglob("*"))
    assert main([verb, str(root), "--out", str(root / "deep" / "report")]) == 1
    assert "its pictures would be read as clips" in capsys.readouterr().err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    assert main([verb, str(root), "--out", str(tmp_path / "run")]) == 1
    assert "holds a run or another report" in capsys.readouterr().err
    assert sorted(root.rglob("*")) == there and len(list((tmp_path / "run").iterdir())) == 1
