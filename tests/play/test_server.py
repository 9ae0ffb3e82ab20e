"""The page's server: scenes in and out, the live line, and hostile input in one sentence."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra `play` is not installed")
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import physworld as pw
from physworld import scenarios
from physworld.cli import main
from physworld.errors import UserError
from physworld.io.ports import unbound
from physworld.metrics.energy import total_energy
from physworld.play import export
from physworld.play.server import MAX_UPLOAD, Models, application, serve
from physworld.play.worlds import Worlds
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.scene_json import read_jsonl, scene_from_dict, scene_to_dict, write_jsonl
from physworld.types import State

SCENE = pw.Scene(bodies=[pw.Body.circle(20.0, position=(200.0, 400.0), velocity=(60.0, 0.0))])


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(application()) as made:
        yield made


def begin(line: Any, **more: object) -> dict[str, Any]:
    line.send_json({"do": "begin", "scene": scene_to_dict(SCENE), "model": "ballistic", **more})
    assert line.receive_json()["kind"] == "begun"
    return line.receive_json()


def sentence(answer: Any) -> str:
    assert answer.status_code in (400, 413)
    text = str(answer.json()["sentence"])
    assert text.endswith(".") and "\n" not in text and "Traceback" not in text
    return text


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in (
        "style.css",
        "main.js",
        "view.js",
        "tools.js",
        "hands.js",
        "figures.js",
        "documents.js",
        "address.js",
        "icon.svg",
        "video.js",
        "video.css",
        "spatial.js",
        "sphere.js",
        "hearing.js",
    ):
        text = client.get(f"/page/{name}").text.replace("http://www.w3.org/2000/svg", "")
        assert text and "http://" not in text and "https://" not in text, name
    assert client.get("/page/%2e%2e/server.py").status_code == 404  # the client would resolve /../ itself


def test_a_payload_becomes_a_scene_that_is_judged_and_mended(client: TestClient) -> None:
    pytest.importorskip("pydantic", reason="the extra `spatial` is not installed")
    payload = client.get("/api/spatial/choices").json()["payload"]
    made = client.post("/api/spatial/scene", json={"payload": payload}).json()
    assert made["violations"] == [] and {rule["status"] for rule in made["rules"]} == {"pass"}
    scene = made["scene"]
    place = next(n for n, thing in enumerate(scene["objects"]) if thing["id"] == "bass")
    scene["objects"][place]["az_deg"] = 40
    judged = client.post("/api/spatial/check", json={"payload": payload, "scene": scene}).json()
    (broken,) = judged["violations"]
    assert broken.startswith(f"$.objects[{place}]") and "mono_low_end" in broken
    assert [rule["tag"] for rule in judged["rules"] if rule["status"] == "fail"] == ["mono_low_end<120Hz"]
    mended = client.post("/api/spatial/repair", json={"payload": payload, "scene": judged["scene"]}).json()
    assert mended["violations"] == [] and mended["scene"]["objects"][place]["az_deg"] == 0 and mended["edits"]
    scene["objects"][place]["az_deg"] = 400
    assert "az_deg" in sentence(client.post("/api/spatial/check", json={"payload": payload, "scene": scene}))
    assert "no payload: $.style" in sentence(
        client.post("/api/spatial/scene", json={"payload": {**payload, "style": 3}})
    )
    assert sentence(client.post("/api/spatial/check", json={"payload": payload})) == "The request has no 'scene'."
    assert "not valid JSON" in sentence(client.post("/api/spatial/repair", content=b"{"))
    assert "default-src 'self'" in client.get("/spatial").headers["content-security-policy"]


def test_the_page_without_a_server_says_why_a_tab_needs_one(tmp_path: Path) -> None:
    export._page(tmp_path)
    index = (tmp_path / "index.html").read_text()
    for tab, why in export.ELSEWHERE.items():
        page = (tmp_path / f"{tab}.html").read_text()
        assert f'href="{tab}.html"' in index and f'href="{tab}"' not in index
        assert why in page and "<script" not in page and f'href="{tab}.html" aria-current="page"' in page
        assert not list((tmp_path / "page").glob(f"{tab}*")), "no script of a tab that is not there"
    scripts = "".join(path.read_text() for path in (tmp_path / "page").glob("*.js"))
    assert "sphere.js" not in scripts and "hearing.js" not in scripts


def test_every_type_can_be_drawn(client: TestClient) -> None:
    choices = client.get("/api/choices").json()
    assert [t["name"] for t in choices["types"]] == list(scenarios.names())
    assert choices["models"][0] == "shipped" and "ballistic" in choices["models"]
    one, other = (client.get(f"/api/draw?type=plinko&difficulty=3&index={k}").json()["scene"] for k in (0, 1))
    assert one != other and scene_from_dict(one).name == "plinko"
    assert "did you mean 'plinko'" in sentence(client.get("/api/draw?type=plnko"))
    assert "difficulty" in sentence(client.get("/api/draw?type=plinko&difficulty=9"))


def test_a_file_comes_back_as_it_was_saved(client: TestClient, tmp_path: Path) -> None:
    truth = simulate(SCENE, 5)
    write_jsonl(tmp_path / "a.jsonl", truth)
    pw.write_yaml(tmp_path / "a.yaml", SCENE)
    for name in ("a.jsonl", "a.yaml"):
        read = client.post(f"/api/open?name={name}", content=(tmp_path / name).read_bytes()).json()
        assert scene_from_dict(read["scene"]) == SCENE
    rows = [[[*truth.position[t, 0], 0.0, *truth.velocity[t, 0], 0.0]] for t in range(5)]
    asked = {"scene": scene_to_dict(SCENE), "truth": rows, "guess": rows}
    saved = client.post("/api/save", json={"as": "jsonl", **asked})
    assert saved.content == (tmp_path / "a.jsonl").read_bytes()
    with Image.open(BytesIO(client.post("/api/save", json={"as": "gif", **asked}).content)) as gif:
        assert gif.n_frames == 3 and gif.width == 3 * 300 + 8  # type: ignore[attr-defined]
    rows[2][0][0] = "nan"
    assert "six finite numbers" in sentence(client.post("/api/save", json={"as": "gif", **asked}))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", "a.jsonl: the file is empty"),
        ("a.jsonl", b"{", "a.jsonl line 1: this is not valid JSON"),
        ("a.jsonl", b'{"type": "scene_header", "objects": [], "gravity": NaN}', "NaN is not a finite number"),
        ("a.jsonl", b"[" * 100000, "nested too deeply"),
        ("a.jsonl.gz", b"\x1f\x8b junk", "a.jsonl.gz: cannot be read"),
        ("a.parquet", b"PAR1 junk", "a.parquet"),
        ("../../etc/a.yaml", b"bodies: 3", "a.yaml: bodies must be a list"),
        ("a.exe", b"MZ\x00", "a.exe"),
        ("", b"", "scene.jsonl: the file is empty"),
        ("..", b"", "scene.jsonl: the file is empty"),
        ("ü" * 300 + ".jsonl", b"", "ü.jsonl: the file is empty"),
    ],
)
def test_a_broken_file_is_one_sentence(client: TestClient, name: str, content: bytes, said: str) -> None:
    assert said in sentence(client.post("/api/open", params={"name": name}, content=content))


def test_a_huge_file_is_refused(client: TestClient) -> None:
    assert "larger than 64 MB" in sentence(client.post("/api/open?name=a.jsonl", content=b" " * (MAX_UPLOAD + 1)))


@pytest.mark.parametrize("scene", [b"{}", b"3", b'{"bodies": [{"shape": "circle"}]}', b"NaN", b"[[", b"\xff"])
def test_rubbish_in_an_address_is_one_sentence(client: TestClient, scene: bytes) -> None:
    sentence(client.post("/api/check", content=scene))


def test_the_live_line_steps_holds_and_goes_back(client: TestClient) -> None:
    with client.websocket_connect("/live") as line:
        assert begin(line)["truth"] == [[200.0, 400.0, 0.0, 60.0, 0.0, 0.0]]
        line.send_json({"do": "step"})
        frame = line.receive_json()
        assert frame["t"] == 1 and frame["truth"][0][:2] == [201.0, 400.0] and frame["rmse"] == 0.0
        line.send_json({"do": "hold", "body": 0, "x": 211.0, "y": 400.0})
        line.send_json({"do": "step"})
        assert line.receive_json()["guess"][0][:4] == [211.0, 400.0, 0.0, 600.0]
        line.send_json({"do": "release"})
        line.send_json({"do": "back", "frame": 0})
        assert scene_from_dict(line.receive_json()["scene"]) == SCENE
        assert line.receive_json()["t"] == 0
        line.send_json({"do": "step"})
        assert line.receive_json() == frame
        line.send_json({"do": "play"})
        assert line.receive_json() == {"kind": "state", "running": True}
        assert [line.receive_json()["t"] for _ in range(3)] == [2, 3, 4]


def test_going_back_before_a_change_brings_the_world_back_that_was(client: TestClient) -> None:
    with client.websocket_connect("/live") as line:
        begin(line)
        for _ in range(3):
            line.send_json({"do": "step"})
            line.receive_json()
        line.send_json({"do": "world", "gravity": [0.0, 0.0]})
        assert line.receive_json()["scene"]["gravity"] == [0.0, 0.0]
        changed = line.receive_json()
        assert (changed["t"], changed["since"]) == (3, 3), "what the page shows is the frame where the change is"
        line.send_json({"do": "step"})
        assert line.receive_json()["since"] == 3
        line.send_json({"do": "back", "frame": 0})
        assert line.receive_json()["scene"]["gravity"] == [0.0, -981.0]
        assert line.receive_json()["t"] == 0
        line.send_json({"do": "step"})
        assert line.receive_json()["truth"][0][4] == pytest.approx(-981 / 60, abs=1e-3)


def test_a_scene_that_is_refused_stops_the_one_that_ran(client: TestClient) -> None:
    """As the page has it, which says Play from then on."""
    with client.websocket_connect("/live") as line:
        begin(line)
        line.send_json({"do": "play"})
        line.send_json({"do": "begin", "scene": {"bodies": 3}, "model": "none"})
        while line.receive_json()["kind"] != "sentence":
            pass
        line.send_json({"do": "world", "friction": "x"})
        assert line.receive_json() == {"kind": "sentence", "text": "the surface must be a finite number."}


def test_what_is_saved_after_a_change_of_gravity_keeps_energy(client: TestClient, tmp_path: Path) -> None:
    """Angles and spins to the file's last decimal, too."""
    ball = replace(SCENE.bodies[0], angle=0.123456789, spin=1.23456789)
    with client.websocket_connect("/live") as line:
        line.send_json({"do": "begin", "scene": scene_to_dict(replace(SCENE, bodies=(ball,))), "model": "none"})
        line.receive_json()
        frames = [line.receive_json()]
        for message in [{"do": "step"}] * 5 + [{"do": "world", "gravity": [0, -100.0]}] + [{"do": "step"}] * 5:
            line.send_json(message)
            answer = line.receive_json()
            if answer["kind"] == "scene":
                scene = answer["scene"]
                frames[-1] = line.receive_json()
            else:
                frames.append(answer)
    rows = [frame["truth"] for frame in frames]
    assert frames[-1]["since"] == 5
    for name, first in (("whole", 0), ("since", 5)):
        asked = {"as": "jsonl", "scene": scene, "truth": rows[first:], "guess": None}
        (tmp_path / f"{name}.jsonl").write_bytes(client.post("/api/save", json=asked).content)
    whole, since = (read_jsonl(tmp_path / f"{name}.jsonl") for name in ("whole", "since"))
    drift = [float(np.ptp(total_energy(run))) for run in (whole, since)]
    assert drift[1] < 1e-3 < drift[0]
    turned = ball.angle + ball.spin * np.arange(5, 11) / 60
    assert np.abs(since.angle[:, 0] - turned).max() < 0.51e-6


