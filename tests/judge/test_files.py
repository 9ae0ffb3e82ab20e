"""From files to rows: pictures as they look, captions, lengths in pixels of the file, and two folders side by side."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from disc_clips import FPS, TIMES, bounce, clip, line
from PIL import Image

from physworld.cli import main
from physworld.io.film import read_frames, read_timeline
from physworld.io.images import write_mp4
from physworld.io.pictures import first_frame
from physworld.judge.board import numbers
from physworld.judge.clip import Settings, Verdict, judge_footage
from physworld.judge.footage import Discard, Footage, Source, find, read
from physworld.judge.report import headline
from physworld.runs.leaderboard import About

ABOUT = About(model="m", suite="", split="", seed="0")


@pytest.mark.parametrize("kind", ["deep", "turned", "clear"])
def test_pictures_are_judged_as_they_look(kind: str, tmp_path: Path) -> None:
    """16 bits stay a ramp, EXIF turns, and what is transparent is white."""
    suffix = ".jpg" if kind == "turned" else ".png"
    for k in range(9):
        path = tmp_path / "shot" / f"{k:03d}{suffix}"
        path.parent.mkdir(exist_ok=True)
        if kind == "deep":
            Image.fromarray(np.linspace(0, 65535, 80).astype(np.uint16)[None].repeat(40, 0)).save(path)
        elif kind == "turned":
            marked = Image.Exif()
            marked[0x0112] = 6  # a quarter turn clockwise
            Image.fromarray(np.zeros((40, 80, 3), np.uint8)).save(path, exif=marked)
        else:
            Image.fromarray(np.zeros((40, 80, 4), np.uint8)).save(path)
    source = find(tmp_path)[0]
    frames = read(source, most=100, side=480, fps=10).frames
    assert frames.shape[1:3] == ((80, 40) if kind == "turned" else (40, 80))
    assert np.array_equal(frames[0], np.asarray(first_frame(source.files[0])))
    if kind == "deep":
        assert np.abs(frames[0, 0, :, 0] - np.linspace(0, 255, 80)).max() <= 1
    if kind == "clear":
        assert frames.min() == 255


@pytest.mark.parametrize(("beside", "said"), [
    ({"a.json": {"caption": "beside"}}, ("beside",)),
    ({"a.json": {"captions": "one sentence"}}, ("one sentence",)),
    ({"a.json": {"captions": ["one", "another"]}}, ("one", "another")),
    ({"a.json": {"caption": None}}, ("in the file of captions",)),
    ({"a.json": {"captions": {"en": "x"}}}, ("in the file of captions",)),
    ({"a.json": [1, 2]}, ("in the file of captions",)),
    ({"a.json": {"captions": 5}}, ("5",)),
    ({"a.json": {"caption": "json"}, "a.txt": " text\n"}, ("text",)),
    ({"a.txt": "  \n"}, ("in the file of captions",)),
])  # fmt: skip
def test_a_caption_beside_a_clip_comes_first(beside: dict[str, Any], said: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    row = {"file_name": "a.mp4", "caption": "in the file of captions", "pixels_per_metre": 30}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row))
    for name, content in beside.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    (source,) = find(tmp_path)
    assert source.captions == said and source.caption == said[0]
    assert source.known["pixels_per_metre"] == 30
    (tmp_path / "metadata.jsonl").unlink()
    (source,) = find(tmp_path)
    assert source.captions == (said if said != ("in the file of captions",) else ())


def enlarged(frames: np.ndarray, times: int) -> Verdict:
    """The verdict on frames that are judged at their size, of a file that is larger."""
    shot = Footage(frames=frames, times=TIMES, shrink=float(times))
    return judge_footage(shot, Source(name="x", files=(), caption="it falls"), Settings())


def test_lengths_are_in_pixels_of_the_file(tmp_path: Path) -> None:
    """The same bounce at 240 x 180 and at 960 x 720: every length and speed is four times as large."""
    frames = clip(bounce(), noise=0)
    found = {}
    for large in (1, 4):
        write_mp4(tmp_path / str(large) / "a.mp4", frames.repeat(large, 1).repeat(large, 2), FPS)
        (source,) = find(tmp_path / str(large))
        shot = read(source, most=100, side=240, fps=None)
        assert shot.frames.shape[1:3] == (180, 240) and shot.shrink == large
        found[large] = judge_footage(shot, source, Settings())
    small, wide = found[1], found[4]
    assert (small.kind, small.size, wide.size) == ("bounce", (240, 180), (960, 720))
    assert small.figures["gravity_px"] == pytest.approx(300, rel=0.02)
    assert wide.figures["gravity_px"] == pytest.approx(1200, rel=0.02)
    ball, larger = small.bodies[0], wide.bodies[0]
    assert larger["diameter_px"] == pytest.approx(4 * ball["diameter_px"], rel=0.03)
    assert larger["center_px"][0] == pytest.approx([4 * x for x in ball["center_px"][0]], rel=0.02)
    hit, harder = ball["impacts"][0], larger["impacts"][0]
    assert harder["time_s"] == pytest.approx(hit["time_s"], abs=0.01)
    for name in ("before_px_s", "after_px_s"):
        assert harder[name][1] == pytest.approx(4 * hit[name][1], rel=0.03)
    for name in ("restitution", "galileo"):
        assert wide.figures[name] == pytest.approx(small.figures[name], rel=0.02)


@pytest.mark.parametrize(("name", "path"), [
    ("rise_px", line((30, 30), (100, 70))),
    ("pendulum_length_px",
     np.array([120.0, 20.0]) + 110 * np.stack([f(0.3 * np.cos(5.7 * TIMES)) for f in (np.sin, np.cos)], -1)),
])  # fmt: skip
def test_every_figure_in_pixels_is_scaled(name: str, path: np.ndarray) -> None:
    frames = clip(path)
    one, four = enlarged(frames, 1), enlarged(frames, 4)
    assert one.figures[name] and four.figures[name] == pytest.approx(4 * one.figures[name])
    for other, value in one.figures.items():
        if not other.endswith("_px"):
            assert four.figures[other] == value
    jump = clip(line((30, 60), (60, 10)) + np.where(TIMES[:, None] > 0.6, 12.0, 0.0))
    said = [str(enlarged(jump, times).laws["permanence"]["said"]) for times in (1, 4)]
    assert said == ["it jumps by 17 px", "it jumps by 68 px"]  # 12 px along both sides


def test_another_folder_never_takes_the_place_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it is called as a row of the report is."""
    monkeypatch.chdir(tmp_path)
    write_mp4(tmp_path / "mine" / "a.mp4", clip(bounce()), FPS)
    write_mp4(tmp_path / "clips" / "a.mp4", clip(line((120, 20), (0, 100))), FPS)
    words = ["judge", "mine", "--against", "clips", "--out", "out", "--workers", "1", "--controls", "1"]
    assert main([*words, "--pictures", "0"]) == 0
    assert "keeps every law" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary["rows"]) == ["clips", "oracle", "placebo", "against"] and summary["against"] == "clips"
    assert summary["rows"]["clips"]["lawful"]["mean"] == 1 and summary["rows"]["against"]["lawful"]["mean"] == 0
    assert "| clips in clips |" in (tmp_path / "out" / "report.md").read_text()
    kept = {one.model: one.mean for one in numbers(summary, ABOUT) if one.figure == "keep every law"}
    assert kept == {"mine": 1, "oracle of mine": 1, "placebo of mine": 0, "clips": 0}
    monkeypatch.chdir(tmp_path / "mine")
    assert main(["judge", ".", "--out", "../here", "--workers", "1", "--controls", "0", "--pictures", "0"]) == 0
    here = json.loads((tmp_path / "here" / "summary.json").read_text())
    assert {one.model for one in numbers(here, ABOUT)} == {str(tmp_path / "mine")}


