"""A listening test: blind, even, and its answers become preferences."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from physworld.cli import main
from physworld.errors import FormatError, UserError
from physworld.spatial.build import build
from physworld.spatial.codecs.pointers import PointerCodec
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.reading import as_dict
from physworld.spatial.sound.listening import make_test, read_choices, tally
from physworld.spatial.sources.listened import ListenedPairs

from repository import composed
from spatial_tools import payload

SONGS = ("ant", "cow", "dog", "elk", "fox", "gnu")  # none is made of hexadecimal digits, as the blind names are


@pytest.fixture(scope="module")
def test(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six songs mixed in two ways: the second places every pad elsewhere and is 6 dB louder."""
    root = tmp_path_factory.mktemp("listening")
    noise = np.random.default_rng(0).standard_normal((24000, 2)) * 0.05
    for name in SONGS:
        asked = payload(section="verse", **{"global": {"bpm": 100, "energy": 0.1 * len(name)}})
        scene = engineer(asked)
        moved = [t.model_copy(update={"az_deg": t.az_deg + 9}) if t.id == "pad" else t for t in scene.objects]
        for way, one, gain in (
            ("engineer", scene, 1.0), ("model", scene.model_copy(update={"objects": moved}), 2.0),
        ):  # fmt: skip
            folder = root / way / name
            folder.mkdir(parents=True)
            (folder / "payload.json").write_text(json.dumps(as_dict(asked)))
            (folder / "scene.json").write_text(json.dumps(as_dict(one)))
            soundfile.write(folder / "mix.binaural.wav", gain * noise, 48000, subtype="PCM_24")
    assert main(["listen", str(root / "engineer"), str(root / "model"), "--out", str(root / "test")]) == 0
    return root / "test"


def chosen(test: Path, name: str, prefer: str | None, skip: tuple[str, ...] = ()) -> Path:
    """A file of answers by somebody who always prefers one set."""
    key = json.loads((test / "key.json").read_text())
    answers: list[dict[str, Any]] = []
    for trial in key["trials"]:
        sound = next((sound for sound, whose in trial["sounds"].items() if whose == prefer), None)
        answers.append({"trial": trial["trial"], "chosen": None if trial["name"] in skip else sound})
    path = test.parent / name
    path.write_text(
        json.dumps({"format": "physworld listening answers 1", "test": key["test"], "answers": answers})
    )  # fmt: skip
    return path