def test_a_body_at_the_centre_of_an_attractor_stays_there(client: TestClient) -> None:
    middle = pw.Attractor(center=(200.0, 400.0), strength=1e8)
    still = replace(SCENE, fields=(middle,), bodies=(replace(SCENE.bodies[0], velocity=(0.0, 0.0)),))
    with client.websocket_connect("/live") as line:
        line.send_json({"do": "begin", "scene": scene_to_dict(still), "model": "none"})
        assert [line.receive_json()["kind"] for _ in range(2)] == ["begun", "frame"]
        line.send_json({"do": "step"})
        assert line.receive_json()["truth"][0][:2] == [200.0, 400.0]


@pytest.mark.parametrize("error", [ValueError("no such token\nat all"), IndexError(), RuntimeError("out of memory")])
def test_a_model_that_fails_stops_the_run_with_a_sentence(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter([None, error])

    def fails(self: Worlds, model: object, before: State) -> tuple[State, None]:
        if raised := next(steps):
            raise raised
        return before, None

    monkeypatch.setattr(Worlds, "_ask", fails)
    with TestClient(application()) as client, client.websocket_connect("/live") as line:
        begin(line)
        line.send_json({"do": "play"})
        assert [line.receive_json()["kind"] for _ in range(2)] == ["state", "frame"]
        told = line.receive_json()["text"]
        assert told.startswith(f"The next frame could not be made ({type(error).__name__}")
        assert told.endswith(").") and "\n" not in told
        assert line.receive_json() == {"kind": "state", "running": False}
        line.send_json({"do": "model", "name": "none"})
        assert [line.receive_json()["kind"] for _ in range(2)] == ["why", "frame"]
        line.send_json({"do": "step"})
        assert line.receive_json()["t"] == 2


def test_what_no_number_holds_is_null_and_what_is_too_large_is_said(client: TestClient) -> None:
    def large(**part: Any) -> dict[str, Any]:
        scene = scene_to_dict(SCENE)
        return {**scene, "bodies": [{**scene["bodies"][0], **part}]}

    with client.websocket_connect("/live") as line:
        line.send_json({"do": "begin", "scene": large(velocity=[1e160, 0.0]), "model": "linear"})
        assert line.receive_json()["kind"] == "begun"
        frame = json.loads(line.receive_text(), parse_constant=pytest.fail)  # JSON has no infinity
        assert frame["energy"] == [None, None] and frame["truth"][0][3] == 1e160
        line.send_json({"do": "step"})
        assert "has left this world for good" in line.receive_json()["text"]
        assert line.receive_json() == {"kind": "state", "running": False}
        line.send_json({"do": "begin", "scene": large(size=[1e250]), "model": "none"})
        assert line.receive_json()["text"] == (
            "object 0 is too large: its moment of inertia (mass times size squared) has no number."
        )
        line.send_text('{"do": "back", "frame": 1e400}')
        assert line.receive_json()["text"] == "A number in a message to the server is too large to compute with."
    assert "is too large" in sentence(client.post("/api/check", json=large(size=[1e250])))


def test_hostile_messages_are_answered_and_nothing_is_lost(client: TestClient) -> None:
    with client.websocket_connect("/live") as line:
        line.send_json({"do": "step"})
        assert line.receive_json() == {"kind": "sentence", "text": "There is no scene yet."}
        begin(line)
        wrong: list[Any] = [
            {"do": "hold", "body": 9, "x": 0, "y": 0},
            {"do": "hold", "body": 0, "x": "far", "y": 0},
            {"do": "world", "gravity": [0, 1e400]},
            {"do": "world", "gravity": []},
            {"do": "world", "gravity": 5},
            {"do": "hold", "body": [], "x": 0, "y": 0},
            {"do": "world", "friction": -1},
            {"do": "speed"},
            {"do": "explode"},
            {"do": "model", "name": "../../etc"},
            {"do": "begin", "scene": {"bodies": []}},
            {"do": "begin", "scene": scene_to_dict(SCENE), "start": [[1, 2]]},
            [],
            3,
        ]
        for message in wrong:
            line.send_text(json.dumps(message))
            answer = line.receive_json()
            assert answer["kind"] == "sentence" and answer["text"].endswith("."), message
        line.send_text("{ no json")
        assert line.receive_json()["text"] == "A message to the server was not JSON."
        line.send_json({"do": "step"})
        assert line.receive_json()["truth"][0][:2] == [201.0, 400.0]


def test_other_pages_and_other_names_of_this_machine_are_refused(client: TestClient) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/live", headers={"origin": "http://evil.example"}),
    ):
        pass
    scene = json.dumps(scene_to_dict(SCENE))
    for origin in ("http://evil.example", "http://testserver:81", "null"):
        for path in ("check", "open", "save", "video/stop", "spatial/scene"):
            answer = client.post(
                f"/api/{path}", content=scene, headers={"origin": origin, "content-type": "text/plain"}
            )
            assert answer.status_code == 403 and answer.json()["sentence"] == "This server answers its own page alone."
    assert client.post("/api/check", content=scene, headers={"origin": "http://testserver"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["video/scene", "video/make", "spatial/scene", "spatial/check", "spatial/repair", "save"]
)
def test_json_that_is_no_object_is_one_sentence(client: TestClient, path: str) -> None:
    for content in (b"[]", b"3", b'"words"', b"null"):
        sentence(client.post(f"/api/{path}", content=content))


def test_rows_without_a_frame_are_one_sentence(client: TestClient) -> None:
    asked = {"as": "jsonl", "scene": scene_to_dict(SCENE), "guess": None}
    for truth in ([], [[]], None, 5):
        sentence(client.post("/api/save", json={**asked, "truth": truth}))


def test_a_port_that_cannot_be_used_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for typed, said in ((str(port), f"--port {port} of 127.0.0.1 cannot be used"), ("99999", "0 to 65535.")):
            assert main(["play", "--no-browser", "--port", typed]) == 1
            assert said in capsys.readouterr().err


def test_runs_are_offered_by_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "x" / "model").mkdir(parents=True)
    (tmp_path / "outputs" / "x" / "model" / "config.json").write_text("{}")
    assert Models().names() == ["shipped", "solver", "copy_last", "linear", "ballistic"]  # no config.yaml: no run
    (tmp_path / "outputs" / "x" / "config.yaml").write_text("data: {task: text}")
    assert Models().names()[2] == "outputs/x"


def test_a_run_that_the_page_cannot_show_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data: {task: spatial}\n")
    with pytest.raises(UserError, match="is a run of task=spatial, which the page cannot show"):
        serve("127.0.0.1", 0, print, [tmp_path])


@pytest.mark.parametrize(("error", "says"), [
    (socket.gaierror(-2, "Name or service not known"), "--host 300.1.1.1 is no address of this machine (Name or"),
    (OSError(98, "Address already in use"), "--port 80 of 300.1.1.1 cannot be used (Address already in use)"),
])  # fmt: skip
def test_what_is_wrong_with_an_address_is_named(error: OSError, says: str) -> None:
    assert unbound("300.1.1.1", 80, error).startswith(says)
