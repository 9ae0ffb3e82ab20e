"""The page without a server: codec, simulator and model are those of Python, and a person can play with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

NODE = shutil.which("node")
if NODE is None or shutil.which("emcc") is None:
    pytest.skip("node or emcc is not installed (Debian: apt-get install nodejs emscripten)", allow_module_level=True)

import physworld as pw
from physworld import scenarios
from physworld.cli import main
from physworld.errors import UserError
from physworld.play.export import PAGE
from physworld.play.reading import shown
from physworld.play.wasm import compiled
from physworld.play.worlds import Hand, Worlds, packed
from physworld.science import Model
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.islands import IslandCodec
from physworld.text.codecs.scene_json import read_jsonl, scene_from_dict, scene_to_dict, write_jsonl
from physworld.types import Scene, Trajectory

STEPS = 115  # of each type
EVERY = 5  # of these is a frame that is compared: 23 of each of 45 types
CROWD = Scene(  # more bodies than there are names, in one island
    name="own", category="own", difficulty=1, text="",
    bodies=tuple(pw.Body.circle(10.0, position=(20.0 + 20.0 * k, 30.0), velocity=(0.0, -20.0)) for k in range(150)),
    static=(pw.Segment(start=(0.0, 15.0), end=(4000.0, 15.0), radius=5.0),),
)  # fmt: skip
THROWN = scenarios.build("billiards", generator(2, "val", 0), 1)


@pytest.fixture(scope="module")
def shipped() -> Model:
    return pw.load("shipped")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        compiled()
    except UserError as error:
        if not str(error).startswith("pip could not fetch"):
            raise
        pytest.skip("pymunk's source is neither kept from an earlier export nor to be had from the package index")
    folder = tmp_path_factory.mktemp("web") / "physics" / "page"
    assert main(["play", "--export", str(folder)]) == 0
    return folder


def rows(run: Trajectory) -> np.ndarray:
    """(T, N, 6) x, y, angle, vx, vy, spin."""
    return np.concatenate([run.position, run.angle[..., None], run.velocity, run.spin[..., None]], axis=-1)


@pytest.fixture(scope="module")
def runs() -> list[Trajectory]:
    drawn = [scenarios.build(n, generator(3, "val", k), 1 + k % 5) for k, n in enumerate(scenarios.names())]
    return [simulate(scene, STEPS + 1) for scene in [*drawn, CROWD]]


@pytest.fixture(scope="module")
def told(site: Path, runs: list[Trajectory], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the scripts of the exported page say to the same frames, in node."""
    work = tmp_path_factory.mktemp("equal")
    shutil.copytree(site / "web", work / "web")
    (work / "package.json").write_text('{"type": "module"}')
    codec, scenes = IslandCodec(shuffle_names=False), []
    for number, run in enumerate(runs):
        texts, table = ImpulseCodec.encode_frames(codec, run), rows(run)
        answers = {t: texts[t].labels[texts[t].labels >= 0] for t in range(0, STEPS, EVERY)}
        frames = [{"rows": table[t].tolist(), "answer": answer.tolist()} for t, answer in answers.items()]
        asks = [10] if number % 3 == 0 and len(run.scene.bodies) < 30 else []
        own = {"frames": frames, "asks": asks, "steps": STEPS, "first": codec._first_name(run.scene)}
        scenes.append({"scene": scene_to_dict(run.scene), **own})
    body = pw.Body.circle(20.0, position=(200.0, 400.0))
    refused = [replace(body, kind="kinematic"), replace(body, sensor=True), replace(body, position=(12345.0, 0.0))]
    scene = scene_to_dict(THROWN)
    impossible = [3, {**scene, "bodies": []}, {**scene, "dt": 2}, {**scene, "gravity": [None, 0]}]
    impossible += [{**scene, "joints": [{"type": "pivot", "body_a": 0, "body_b": 99, "anchor_a": [0, 0]}]}, scene]
    acts: list[list[Any]] = [["step", 4], ["hold", {"body": 0, "x": 300, "y": 350}], ["step", 3], ["hold", None]]
    acts += [["step", 3], ["backTo", 6], ["change", {"gravity": [0, -500], "friction": 0.2}], ["step", 5]]
    asked = {
        "scenes": scenes,
        "refused": [scene_to_dict(pw.Scene(bodies=(one,))) for one in refused],
        "impossible": impossible,
        "acts": {"scene": scene, "list": acts},
    }
    (work / "asked.json").write_text(json.dumps(asked))
    script = [str(NODE), str(Path(__file__).with_name("equal.mjs")), str(work), str(work / "asked.json")]
    done = subprocess.run(script, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_thousand_frames_read_token_for_token(told: dict[str, Any], runs: list[Trajectory]) -> None:
    codec, frames = IslandCodec(shuffle_names=False), 0
    for run, own in zip(runs, told["told"], strict=True):
        for t, documents in zip(range(0, STEPS, EVERY), own["documents"], strict=True):
            assert documents == [part.tolist() for part in codec.prompts(run.window(t, t + 1))], (run.scene.name, t)
            frames += 1
    assert frames == 46 * 23
    cut = told["told"][-1]["documents"][0]
    assert len(cut) > 1 and sum(part.count(19) for part in cut) > 150  # the crowd's island, with neighbours


def test_a_thousand_answers_move_the_bodies_alike(told: dict[str, Any], runs: list[Trajectory]) -> None:
    codec = IslandCodec(shuffle_names=False)
    for run, own in zip(runs, told["told"], strict=True):
        texts = ImpulseCodec.encode_frames(codec, run)
        for t, moved in zip(range(0, STEPS, EVERY), own["next"], strict=True):
            labels = texts[t].labels
            state = codec.decode(labels[labels >= 0], run.window(t, t + 1))
            assert state is not None
            exact = rows(Trajectory.of(run.scene, [state]))[0]
            assert np.abs(np.array(moved) - exact).max() < 1e-9 and np.isclose(moved, exact, rtol=1e-15).mean() > 0.99


def test_the_simulator_is_pymunk(told: dict[str, Any], runs: list[Trajectory]) -> None:
    """The same C: only the sines of two mathematical libraries differ, by one unit in the last place."""
    exact = 0
    for run, own in zip(runs, told["told"], strict=True):
        off = np.abs(np.array(own["run"]) - rows(run)[1:]).reshape(STEPS, -1).max(axis=1)
        assert off[0] < 1e-9 and off[:60].max() < 5e-4, run.scene.name  # half of the last printed digit
        exact += off.max() == 0
    assert exact >= 15


def test_energy_and_momentum(told: dict[str, Any], runs: list[Trajectory]) -> None:
    for run, own in zip(runs, told["told"], strict=True):
        seen = Trajectory.of(run.scene, [run.frame(t) for t in range(0, STEPS, EVERY)])
        energy, momentum = pw.compare(seen, seen).energy[:, 0], pw.compare(seen, seen).momentum[:, 0]
        expected = np.stack([energy, np.linalg.norm(momentum, axis=1)], axis=1)
        assert np.allclose(own["figures"], expected, rtol=1e-9, atol=1e-9), run.scene.name


def test_the_model_says_the_same(told: dict[str, Any], runs: list[Trajectory], shipped: Model) -> None:
    codec, same, words = shipped.codec, 0, 0
    assert isinstance(codec, IslandCodec)
    for run, own in zip(runs, told["told"], strict=True):
        for answers, reads, says in zip(own["answers"], own["reads"], own["says"], strict=True):
            worlds = Worlds(run.scene, shipped, run.frame(10 * EVERY))
            said = worlds.step().said
            assert said is not None
            order = sorted(range(len(said.prompts)), key=lambda k: int(said.prompts[k][1]))  # by the first body
            mine = [said.answers[k].tolist() for k in order]
            words += sum(map(len, mine))
            same += sum(
                a == b for one, other in zip(mine, answers, strict=True) for a, b in zip(one, other, strict=True)
            )
            assert reads == [codec.text(said.prompts[k]).splitlines() for k in order]
            if mine != answers or len(mine) > 24:
                continue
            shown_here = shown(shipped, said)["documents"]
            for k, lines in zip(order, says, strict=True):
                pairs = zip(shown_here[k]["says"], lines, strict=True)
                for (word, doubt), (other, other_doubt) in [w for pair in pairs for w in zip(*pair, strict=True)]:
                    assert word == other
                    assert np.allclose(np.float64(doubt), np.float64(other_doubt), rtol=0.02, atol=2e-3)
    assert words > 300 and same >= 0.99 * words


def test_a_hand_going_back_and_another_world(told: dict[str, Any], shipped: Model) -> None:
    worlds, moments = Worlds(THROWN, shipped), []

    def steps(count: int) -> None:
        for _ in range(count):
            worlds.step()
            moments.append(packed(worlds.now, len(worlds.moments) - 1))

    steps(4)
    worlds.hold(Hand(body=0, x=300.0, y=350.0))
    steps(3)
    worlds.hold(None)
    steps(3)
    worlds.back_to(6)
    worlds.change((0.0, -500.0), 0.2, None)
    steps(5)
    for mine, other in zip(moments, told["moments"], strict=True):
        assert mine["t"] == other["t"]
        for key in ("truth", "guess", "rmse", "energy", "momentum"):
            assert np.allclose(mine[key], other[key], atol=1e-3), (mine["t"], key)


def test_a_saved_file_is_as_python_writes_it(told: dict[str, Any], runs: list[Trajectory], tmp_path: Path) -> None:
    for run, own, again in zip(runs, told["told"], told["again"], strict=True):
        seen = Trajectory.of(run.scene, [run.frame(t) for t in range(0, STEPS, EVERY)])
        write_jsonl(tmp_path / "own.jsonl", seen)
        expected = (tmp_path / "own.jsonl").read_text().splitlines()
        assert list(map(json.loads, own["file"].splitlines())) == list(map(json.loads, expected)), run.scene.name
        assert scene_from_dict(again["scene"]) == run.scene
    _, no_header, foreign, other = told["unread"]
    assert told["unread"][0] == "b.jsonl line 1: this is not valid JSON." and "scene_header" in no_header
    assert "was not written by physworld" in foreign and "version 9" in other


def test_a_gif_holds_the_pictures_and_the_time(tmp_path: Path) -> None:
    """Few colours come back exactly, many as the nearest of 255; what stays the same is not written twice."""
    rng, (high, wide) = np.random.default_rng(0), (60, 80)
    few = np.full((7, high, wide, 3), 24, np.uint8)
    for k in range(5):  # the sixth is like the fifth, and the seventh is noise, which fills the table of codes
        few[k:6, 10 : 10 + 4 * k + 4, 5 + 9 * k :] = (200, 40 * k, 8)
    few[6] = rng.integers(0, 8, (high, wide, 1)) * 32
    many = rng.integers(0, 256, (3, high, wide, 3), np.uint8)
    for name, frames in (("few", few), ("many", many)):
        pixels = np.concatenate([frames, np.full_like(frames[..., :1], 255)], -1)
        (tmp_path / f"{name}.raw").write_bytes(pixels.tobytes())
    script = (
        f"import {{ gif }} from {json.dumps((PAGE.parent / 'web' / 'gif.js').as_uri())}; import fs from 'fs';"
        "for (const [name, count] of [['few', 7], ['many', 3]]) {"
        "  const raw = fs.readFileSync(`${name}.raw`), size = raw.length / count;"
        f"  const parts = await gif(count, [{wide}, {high}], 1 / 30, (k) => raw.subarray(k * size, (k + 1) * size));"
        "  fs.writeFileSync(`${name}.gif`, Buffer.concat(parts)); }"
    )
    done = subprocess.run(
        [str(NODE), "--input-type=module", "--eval", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name, frames, most in (("few", few, 0), ("many", many, 64)):
        with Image.open(tmp_path / f"{name}.gif") as picture:
            durations = []
            for k in range(len(frames)):
                picture.seek(k)
                off = np.abs(np.array(picture.convert("RGB")).astype(int) - frames[k])
                assert np.median(off) <= most / 4 and (most or not off.any()), (name, k)
                durations.append(picture.info["duration"])
            assert abs(sum(durations) - 1000 * len(frames) / 30) <= 5 and picture.n_frames == len(frames)


def test_what_cannot_be(told: dict[str, Any]) -> None:
    kinematic, sensor, far = told["refused"]
    assert kinematic == "a kinematic body cannot be written as islands text" and sensor.startswith("a sensor cannot")
    assert far.startswith("the number 12345 cannot be written")
    *sentences, fine = told["impossible"]
    assert fine == "" and sentences[0] == "This is no scene." and "has 0 bodies" in sentences[1]
    assert "dt must be at most 1" in sentences[2] and "gravity" in sentences[3] and "0 and 99" in sentences[4]
    assert all(sentence.endswith(".") for sentence in sentences)


def test_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "other.tar.gz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="cannot be read as pymunk's source distribution"):
        compiled(tmp_path / "other.tar.gz")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="install it: apt-get install emscripten"):
        compiled()
    (tmp_path / "file").write_text("")
    assert main(["play", "--export", str(tmp_path / "file")]) == 1
    assert "is a file; give a folder." in capsys.readouterr().err
    assert main(["play", "--chipmunk", "x.tar.gz", "--no-browser"]) == 1
    assert "--chipmunk goes with --export." in capsys.readouterr().err
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 25e6


# --- in a browser


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Served as `python -m http.server` does, and not at the root."""

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(site.parents[1]))

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/physics/page/"
        server.shutdown()


def test_a_person_plays_without_a_server(address: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium is installed (Debian: apt-get install chromium)")
    tools = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with tools.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        complaints: list[str] = []
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda one: None if one.url.startswith(address) else complaints.append(one.url))

        def until(condition: str) -> None:
            deadline = time.monotonic() + 60
            while not page.evaluate(condition):
                assert time.monotonic() < deadline, condition
                page.wait_for_timeout(30)

        page.goto(address)
        until("!!window.physworld && !!physworld.frames[0] && !!physworld.frames[0].guess")
        assert all(page.is_visible(name) for name in ("#open", "#jsonl", "#gif", "#link"))
        page.select_option("#type", "tower")
        until("physworld.scene.name === 'tower' && physworld.settled")
        page.click("#play")
        until("physworld.frames.length > 10")
        page.click("#play")
        page.click("#text summary")
        until("documents.innerText.includes('self o') && documents.innerText.includes('end')")
        page.click("#blank")
        until("physworld.scene.name === 'own' && physworld.frames.length === 1")
        box = page.evaluate("(b => [b.left, b.top, b.width, b.height])(truth.getBoundingClientRect())")

        def drag(*places: tuple[float, float]) -> None:
            at = [(box[0] + x / 800 * box[2], box[1] + (1 - y / 600) * box[3]) for x, y in places]
            page.mouse.move(*at[0])
            page.mouse.down()
            for place in at[1:]:
                page.mouse.move(*place, steps=4)
            page.mouse.up()

        page.get_by_role("radio", name="Wall").click()
        drag((100, 200), (300, 200))
        until("physworld.scene.static.length === 4")
        page.get_by_role("radio", name="Grab").click()
        drag((250, 400), (300, 430), (380, 460))  # throws the ball
        until("physworld.settled && physworld.scene.bodies[0].position[0] > 370")
        page.click("#step")
        until("physworld.frames.length === 2")
        with page.expect_download() as saved:
            page.click("#jsonl")
        saved.value.save_as(tmp_path / "own.jsonl")
        assert len(read_jsonl(tmp_path / "own.jsonl").scene.static) == 4
        with page.expect_download() as saved:
            page.click("#gif")
        saved.value.save_as(tmp_path / "own.gif")
        with Image.open(tmp_path / "own.gif") as picture:  # simulator, model, both
            assert picture.size == (900, 225) and picture.n_frames == 1
            shown = np.array(picture.convert("RGB")).astype(int)
        ball = shown[:, :300][(np.abs(shown[:, :300] - (0, 114, 178)).sum(-1) < 90)]
        assert len(ball) > 50 and (shown[:, :299] == shown[:, 300:599]).mean() > 0.9
        page.click("#blank")
        until("physworld.settled && physworld.scene.static.length === 3")
        page.set_input_files("#file", tmp_path / "own.jsonl")
        until("physworld.settled && physworld.scene.static.length === 4 && physworld.frames.length === 1")
        (tmp_path / "foreign.jsonl").write_text('{"type": "scene_header"}')
        page.set_input_files("#file", tmp_path / "foreign.jsonl")
        until("!notice.hidden")
        assert "this file was not written by physworld" in page.inner_text("#notice")
        page.click("#link")
        until("location.hash.length > 100")
        page.goto("about:blank")
        page.go_back()
        until("!!window.physworld && physworld.frames.length > 0 && physworld.scene.static.length === 4")
        for tab in ("Video", "Spatial"):
            page.get_by_role("link", name=tab).click()
            until("document.querySelector('main p')?.innerText.includes('run physworld play')")
            page.get_by_role("link", name="Bodies").click()
            until("!!window.physworld && physworld.frames.length > 0")
        page.goto("about:blank")
        page.goto(f"{address}#scene=rubbish")
        until("!!window.physworld && physworld.frames.length > 0")
        assert "The address holds no scene that can be read" in page.inner_text("#notice")
        assert complaints == []
        browser.close()
