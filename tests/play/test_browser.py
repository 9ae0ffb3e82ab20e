"""The page in a browser as a person uses it: draw, throw, save, reload, by mouse and by keyboard alone."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import shutil
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no chromium is installed (Debian: apt-get install chromium)", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra `play` is not installed")

from physworld.play.server import application
from physworld.text.codecs.scene_json import read_jsonl


class Server:
    """The real server in a thread."""

    def __init__(self, port: int = 0, given: Sequence[Path] = ()) -> None:
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.bind(("127.0.0.1", port))
        self.port = int(self.listening.getsockname()[1])
        config = uvicorn.Config(
            application(given=given), log_level="error", ws="websockets-sansio", timeout_graceful_shutdown=1
        )
        self.server = uvicorn.Server(config)
        run = self.server.serve(sockets=[self.listening])
        self.thread = threading.Thread(target=asyncio.run, args=(run,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=10)
        self.listening.close()


class Person:
    """A browser's page, and everything that it complained of."""

    def __init__(self, page: Any, address: str, ready: str = "physworld.frames.length > 0") -> None:
        self.page, self.complaints = page, list[str]()
        page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(address)
        self.until(f"!!window.physworld && {ready}")

    def until(self, condition: str, seconds: float = 60) -> None:
        """Polled from here: the page's policy forbids evaluated code, which waiting in the page would need."""
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, condition
            self.page.wait_for_timeout(30)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place of the world on the screen, of the simulator's canvas."""
        box = self.page.evaluate("(b => [b.left, b.top, b.width, b.height])(truth.getBoundingClientRect())")
        return box[0] + x / 800 * box[2], box[1] + (1 - y / 600) * box[3]

    def drag(self, *places: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.at(*place), steps=4)
        self.page.mouse.up()

    def tool(self, name: str) -> None:
        self.page.get_by_role("radio", name=name).click()

    def scene(self) -> dict[str, Any]:
        return dict(self.page.evaluate("physworld.scene"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as tools:
        started = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def test_draw_throw_save_and_reload(browser: Any, server: Server, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    me = Person(context.new_page(), f"http://127.0.0.1:{server.port}/")
    page = me.page
    page.select_option("#model", "ballistic")
    page.click("#blank")
    me.until("physworld.scene.name === 'own' && physworld.frames.length === 1")

    me.tool("Wall")
    me.drag((100, 200), (300, 200))
    me.until("physworld.scene.static.length === 4")
    wall = me.scene()["static"][-1]
    assert abs(wall["start"][0] - 100) < 3 and abs(wall["end"][0] - 300) < 3 and abs(wall["end"][1] - 200) < 3
    me.tool("Box")
    me.drag((400, 300), (460, 350))
    me.until("physworld.scene.bodies.length === 2")
    me.tool("Spring")
    me.drag((430, 500), (430, 325))
    me.until("physworld.scene.joints.length === 1")
    assert me.scene()["joints"][0] | {"anchor_a": 0, "length": 0} == {
        "type": "spring", "body_a": -1, "body_b": 1, "anchor_a": 0, "anchor_b": [0, 0], "length": 0, "stiffness": 40,
        "damping": 0.5,
    }  # fmt: skip

    me.tool("Grab")  # throw the ball to the right while the world stands, and see it fly there
    me.drag((250, 400), (300, 430), (380, 460))
    me.until("physworld.settled && physworld.scene.bodies[0].position[0] > 370")
    assert me.scene()["bodies"][0]["velocity"][0] > 50
    page.click("#play")
    me.until("physworld.frames.length > 10")
    page.click("#play")
    me.until("!physworld.running")
    assert page.evaluate("physworld.frames[8].truth[0][0] > physworld.frames[0].truth[0][0]")
    page.click("#text summary")

    with page.expect_download() as saved:
        page.click("#jsonl")
    saved.value.save_as(tmp_path / "own.jsonl")
    run = read_jsonl(tmp_path / "own.jsonl")
    assert (
        len(run.scene.bodies) == 2 and abs(run.position[8] - page.evaluate("physworld.frames[8].truth")[0][0]).min() < 1
    )
    with page.expect_download() as saved:
        page.click("#gif")
    saved.value.save_as(tmp_path / "own.gif")
    assert (tmp_path / "own.gif").read_bytes().startswith(b"GIF89a")

    page.click("#link")
    me.until("!notice.hidden && notice.textContent.includes('link')")  # the address held the scene's beginning before
    bodies = page.evaluate("physworld.frames[physworld.at].truth")
    again = Person(context.new_page(), page.url)
    again.until("physworld.scene.bodies.length === 2")
    assert abs(again.page.evaluate("physworld.frames[0].truth")[0][0] - bodies[0][0]) < 1e-3

    again.page.set_input_files("#file", tmp_path / "own.jsonl")
    again.until("physworld.frames.length === 1 && physworld.scene.static.length === 4")
    (tmp_path / "broken.jsonl").write_text('{"type": "scene_header", "objects": NaN}')
    again.page.set_input_files("#file", tmp_path / "broken.jsonl")
    again.until("!notice.hidden")
    assert "broken.jsonl line 1: NaN is not a finite number." in again.page.inner_text("#notice")
    assert again.page.evaluate("physworld.scene.static.length") == 4
    assert me.complaints == [] and [c for c in again.complaints if "status of 400" not in c] == []
    context.close()


def test_the_keyboard_alone(browser: Any, server: Server) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    me = Person(context.new_page(), f"http://127.0.0.1:{server.port}/")
    page = me.page
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.keyboard.press("Space")
    me.until("physworld.frames.length > 3")
    page.keyboard.press("Space")
    me.until("!physworld.running")
    frames = page.evaluate("physworld.frames.length")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("physworld.at") == frames - 2
    page.keyboard.press("r")
    me.until("physworld.frames.length === 1")
    page.focus("#truth")
    page.keyboard.press("n")
    before = me.scene()["bodies"][1]["velocity"][0]
    page.keyboard.press("ArrowRight")
    me.until(f"physworld.scene.bodies[1].velocity[0] > {before} + 49")
    page.focus("#numbers input")
    page.keyboard.press("Control+A")
    page.keyboard.type("3.5")
    page.keyboard.press("Enter")
    me.until("Math.abs(physworld.scene.bodies[1].position[0] - 350) < 1e-6")
    page.focus("#tools button")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("physworld.tool") == "circle"
    assert me.complaints == []
    context.close()


def test_rubbish_in_the_address_and_a_closed_line(browser: Any) -> None:
    own = Server()
    deflate = zlib.compressobj(wbits=-15)
    bad = deflate.compress(json.dumps({"bodies": [{"shape": "circle", "size": [-1]}]}).encode()) + deflate.flush()
    hashes = {
        "#scene=rubbish": "The address holds no scene that can be read",
        f"#scene={base64.urlsafe_b64encode(bad).decode().rstrip('=')}": "lacks the key",
    }
    for typed, sentence in hashes.items():
        context = browser.new_context()
        me = Person(context.new_page(), f"http://127.0.0.1:{own.port}/{typed}")
        assert sentence in me.page.inner_text("#notice") and me.scene()["name"] == "billiards"
        if sentence != "lacks the key":
            context.close()
    own.stop()
    me.until("!again.hidden")
    assert "The connection to physworld is closed; what you see is kept." in me.page.inner_text("#notice")
    assert me.scene()["name"] == "billiards" and me.page.evaluate("physworld.frames.length") == 1
    back = Server(own.port)
    me.page.click("#again")
    me.until("again.hidden && physworld.settled")
    me.page.click("#step")
    me.until("physworld.frames.length === 2")
    context.close()
    back.stop()


def test_a_spatial_scene_is_dragged_broken_repaired_and_heard(browser: Any, server: Server, tmp_path: Path) -> None:
    pytest.importorskip("pydantic", reason="the extra `spatial` is not installed")
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    me = Person(context.new_page(), f"http://127.0.0.1:{server.port}/spatial", "!!physworld.scene")
    page = me.page
    assert page.inner_text("#verdict") == "keeps every rule"

    def pose(name: str) -> list[float]:
        return list(
            page.evaluate(
                f"(o => [o.az_deg, o.el_deg, o.dist_m])(physworld.scene.objects.find(o => o.id === '{name}'))"
            )
        )

    box = page.evaluate("(b => [b.left, b.top, b.width, b.height])(sphere.getBoundingClientRect())")
    middle, radius = (box[0] + box[2] / 2, box[1] + box[3] / 2), 0.44 * min(box[2:])
    az, el, dist = pose("gtr-l")
    reach = radius * math.log1p(dist) / math.log1p(8)
    lift = math.sin(math.radians(35))  # the eye is raised: what is in front of the head is seen above it
    at = (middle[0] - reach * math.sin(math.radians(az)), middle[1] - lift * reach * math.cos(math.radians(az)))
    assert (az, el) == (80, 0)
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(middle[0] - reach * 0.7, middle[1] - reach * 0.4, steps=4)
    page.mouse.up()
    me.until("document.querySelectorAll('#kept li.fail').length > 0")
    assert "anchor:gtr-l@80/0/1.5" in page.inner_text("#kept li.fail") and pose("gtr-l")[:2] != [80, 0]
    assert pose("gtr-l")[2] == dist, "a drag keeps the distance"
    page.click("#mend")
    me.until("verdict.textContent === 'keeps every rule'")
    mended = pose("gtr-l")  # to within the rule's tolerance
    assert abs(mended[0] - 80) <= 1 and abs(mended[1]) <= 1 and "a rule" in page.inner_text("#edits")

    page.focus("#sphere")  # by keyboard alone
    page.keyboard.press("n")
    name, before = page.evaluate("document.getElementById('object').value"), page.evaluate("physworld.chosen")
    was = pose(name)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("+")
    assert before == 1 and pose(name) == [was[0] + 5, was[1], round(was[2] + 0.1, 2)]
    me.until("document.querySelectorAll('#kept li.fail').length > 0")  # the bass has left the middle

    page.click("#hear")
    me.until("physworld.hearing.on && physworld.hearing.parts.length === physworld.scene.objects.length")
    heard = page.evaluate(
        "(n => [physworld.hearing.parts[n].panner.panningModel, physworld.hearing.parts.length])(physworld.chosen)"
    )
    assert heard == ["HRTF", 7]
    page.click("#hear")
    assert page.evaluate("physworld.hearing.on") is False
    with page.expect_download() as saved:
        page.click("#save")
    saved.value.save_as(tmp_path / "scene.json")
    assert json.loads((tmp_path / "scene.json").read_text()) == page.evaluate("physworld.scene")
    page.fill("#rules", "no json")
    page.click("#write")
    me.until("!notice.hidden")
    assert page.inner_text("#notice p") == "Rule 1 is not valid JSON." and me.complaints == []
    context.close()


SLOW_PICTURES = """
const decode = HTMLImageElement.prototype.decode;
HTMLImageElement.prototype.decode = async function () {
  await new Promise((done) => setTimeout(done, 300));
  return decode.call(this);
};
"""  # a busy machine: whoever is quick must not find half a scene


def test_clips_of_a_run_are_made_beside_the_simulators(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("warp", reason="the extra `video` is not installed")
    pytest.importorskip("peft", reason="the extra `video` is not installed")
    from video_runs import video_run

    own = Server(given=[video_run(tmp_path / "run")])
    for width, theme in ((1440, "light"), (390, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        context.add_init_script(SLOW_PICTURES)
        me = Person(context.new_page(), f"http://127.0.0.1:{own.port}/video", "!!physworld.clips.truth")
        page = me.page
        assert page.evaluate("document.documentElement.scrollWidth") == width
        me.until("document.querySelectorAll('#clips canvas').length === 3")  # camera, simulator, wrong on purpose
        page.focus("#height")  # by keyboard alone from here on
        page.keyboard.press("Control+A")
        page.keyboard.type("3")
        page.keyboard.press("Tab")
        me.until("physworld.scene.height === 3 && caption.value.includes('3.00 m')")
        page.focus("#rows input[value=base]")
        page.keyboard.press("Space")
        page.focus("#make")
        page.keyboard.press("Enter")
        me.until("!physworld.making && !!physworld.clips.base")
        assert page.evaluate("[...document.querySelectorAll('#figures tr')].map((row) => row.dataset.clip)") == [
            "truth", "wrong", "lora", "placebo", "base",
        ]  # fmt: skip
        read = page.inner_text("#figures tr[data-clip=truth] td:nth-child(2)")
        assert abs(float(read) / 9.81 - 1) < 0.05
        assert page.get_attribute("#figures tr[data-clip=wrong] td:nth-child(2)", "class") == "bad"
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("physworld.at") == 2 and page.inner_text("#clock") == "0.2 s"
        page.keyboard.press("Space")
        me.until("physworld.at > 4")
        page.fill("#caption", "A dog runs.")
        page.click("#make")
        me.until("!notice.hidden")
        assert "The model cannot read this caption" in page.inner_text("#notice p")
        assert [c for c in me.complaints if "status of 400" not in c] == []
        context.close()
    own.stop()


def test_the_spatial_tab_on_a_narrow_dark_screen(browser: Any, server: Server) -> None:
    pytest.importorskip("pydantic", reason="the extra `spatial` is not installed")
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    me = Person(context.new_page(), f"http://127.0.0.1:{server.port}/spatial", "!!physworld.scene")
    assert me.page.evaluate("document.documentElement.scrollWidth") == 390 and me.complaints == []
    context.close()
