"""Clips drawn here, with known motion: what is read off them, which laws break, which clips are discarded and why."""

from __future__ import annotations

import csv
import json
import shutil
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
from disc_clips import COUNT, FPS, RADIUS, TIMES, bounce, clip, judged, line, texture
from PIL import Image

from physworld.cli import main
from physworld.errors import UserError
from physworld.io.images import write_gif, write_mp4
from physworld.judge import arcs, command, controls, footage, report
from physworld.judge.clip import Settings, Verdict, judge_footage
from physworld.judge.footage import Discard, Footage, Source, find, read
from physworld.judge.plate import Plate, cleared
from physworld.judge.summary import noted, summarise
from physworld.seeding import generator


def test_bounce_gives_gravity_restitution_and_galileo() -> None:
    found = judged(clip(bounce()), pixels_per_metre=30.0, gravity=10.0)
    assert found.kind == "bounce" and found.lawful, found.laws
    assert found.figures["gravity"] == pytest.approx(10.0, rel=0.02)
    assert found.figures["restitution"] == pytest.approx(0.8, abs=0.02)
    assert found.figures["galileo"] == pytest.approx(4.0, abs=0.1)


def test_scale_from_the_body() -> None:
    found = judged(clip(bounce()), body_diameter=2 * RADIUS / 30)
    assert found.figures["gravity"] == pytest.approx(10.0, rel=0.05)


def test_figures_beside_the_clip_are_read_as_numbers_or_noted() -> None:
    shot = Footage(frames=clip(bounce()), times=TIMES, shrink=1.0)
    known = {"pixels_per_metre": "30", "gravity_m_s2": "10", "restitution": 0, "period_s": -1}  # a CSV has text
    found = judge_footage(shot, Source(name="x", files=(), known=known), Settings())
    assert found.errors["gravity"] == pytest.approx(0, abs=0.03)
    assert found.errors["restitution"] == found.figures["restitution"]
    assert found.notes == ("period_s beside the clip is no number above 0, and was not used",)


def test_throw_keeps_the_parabola() -> None:
    path = line((20, 150), (150, -280)) + np.stack([0 * TIMES, 220 * TIMES**2 / 2], -1)
    found = judged(clip(path, size=(280, 200)))
    assert found.kind == "throw" and found.lawful, found.laws
    assert found.figures["gravity_px"] == pytest.approx(220, rel=0.02)


def test_pendulum_has_its_period_and_length() -> None:
    rate, length = 2 * np.pi / 1.1, 110.0
    angle = 0.3 * np.cos(rate * TIMES)
    path = np.array([120.0, 20.0]) + length * np.stack([np.sin(angle), np.cos(angle)], -1)
    found = judged(clip(path))
    assert found.kind == "pendulum" and found.lawful
    # 0.3 rad: small swings are faster by 1 + 0.3²/16.
    assert found.figures["period"] == pytest.approx(1.1 / (1 + 0.3**2 / 16), rel=0.01)
    assert found.figures["pendulum_length_px"] == pytest.approx(length, rel=0.05)


def test_orbit_sweeps_equal_areas() -> None:
    turn = 2 * np.pi * TIMES / 1.0
    found = judged(clip(np.array([120.0, 90.0]) + 60 * np.stack([np.cos(turn), np.sin(turn)], -1)))
    assert found.kind == "orbit" and found.lawful
    assert found.figures["period"] == pytest.approx(1.0, rel=0.02)


def test_collision_keeps_momentum() -> None:
    when = 0.6
    after = np.maximum(TIMES - when, 0)[:, None]
    a = line((40, 40), (110, 60)) + after * np.array([-200.0, 0])
    b = line((40 + 220 * when + 2 * RADIUS, 40), (-110, 60)) + after * np.array([160.0, 0])
    found = judged(clip(a, b))
    assert found.kind == "collision" and found.lawful, found.laws
    ratio = found.figures["mass_ratio"]
    assert ratio is not None and max(ratio, 1 / ratio) == pytest.approx(200 / 160, rel=0.05)
    assert found.figures["collision_restitution"] == pytest.approx((90 + 50) / 220, abs=0.03)


def test_a_blow_that_noise_hides_is_not_told() -> None:
    """Bodies that shake by a pixel, seen for five frames after they met: no ratio, and a sentence that says why."""
    when = 1.17
    after = np.maximum(TIMES - when, 0)[:, None]
    shake = generator(2, "test").normal(0, 0.9, (COUNT, 2))
    a = line((20, 40), (80, 20)) + after * np.array([-150.0, 0]) + shake[::-1]
    b = line((20 + 130 * when + 2 * RADIUS, 40), (-50, 20)) + after * np.array([110.0, 0]) + shake
    found = judged(clip(a, b))
    assert found.kind == "collision" and found.lawful
    assert not {"mass_ratio", "collision_restitution"} & set(found.figures)
    assert not {"momentum", "energy"} & set(found.laws)
    assert "the weaker blow is known to" in found.unread["mass_ratio"]