def test_the_page_is_whole_and_blind_and_its_sounds_equally_loud(test: Path) -> None:
    page = (test / "index.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "") and "__TEST__" not in page
    assert not any(word in page for word in ("engineer", "model", *SONGS))
    key = json.loads((test / "key.json").read_text())
    for trial in key["trials"]:
        assert set(trial["sounds"].values()) == {"engineer", "model"}
        one, two = (soundfile.read(test / "sounds" / f"{name}.flac")[0] for name in trial["sounds"])
        assert np.abs(one - two).max() < 1e-4  # the louder one was turned down by 6.02 dB
    assert len(list((test / "sounds").iterdir())) == 2 * len(SONGS)


def test_answers_are_counted(test: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [chosen(test, "a.json", "model"), chosen(test, "b.json", "model", skip=("ant", "cow"))]
    assert main(["listen", str(test), "--answers", *map(str, files)]) == 0
    said = capsys.readouterr().out
    assert "engineer: chosen 0 times" in said and "model: chosen 10 times" in said and "no difference: 2 times" in said
    sets, choices = read_choices(test / "key.json", files)
    assert "preferred in 0 % (0-28)" in " ".join(tally(sets, choices))  # Wilson's bound for 0 of 10: 0.2775


def test_who_is_asked_about_a_song_again_has_one_vote_on_it(test: Path) -> None:
    """Ten answers of one listener about one song are no ten listeners: a sign test of them would say p = 0.002."""
    sets, (choice, *_) = read_choices(test / "key.json", [chosen(test, "e.json", "model")])
    said = " ".join(tally(sets, [replace(choice, trial=f"t1{letter}") for letter in "abcdefghij"]))
    assert "preferred in 0 % (0-79) of the 1 votes" in said and said.count("probability 1") == 1
    split = [replace(choice, chosen=who) for who in ("model", "engineer", "engineer", None)]
    assert "preferred in 100 % (21-100) of the 1 votes" in " ".join(tally(sets, split))
    others = [replace(choice, listener=n) for n in range(10)]
    assert "preferred in 0 % (0-28) of the 10 votes" in " ".join(tally(sets, others))
    assert "votes" not in " ".join(tally(sets, split[:2]))


def test_preferences_are_pairs_to_learn_from(test: Path) -> None:
    answers = [str(chosen(test, "c.json", "model", skip=("cow",)))]
    train, val = (
        ListenedPairs(seed=0, split=split, key=str(test / "key.json"), answers=answers) for split in ("train", "val")
    )
    songs = len(train.pairs) + len(val.pairs)
    assert songs == len(SONGS) - 1 and len(val.pairs) >= 1
    codec = PointerCodec()
    for k in range(2 * len(train.pairs)):
        good, other = train.sample(k - k % 2), train.sample(k - k % 2 + 1)
        pad = [next(t.az_deg for t in s.target.objects if t.id == "pad") for s in (good, other)]
        assert pad[0] == pad[1] + 9 and good.given is other.given
        codec.encode(train.sample(k))
    assert val.sample(1).target == val.pairs[1 % len(val.pairs)][1]
    with pytest.raises(FormatError, match="no listener preferred"):
        nobody = [str(chosen(test, "d.json", None))]
        ListenedPairs(seed=0, split="train", key=str(test / "key.json"), answers=nobody)


def test_a_command_learns_from_a_test(test: Path) -> None:
    """`model=tiny_gravity_dpo data=listened` makes pairs of what was preferred; another model is refused by name."""
    answers = chosen(test, "e.json", "model")
    words = ["data=listened", f"data.key={test / 'key.json'}", f"data.answers=[{answers}]", "hardware=cpu"]
    parts = build(composed("train", "model=tiny_gravity_dpo", "hardware.num_workers=0", *words))
    good, other = (parts.data.train.sample(k) for k in (0, 1))
    assert good.given is other.given and good.target != other.target
    with pytest.raises(UserError, match="use model=tiny_gravity_dpo"):
        build(composed("train", "model=tiny_gravity", *words))
    with pytest.raises(UserError, match=r"data\.key=key\.json and data\.answers"):
        build(composed("train", "model=tiny_gravity_dpo", "data=listened", "hardware=cpu"))
    with pytest.raises(UserError, match=r"data\.repeat=5 cuts a pair"):
        build(composed("train", "model=tiny_gravity_dpo", "data.repeat=5", *words))
    parts = build(composed("train", "model=tiny_gravity_dpo", "data.repeat=4", "hardware.num_workers=0", *words))
    assert parts.data.train.sample(4).given is parts.data.train.sample(5).given


def test_what_does_not_fit_is_one_sentence(test: Path, tmp_path: Path) -> None:
    root = test.parent
    with pytest.raises(UserError, match="hold no mixes of one name"):
        make_test(root / "engineer", test, tmp_path / "out")
    with pytest.raises(UserError, match="both sides"):
        make_test(root / "engineer", root / "engineer", tmp_path / "out")
    (tmp_path / "again").symlink_to(root / "engineer")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "ant").symlink_to(root / "engineer" / "ant")
    for same in (tmp_path / "again", root / "model" / ".." / "engineer", tmp_path / "mine"):
        with pytest.raises(UserError, match="are one and the same mix"):
            make_test(root / "engineer", same, tmp_path / "out")
    with pytest.raises(UserError, match="different payloads"):
        (tmp_path / "ant").mkdir()
        for file in (root / "model" / "ant").iterdir():
            (tmp_path / "ant" / file.name).write_bytes(file.read_bytes())
        (tmp_path / "ant" / "payload.json").write_text(json.dumps(as_dict(payload(style="jazz"))))
        make_test(root / "engineer", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="no key of a listening test"):
        read_choices(root / "a.json", [])
    stranger = tmp_path / "other.json"
    stranger.write_text(json.dumps({"format": "physworld listening answers 1", "test": "x", "answers": []}))
    with pytest.raises(UserError, match="another listening test"):
        read_choices(test / "key.json", [stranger])


def test_the_key_of_a_long_test_is_read(test: Path, tmp_path: Path) -> None:
    """Eight songs of eight sections, asked about twice, are more bytes than a scene may have."""
    key = json.loads((test / "key.json").read_text())
    key["trials"] = [{**one, "trial": f"{one['trial']}{n}"} for n in range(100) for one in key["trials"]]
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key, indent=1))
    assert path.stat().st_size > 1_000_000
    said = json.loads(chosen(test, "h.json", "model").read_text())
    said["answers"] = [{**one, "trial": f"{one['trial']}7"} for one in said["answers"]]
    (tmp_path / "said.json").write_text(json.dumps(said))
    assert len(read_choices(path, [tmp_path / "said.json"])[1]) == len(SONGS)


