"""The video tab's server: clips of the simulator and of a run, what is read off them, and mistakes in one sentence."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra `play` is not installed")
pytest.importorskip("warp", reason="the extra `video` is not installed")
pytest.importorskip("peft", reason="the extra `video` is not installed")
from starlette.testclient import TestClient

from physworld.play.server import application

from video_runs import video_run

SCENE = {"scenario": "ball_drop", "index": 0}
READABLE = "A ball falls from 3.00 m onto the floor and bounces with restitution 0.60."


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video_run(tmp_path_factory.mktemp("video"))


@pytest.fixture(scope="module")
def client(run: Path) -> Iterator[TestClient]:
    with TestClient(application(given=[run])) as made:
        yield made


def scene(client: TestClient, **asked: Any) -> dict[str, Any]:
    answer = client.post("/api/video/scene", json={**SCENE, **asked})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def made(client: TestClient, run: Path, **asked: Any) -> dict[str, Any]:
    """A clip of a row, waited for."""
    sent = {**SCENE, "run": str(run), "row": "lora", "caption": READABLE, "first": "none", "seed": 0, **asked}
    answer = client.post("/api/video/make", json=sent)
    assert answer.status_code == 200, answer.text
    while (job := client.get("/api/video/job").json())["state"] == "running":
        time.sleep(0.02)
    return dict(job)


def pixels(clip: dict[str, Any]) -> np.ndarray:
    """(T, H, W, 3) of the one picture that holds all frames."""
    sheet = np.array(Image.open(io.BytesIO(base64.b64decode(clip["sheet"].partition(",")[2]))).convert("RGB"))
    (wide, high), columns = clip["size"], clip["columns"]
    places = [divmod(k, columns) for k in range(clip["frames"])]
    return np.stack([sheet[r * high : (r + 1) * high, c * wide : (c + 1) * wide] for r, c in places])


def test_g_is_read_off_right_and_wrong_clips(client: TestClient) -> None:
    seen = scene(client, physics="gravity_0.4", height=3.0, restitution=0.6)
    assert seen["caption"] == READABLE and seen["gravity"] == 9.81
    assert abs(seen["truth"]["gravity"] / 9.81 - 1) < 0.03 and abs(seen["truth"]["restitution"] - 0.6) < 0.05
    assert abs(seen["wrong"]["gravity"] / (0.4 * 9.81) - 1) < 0.05 and seen["wrong"]["off"] > 5 * seen["truth"]["off"]
    camera = seen["camera"]
    assert abs(camera["gravity"] / 9.81 - 1) < 0.02 and abs(camera["height"][0] - 3.0) < 0.05
    frames = pixels(camera)
    assert frames.shape == (17, 288, 288, 3)
    column, row = np.round(camera["centre"][0]).astype(int)
    assert frames[0, row, column].min() > 120 > frames[-1, row, column].max(), "the mark is on the ball"


def test_other_bodies_are_followed_by_the_judge(client: TestClient) -> None:
    seen = scene(client, scenario="box_tumble")
    assert abs(seen["camera"]["gravity"] / 9.81 - 1) < 0.05 and "keeps every law" in seen["camera"]["said"]


def test_a_row_is_sampled_from_the_same_noise(client: TestClient, run: Path) -> None:
    assert client.get("/api/video/choices").json()["runs"][0] == {
        "name": str(run), "rows": ["base", "lora", "placebo"],
    }  # fmt: skip
    first = made(client, run)
    assert (first["state"], first["done"], first["steps"]) == ("done", 3, 3)
    assert pixels(first["clip"]).shape == (17, 48, 8, 3)
    assert made(client, run)["clip"] == first["clip"], "the same seed, the same clip"
    others = [made(client, run, row="placebo"), made(client, run, row="base"), made(client, run, seed=1)]
    shown = [pixels(job["clip"]) for job in (first, *others)]
    assert all((shown[a] != shown[b]).any() for a in range(4) for b in range(a))


def test_the_first_frame_is_held(client: TestClient, run: Path) -> None:
    truth = pixels(scene(client, run=str(run))["truth"])[0]
    grey = np.repeat(np.rint(truth.mean(-1, keepdims=True)), 3, -1)
    assert np.abs(pixels(made(client, run, first="simulator")["clip"])[0] - grey).max() <= 1
    own = Image.fromarray(np.full((96, 16, 3), 90, np.uint8))
    file = io.BytesIO()
    own.save(file, "PNG")
    address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    assert np.abs(pixels(made(client, run, first=address)["clip"])[0].astype(int) - 90).max() <= 1


def test_sampling_can_be_stopped_and_never_runs_twice(run: Path, tmp_path: Path) -> None:
    slow = video_run(tmp_path / "slow", steps=1000)
    sent = {**SCENE, "run": str(slow), "row": "lora", "caption": READABLE, "first": "none", "seed": 0}
    with TestClient(application(given=[slow])) as client:
        assert client.post("/api/video/make", json=sent).json()["state"] == "running"
        again = client.post("/api/video/make", json=sent)
        assert again.status_code == 400 and "Another clip is being made" in again.json()["sentence"]
        assert client.get("/api/video/choices").status_code == 200, "the page is not blocked"
        client.post("/api/video/stop", json={})
        while (job := client.get("/api/video/job").json())["state"] == "running":
            time.sleep(0.02)
        assert job["state"] == "stopped" and job["done"] < 1000 and job["clip"] is None


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"run": "/etc"}, "is no run of this page"),
        ({"row": "card"}, "holds no card; choose one of base, lora, placebo"),
        ({"caption": "A dog"}, "cannot read this caption"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"index": True}, "index must be a whole number"),
        ({"scenario": "ball_dorp"}, "Did you mean ball_drop"),
        ({"height": 1e9, "restitution": 0.5}, "from 0.5 to 20 m"),
        ({"height": float("nan"), "restitution": 0.5}, "NaN is not a finite number"),
        ({"first": "data:image/png;base64,AAAA"}, "The picture cannot be used"),
        ({"first": "§"}, "The picture cannot be"),
        ({"first": None}, "The picture cannot be"),
        ({"first": 3}, "The picture cannot be"),
    ],
)
def test_mistakes_are_one_sentence(client: TestClient, run: Path, asked: dict[str, Any], words: str) -> None:
    import json

    sent = {**SCENE, "run": str(run), "row": "lora", "caption": READABLE, "first": "none", "seed": 0, **asked}
    answer = client.post("/api/video/make", content=json.dumps(sent))
    sentence = str(answer.json()["sentence"])
    assert answer.status_code == 400 and words in sentence and sentence.endswith(".") and "\n" not in sentence


def test_without_a_run_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with TestClient(application()) as client:
        choices = client.get("/api/video/choices").json()
        assert choices["runs"] == [] and "python train.py model=tiny_video" in choices["how"]
        seen = scene(client, run=None, physics="linear")
        assert seen["truth"]["size"] == [48, 48] and abs(seen["wrong"]["galileo"] - 2) < 0.2