def test_clips_of_two_bodies_have_controls() -> None:
    """The oracle keeps every law; the placebo breaks energy, momentum and permanence in turn."""
    after = np.maximum(TIMES - 0.6, 0)[:, None]
    a = line((40, 40), (110, 60)) + after * np.array([-200.0, 0])
    b = line((40 + 220 * 0.6 + 2 * RADIUS, 40), (-110, 60)) + after * np.array([160.0, 0])
    shot, source = Footage(frames=clip(a, b), times=TIMES, shrink=1.0), Source(name="x", files=())
    verdict = judge_footage(shot, source, Settings())
    assert controls.can(verdict)

    def made(right: bool, index: int) -> Verdict:
        return controls.control(verdict, shot, source, Settings(), right=right, index=index)

    assert made(True, 0).lawful and made(True, 0).kind == "collision"
    assert "energy" in made(False, 0).broken()
    assert "momentum" in made(False, 1).broken()
    assert "permanence" in made(False, 2).broken()


def test_a_body_that_rests_for_most_of_a_clip_is_no_part_of_the_scene() -> None:
    """It creeps within its own width, then goes: its first places are not drawn to the middle of its trace."""
    x = 100 + 10 * TIMES + 220 * np.maximum(TIMES - 0.8, 0)
    path = np.stack([x, np.full(COUNT, 80.0)], -1)
    found = judged(clip(path))
    (track,) = found.tracks
    assert np.nanmax(np.abs(track.center - path)) < 0.5


def test_the_scene_behind_a_body_that_came_to_rest_is_looked_up_in_earlier_frames() -> None:
    """A plate that holds the body gives it back; where no frame shows what is behind a body, the clip is refused."""
    empty = texture((120, 90))
    frames = np.repeat(empty[None], 30, 0)
    left = np.minimum(10 + 6 * np.arange(30), 70)
    boxes = np.stack([np.full(30, 40), left, np.full(30, 60), left + 20], -1)
    for t, at in enumerate(left):
        frames[t, 40:60, at : at + 20] = (230, 40, 30)
    frames = frames.astype(np.uint8)
    spoilt = Plate(empty=frames[-1].astype(np.float32), noise=1.0)
    better = cleared(frames, spoilt, [boxes], [boxes], 400.0)
    assert better is not None and np.abs(better.empty - empty).max() <= 1
    assert cleared(frames, better, [boxes], [boxes], 400.0) is None
    with pytest.raises(Discard, match="some place is never free of a body") as why:
        cleared(frames[12:], spoilt, [boxes[12:]], [boxes[12:]], 400.0)
    assert why.value.reason == "never_free"