def test_the_probability_is_of_both_sides(test: Path) -> None:
    """Five of five: 1 in 32 for one side, and as much for the other. 0 % or more would have probability 1."""
    sets, (choice, *_) = read_choices(test / "key.json", [chosen(test, "i.json", "model")])
    for who, share in (("engineer", 100), ("model", 0)):
        said = " ".join(tally(sets, [replace(choice, chosen=who, listener=n) for n in range(5)]))
        assert f"engineer is preferred in {share} %" in said
        assert "by chance a share as far from 50 % or farther has probability 0.062" in said


def test_an_answer_counts_once(test: Path, tmp_path: Path) -> None:
    whole = json.loads(chosen(test, "f.json", "model").read_text())
    first, again = tmp_path / "first.json", tmp_path / "again.json"
    whole |= {"listener": "ann", "started": "2026-01-02T03:04:05.678Z"}
    for path in (first, again):
        path.write_text(json.dumps(whole))
    with pytest.raises(UserError, match="hold the same answers"):
        read_choices(test / "key.json", [first, again])
    again.write_text(json.dumps({**whole, "started": "2026-01-02T03:04:05.679Z"}))
    assert len(read_choices(test / "key.json", [first, again])[1]) == 2 * len(SONGS)
    first.write_text(json.dumps({**whole, "answers": whole["answers"] + whole["answers"][:1]}))
    with pytest.raises(UserError, match="answers t001 twice"):
        read_choices(test / "key.json", [first])


@pytest.mark.parametrize("change", [{"trial": ["t001"]}, {"trial": {}}, {"chosen": ["x"]}, {"chosen": {}}])
def test_answers_of_another_kind_are_one_sentence(test: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    whole = json.loads(chosen(test, "g.json", "model").read_text())
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({**whole, "answers": [{**whole["answers"][0], **change}]}))
    with pytest.raises(UserError, match="is no answer of this test"):
        read_choices(test / "key.json", [path])


@pytest.mark.parametrize("whose", ["stranger", ["model"], None])
def test_a_key_whose_sounds_are_of_no_set_is_damaged(test: Path, tmp_path: Path, whose: Any) -> None:
    key = json.loads((test / "key.json").read_text())
    sounds = key["trials"][0]["sounds"]
    sounds[next(iter(sounds))] = whose
    (tmp_path / "key.json").write_text(json.dumps(key))
    with pytest.raises(UserError, match="damaged key"):
        read_choices(tmp_path / "key.json", [chosen(test, "h.json", "model")])


def test_a_key_with_one_set_is_damaged(test: Path, tmp_path: Path) -> None:
    key = json.loads((test / "key.json").read_text())
    key["sets"] = ["model", "model"]
    for trial in key["trials"]:
        trial["sounds"] = dict.fromkeys(trial["sounds"], "model")
        del trial["scenes"]["engineer"]
    (tmp_path / "key.json").write_text(json.dumps(key))
    with pytest.raises(UserError, match="damaged key"):
        read_choices(tmp_path / "key.json", [])


@pytest.mark.parametrize("channels", [1, 12])
def test_sounds_of_other_channels_are_refused(channels: int, test: Path, tmp_path: Path) -> None:
    shutil.copytree(test.parent / "model" / "ant", tmp_path / "ant")
    soundfile.write(tmp_path / "ant" / "mix.binaural.wav", np.zeros((480, channels)), 48000)
    with pytest.raises(UserError, match="are not two stereo files"):
        make_test(test.parent / "engineer", tmp_path, tmp_path / "out")


def test_a_listener_answers_in_a_browser(test: Path, tmp_path: Path) -> None:
    """No answer before both were heard; the saved file is one that is read."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium is installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as kit:
        flags = ["--autoplay-policy=no-user-gesture-required", "--no-sandbox"]
        browser = kit.chromium.launch(executable_path=program, args=flags)
        page = browser.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((test / "index.html").as_uri())
        page.fill("#listener", "Ann B.")
        page.click("#start")
        assert page.is_disabled("#choose1")
        page.keyboard.press("Space")
        page.keyboard.press("2")
        assert page.get_attribute("#two", "aria-pressed") == "true"
        for _ in SONGS:
            page.evaluate("heard = [1, 1]; ready()")  # what a second of each would do
            page.click("#choose2")
        with page.expect_download() as saved:
            page.click("#save")
        saved.value.save_as(tmp_path / saved.value.suggested_filename)
        browser.close()
    assert complaints == []
    (file,) = tmp_path.iterdir()
    assert file.name.endswith("-AnnB.json")
    said = json.loads(file.read_text())
    _, choices = read_choices(test / "key.json", [file])
    assert len(choices) == len(SONGS) and all(choice.chosen is not None for choice in choices)
    assert all(one["chosen"] == one["offered"][1] for one in said["answers"]) and said["listener"] == "Ann B."