def test_folders_of_one_name_are_two_models() -> None:
    share = {"mean": 0.5, "low": 0.2, "high": 0.8, "n": 4}
    block = {"lawful": share, "discard_rate": share, "laws": {}}
    for folder in ("one/clips", "two/clips"):
        summary = {"rows": {"clips": block, "against": block}, "measured": {"folder": folder}, "against": "three/clips"}
        assert {one.model for one in numbers(summary, ABOUT)} == {folder, "three/clips"}


def stored(path: Path, stamps: list[int], **stream: Any) -> Path:
    """32 x 16 pictures at these moments, in 1/60 s."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=60, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = 32, 16, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 60)
        for name, value in stream.items():
            setattr(video.codec_context, name, value)
        for stamp in stamps:
            frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 8 * stamp % 256, np.uint8))
            frame.pts, frame.time_base = stamp, Fraction(1, 60)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


def test_pixels_that_are_not_square_are_shown_as_they_are_meant(tmp_path: Path) -> None:
    """Half as wide pixels: a file of 32 x 16 is a square picture, for a judge as for a training."""
    path = stored(tmp_path / "a.mp4", list(range(12)), sample_aspect_ratio=Fraction(1, 2))
    assert read(find(tmp_path)[0], most=100, side=480, fps=None).frames.shape[1:3] == (16, 16)
    timeline = read_timeline([path])
    assert timeline.size == (16, 16)
    whole = read_frames([path], timeline, np.arange(2), size=(16, 16), fit="pad", background=(255, 0, 0))
    assert whole[0].max() < 40  # no bar of the background beside it
    stored(path, list(range(12)), sample_aspect_ratio=Fraction(9))
    with pytest.raises(Discard, match="its pixels are 9 times as wide as high"):
        read(find(tmp_path)[0], most=100, side=480, fps=None)


def test_half_a_character_in_a_caption_loses_no_report(tmp_path: Path) -> None:
    write_mp4(tmp_path / "in" / "a.mp4", clip(line((60, 60), (120, 0))), FPS)
    (tmp_path / "in" / "a.json").write_text('{"caption": "a ball \\ud83d"}')
    assert find(tmp_path / "in")[0].caption == "a ball \\ud83d"
    assert main(["judge", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--controls", "0"]) == 0
    assert "a ball \\ud83d" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_files_of_ones_own_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mp4(tmp_path / "in" / "=1+1.mp4", clip(line((60, 60), (120, 0))), FPS)
    for name in ("summary.json", "report.md", "clips.json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("mine")
        assert main(["judge", str(tmp_path / "in"), "--out", str(tmp_path / name)]) == 1
        assert f"holds a run or another report ({name})" in capsys.readouterr().err
        assert (tmp_path / name / name).read_text() == "mine"
    judging = ["judge", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--controls", "0"]
    assert main(judging) == main(judging) == 0  # over its own it goes again
    assert (tmp_path / "out" / "clips.csv").read_text().splitlines()[1].startswith("'=1+1,")


def test_a_report_made_with_other_options_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_mp4(tmp_path / "my clips" / "a.mp4", clip(line((60, 60), (120, 0))), FPS)
    judging = ["judge", "my clips", "--controls", "0", "--fps", "10", "--workers", "1"]
    assert main(judging) == 0
    place = Path("outputs/judge/my clips")
    before = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    capsys.readouterr()
    for words in (["judge", "my clips", "--controls", "0"], [*judging, "--view", "top"], [*judging, "--fps", "9"]):
        assert main(words) == 1
        assert capsys.readouterr().err == (
            f"{place} already holds the report of physworld judge 'my clips' --fps 10.0 --controls 0; give --out "
            "ANOTHER, or move it.\n"
        )
    assert before == {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    same = ["judge", str(tmp_path / "my clips"), "--fps", "10", "--controls", "0", "--workers", "2"]
    assert main(same) == main([*same, "--out", str(place)]) == main(judging) == 0
    assert main([*judging, "--view", "top", "--out", "another"]) == 0
    (place / "summary.json").write_text("{")  # of a damaged one nobody knows
    assert main(["judge", "my clips", "--controls", "0"]) == 0


def test_where_no_report_can_lie_is_told_before_a_clip_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mp4(tmp_path / "in" / "a.mp4", clip(line((60, 60), (120, 0))), FPS)
    (tmp_path / "file").write_text("mine")
    for out, why in (
        (tmp_path / "file", "it is a file"),
        (tmp_path / "file" / "below", "Not a directory"),
        (Path("/proc/none/below"), "No such file or directory"),
    ):
        assert main(["judge", str(tmp_path / "in"), "--out", str(out)]) == 1
        said = f"--out {out} is no folder that can be written into ({why}).\n"
        assert capsys.readouterr().err == said
    assert main(["judge", str(tmp_path / "none"), "--out", str(tmp_path / "new" / "below")]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "in"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_is_not_compared_with_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_mp4(tmp_path / "in" / "a.mp4", clip(line((60, 60), (120, 0))), FPS)
    (tmp_path / "other").symlink_to("in")
    for against in ("in", "./in/../in", str(tmp_path / "in"), "other"):
        assert main(["judge", "in", "--against", against, "--out", "out"]) == 1
        assert "is the folder that is judged; give another one." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_two_folders_of_one_name_have_two_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("a", "b"):
        write_mp4(tmp_path / place / "same" / f"{place}.mp4", clip(line((60, 60), (120, 0))), FPS)
        for _ in range(2):  # again to the same place
            assert main(["judge", str(tmp_path / place / "same"), "--controls", "0"]) == 0
    reports = sorted(Path("outputs/judge").iterdir())
    assert [path.name for path in reports] == ["same", "same_2"]
    names = [json.loads((path / "clips.json").read_text())[0]["name"] for path in reports]
    assert names == ["a", "b"]


def test_a_file_beside_a_clip_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    write_mp4(tmp_path / "in" / "a.mp4", clip(line((60, 60), (120, 0))), FPS)
    (tmp_path / "in" / "a.json").write_text('{"caption": 3')
    assert main(["judge", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--controls", "0"]) == 0
    told = (tmp_path / "out" / "report.md").read_text().partition("## To look at")[2]
    assert "a.json beside the clip cannot be read" in told


def test_broken_laws_that_are_not_seen_stand_in_the_first_sentence() -> None:
    rows = {"clips": (4, 1.0), "placebo": (4, 0.25)}
    summary = {
        "rows": {
            name: {"clips": n, "judged": n, "lawful": {"mean": part, "low": 0.6, "high": 1.0, "n": n}}
            for name, (n, part) in rows.items()
        }
    }
    assert "(so 1 of 4 breaks of a law were not seen, and more may be missed)" in headline(summary)
    summary["rows"]["placebo"]["lawful"]["mean"] = 0.0
    assert "not seen" not in headline(summary)