def blow(*, hit: int, gone: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    """Paths (T, 2) px: a disc strikes its like, at rest, at frame `hit`, and stops; the other is gone at `gone`."""
    frame = np.arange(COUNT)
    first = np.where(frame < hit, 140 - 2 * RADIUS - 4 * (hit - frame), 140 - 2 * RADIUS)
    second = np.where(frame < hit, 140.0, 140 + 4.0 * (frame - hit))
    second = np.where(frame < gone, second, np.nan)
    return np.stack([first, 80 + 0 * first], -1), np.stack([second, 80 + 0 * second], -1)


def on_plain(*paths: np.ndarray) -> np.ndarray:
    """`clip` on one colour, with a little noise."""
    scene = clip(*paths, size=(280, 160), noise=0.0).astype(float)
    empty = clip(size=(280, 160), noise=0.0)[0].astype(float)
    shown = np.abs(scene - empty).max(-1, keepdims=True) > 0
    frames = np.where(shown, scene, 224.0) + generator(3, "test").normal(0, 1.0, scene.shape)
    return np.clip(frames, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("hit", [13, 20])
def test_a_body_at_rest_beside_a_place_that_another_left_does_not_hide_it(hit: int) -> None:
    """The median shows bodies that stand for half of a clip; they collide all the same, and one that goes is missed."""
    whole = judged(on_plain(*blow(hit=hit)), side_view=False)
    assert whole.kind == "collision" and whole.lawful, (whole.reason, whole.laws)
    assert whole.figures["mass_ratio"] == pytest.approx(1, abs=0.02)
    assert whole.figures["collision_restitution"] == pytest.approx(1, abs=0.03)
    found = judged(on_plain(*blow(hit=hit, gone=hit + 7)), side_view=False)
    assert found.broken() == ["permanence"] and "vanishes" in found.laws["permanence"]["said"], found.laws


@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_what_is_behind_a_place_that_is_never_free_is_known_where_the_scene_is_plain(slope: float) -> None:
    empty = np.repeat((100 + slope * np.arange(120.0))[None, :, None], 90, 0).repeat(3, -1)
    frames = np.repeat(empty[None], 20, 0)
    frames[:, 40:60, 50:70] = (230, 40, 30)
    boxes = np.tile(np.array([40, 50, 60, 70]), (20, 1))
    spoilt = Plate(empty=frames[0].astype(np.float32), noise=1.0)
    better = cleared(frames.astype(np.uint8), spoilt, [boxes], [boxes], 400.0)
    assert better is not None and np.abs(better.empty - empty).max() <= 1


def test_a_diagonal_at_constant_speed_is_uniform_and_breaks_a_law_where_something_falls() -> None:
    frames = clip(line((30, 30), (100, 70)))
    shot = Footage(frames=frames, times=TIMES, shrink=1.0)
    silent, told, other = (
        judge_footage(shot, Source(name="x", files=(), caption=caption), Settings())
        for caption in ("", "A red ball falls to the ground.", "A puck slides over ice.")
    )
    assert silent.kind == "uniform" and silent.lawful and other.lawful
    assert told.broken() == ["falls"] and "caption" in told.laws["falls"]["said"]
    alone, beside = noted([silent]), noted([silent, judged(clip(bounce()))])
    assert alone[0].notes == () and "1 of 2 clips of the folder fall" in beside[0].notes[0]


def test_two_balls_fall_as_galileo_says() -> None:
    found = judged(clip(bounce(top=20, x=70), bounce(top=70, x=170)))
    assert found.figures["two_ball"] == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("law", "path"),
    [
        ("falls", line((120, 20), (0, 100))),
        ("restitution", bounce(e=0.75)[::-1]),
        ("permanence", np.where(TIMES[:, None] < 0.7, line((30, 60), (100, 20)), np.nan)),
        ("permanence", line((30, 60), (60, 10)) + np.where(TIMES[:, None] > 0.6, 60.0, 0.0)),
    ],
    ids=["constant speed", "backwards", "vanishes", "jumps"],
)
def test_what_breaks_a_law_is_found(law: str, path: np.ndarray) -> None:
    assert law in judged(clip(path)).broken()


def test_reasons_of_discards() -> None:
    moving = line((30, 60), (100, 40))
    post = clip(moving)
    post[:, :, 50:140] = 90
    cut = clip(moving)
    cut[20:] = 255 - cut[20:, ::-1]
    reasons = {
        "camera_moves": judged(clip(moving, shift=1.5)), "cut": judged(cut), "hidden": judged(post),
        "nothing_moves": judged(clip()),
    }  # fmt: skip
    assert {name: found.reason for name, found in reasons.items()} == {name: name for name in reasons}
    assert judged(clip(moving)).reason is None


def test_a_folder_with_hostile_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything gets its sentence; what is good is judged; the placebo fails and the oracle does not."""
    folder, out = tmp_path / "clips", tmp_path / "report"
    write_mp4(folder / "portrait.mp4", clip(bounce(x=61), size=(121, 181)), FPS)
    write_gif(folder / "throw.gif", clip(line((30, 60), (100, 40))), 25)
    whole = (folder / "portrait.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "words.mp4").write_text("no clip")
    (folder / "gone.mp4").symlink_to("nowhere")
    with av.open(folder / "nothing.mp4", "w") as whole_but_empty:
        whole_but_empty.add_stream("libx264", rate=30, width=64, height=48)
        whole_but_empty.start_encoding()
    write_mp4(folder / "short.mp4", clip(line((30, 60), (100, 40)))[:5], FPS)
    write_mp4(folder / "long.mp4", np.zeros((61, 16, 16, 3), np.uint8), FPS)
    (folder / "portrait.json").write_text(
        json.dumps({"gravity_m_s2": 10.0, "pixels_per_metre": 30, "caption": "a ball"})
    )
    same = shutil.copytree(folder, tmp_path / "same", symlinks=True)
    words = ["judge", str(folder), "--out", str(out), "--workers", "1", "--most-frames", "60", "--against", str(same)]
    assert main(words) == 0
    said = capsys.readouterr().out
    with (out / "clips.csv").open(newline="") as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    reasons = {name: row["reason"] for name, row in rows.items()}
    assert reasons == {
        "portrait": "", "throw": "", "cut": "unreadable", "empty": "unreadable", "words": "unreadable",
        "nothing": "unreadable", "gone": "unreadable",
        "short": "too_short", "long": "too_long",
    }  # fmt: skip
    assert all(f"{name}: it " in said for name, reason in reasons.items() if reason)
    assert float(rows["portrait"]["gravity"]) == pytest.approx(10.0, rel=0.03)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["rows"]["oracle"]["lawful"]["mean"] == 1 and summary["rows"]["placebo"]["lawful"]["mean"] == 0
    assert summary["paired"]["lawful"] == {"mean": 0, "low": -0.49, "high": 0.49, "n": 2}  # 1.96 / (n + 2)
    assert "2 of the first 9 clips were made again; not made again: 7 discarded." in (out / "report.md").read_text()
    page = (out / "report.html").read_text()
    assert "a ball" in page and page.count("data:image/png") == 2


def test_a_verdict_is_undecided_and_a_clip_is_discarded_for_its_own_reason() -> None:
    verdicts = [judged(clip(bounce())), judged(clip(line((120, 20), (0, 100))))]
    verdicts.append(Verdict(name="y", reason="never_free", sentence="some place is never free of a body"))
    summary = {
        "command": "", "measured": {}, "rows": {"clips": summarise(verdicts)},
        "controls": {"of": 3, "made": 1, "discarded": 1, "no_law": 1},
    }  # fmt: skip
    assert report.headline(summary).startswith("Whether the folder keeps the laws is undecided: 50 % (9–91) of 2")
    page = "\n".join(report.report_lines(summary, verdicts))
    assert "1 × some place is never free of a body." in page
    assert "1 of the first 3 clips were made again; not made again: 1 discarded, 1 with a motion whose law was" in page


def test_a_clip_of_any_length_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 frames: refused by their number, or by their size, before they are decoded; a path of 3,000 is cut."""
    write_mp4(tmp_path / "long.mp4", np.zeros((10_000, 16, 16, 3), np.uint8), FPS)
    source = find(tmp_path)[0]

    def judge_file(settings: Settings) -> Verdict:
        return command._job((source, settings, 0, False, None)).verdict

    assert judge_file(Settings()).reason == "too_long"
    monkeypatch.setattr(footage, "MOST_BYTES", 10**6)
    verdict = judge_file(Settings(most_frames=20_000))
    assert verdict.reason == "too_long" and "1302 or fewer" in verdict.sentence
    times = np.arange(3000) / FPS
    path = np.stack([times * 20, np.abs((times % 40) - 20) * 30], -1)  # a zigzag
    tracemalloc.start()
    pieces = arcs.cut(times, path, np.arange(3000), 0.2)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    turns = {round(piece.begin / 20) for piece in pieces if abs(piece.begin / 20 - round(piece.begin / 20)) < 0.02}
    assert turns == {0, 1, 2, 3, 4}


def test_one_clip_says_little(tmp_path: Path) -> None:
    write_mp4(tmp_path / "clips" / "a.mp4", clip(bounce()), FPS)
    assert main(["judge", str(tmp_path / "clips"), "--out", str(tmp_path / "out"), "--controls", "0"]) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    assert "The one clip that was judged keeps every law." in text and "100 % (21–100)" in text
    assert not (tmp_path / "out" / "judged.jsonl").exists()


def test_variable_rate_is_read(tmp_path: Path) -> None:
    """A GIF whose frames last differently: positions belong to their own times."""
    lasting = np.where(np.arange(COUNT) % 3 == 0, 60, 30)
    times = np.concatenate([[0], np.cumsum(lasting[:-1])]) / 1000
    frames = clip(np.stack([20 + 40 * times, 20 + 30 * times**2 / 2], -1), noise=0, size=(120, 90))
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=lasting.tolist())
    source = find(tmp_path)[0]
    found = judge_footage(read(source, most=100, side=480, fps=None), source, Settings())
    assert np.allclose(found.times, times, atol=0.011)
    assert found.figures["gravity_px"] == pytest.approx(30, rel=0.05)


def test_numbered_pictures_need_a_rate(tmp_path: Path) -> None:
    for k, frame in enumerate(clip(bounce())):
        (tmp_path / "shot").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / "shot" / f"frame_{k}.png")
    assert main(["judge", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    found = command._job((find(tmp_path)[0], Settings(fps=FPS), 0, False, None)).verdict
    assert found.kind == "bounce" and found.figures["gravity_px"] == pytest.approx(300, rel=0.02)


def test_two_folders_without_a_common_name_are_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a/one.mp4", "b/two.mp4"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_bytes(b"")
    assert main(["judge", str(tmp_path / "a"), "--against", str(tmp_path / "b"), "--out", str(tmp_path / "o")]) == 1
    assert "have no clip of one name to compare, such as one and two;" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_folder_without_clips_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no clips"):
        find(tmp_path)
