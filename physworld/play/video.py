"""What the video tab asks its server: the simulator's clip, those that a run samples, and what a tracker reads off.

One clip is sampled at a time, in a thread of its own; the page asks how far it is. A run's base, its LoRA and its
placebo begin from the same noise, so that only what was learned differs between them.
"""

from __future__ import annotations

import base64
import io
import math
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from physworld.errors import UserError, suggest
from physworld.runs import directory as runs
from physworld.seeding import generator
from physworld.settings.checks import installed

if TYPE_CHECKING:
    from physworld.video.clips import Clip
    from physworld.video.network import VideoNetwork

ADAPTER = "model/adapter/pytorch_lora_weights.safetensors"
ROWS = ("base", "lora", "placebo")  # what of a run is shown
HOW = "No run of video physics is under outputs/; make one in minutes: python train.py model=tiny_video."
SCENE = {"frames": 17, "fps": 10.0, "size": (48, 48), "variation": 0.0, "view": 7.8}  # where no run says otherwise
CAMERA = (288, 288)  # px of the picture for people
RAYS = 2  # per pixel along each axis
MOST_INDEX = 10_000
SMALLEST = 32  # px: the judge's tracker needs so many along each side
MOST_PICTURE = 16 * 2**20  # bytes


class _Stopped(Exception):
    """Somebody stopped the sampling."""


@dataclass(kw_only=True)
class Job:
    """A clip that is being sampled."""

    number: int
    steps: int
    done: int = 0  # steps
    begun: float = field(default_factory=time.monotonic)
    state: str = "running"  # or done, stopped, failed
    sentence: str = ""
    clip: dict[str, Any] | None = None
    stop: bool = False

    def told(self) -> dict[str, Any]:
        """JSON-ready: how far it is, and what came of it."""
        spent = time.monotonic() - self.begun
        left = spent / self.done * (self.steps - self.done) if self.done else None
        return {
            "job": self.number, "state": self.state, "done": self.done, "steps": self.steps, "left_s": left,
            "sentence": self.sentence, "clip": self.clip,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """A run whose weights are in memory."""

    codec: Any
    source: Any  # a ClipSource: sizes and looks of its clips
    network: VideoNetwork
    rows: tuple[str, ...]
    steps: int  # of the sampler
    guidance: float
    device: Any


class Studio:
    """Runs of video physics by name, each loaded once, and the clip that is being made."""

    def __init__(self, given: Iterable[Path] = ()) -> None:
        """
        Args:
            given: run directories that are offered beside those under outputs/.
        """
        self.given = tuple(given)
        self._loaded: dict[str, Loaded] = {}
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._thread: threading.Thread | None = None

    def names(self) -> list[str]:
        """Runs tuned on simulated clips, those that were given first, then the newest."""
        every = [*self.given, *(path.parents[2] for _, path in sorted(runs.written(ADAPTER), reverse=True))]
        return list(dict.fromkeys(str(run) for run in every if is_video(run)))[:30]

    def choices(self, _: Any = None) -> dict[str, Any]:
        """What the form offers."""
        _needed()
        from physworld.video.scenes import LET_GO, SCENARIOS, VIOLATIONS

        names = self.names()
        return {
            "runs": [{"name": name, "rows": list(_rows(Path(name)))} for name in names],
            "scenarios": [name for name in SCENARIOS if not name.startswith("test_")],
            "physics": list(VIOLATIONS), "heights": list(LET_GO), "how": "" if names else HOW,
        }  # fmt: skip

    def scene(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The simulator's clip of a scene at the size of the run and as a camera sees it, and one of wrong physics."""
        _needed()
        shape = self._shape(asked)
        truth = _film(asked, "correct", shape)
        kind = asked.get("physics")
        wrong = None if kind is None else _film(asked, str(kind), shape)
        camera = _film(asked, "correct", {**shape, "size": CAMERA, "view": SCENE["view"]})
        return {
            "caption": truth.caption, "height": truth.height, "restitution": truth.restitution,
            "gravity": truth.gravity,
            "truth": read(truth.frames, truth), "wrong": None if wrong is None else read(wrong.frames, truth),
            "camera": read(camera.frames, camera),
        }  # fmt: skip

    def make(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Begin to sample one row of a run; `job` says how far it is.

        Raises:
            UserError: another one is being made, or the run, the row or the caption is not known to it.
        """
        _needed()
        with self._lock:
            if self._job is not None and self._job.state == "running":
                raise UserError("Another clip is being made; stop it, or wait for it.")
            run = self._run(str(asked["run"]))
            row, caption, seed = str(asked["row"]), str(asked["caption"]), asked["seed"]
            if row not in run.rows:
                raise UserError(f"This run holds no {row}; choose one of {', '.join(run.rows)}.")
            if type(seed) is not int or not 0 <= seed < 2**31:
                raise UserError("seed must be a whole number from 0 on.")
            if refused := run.codec.refuses(caption):
                raise UserError(f"The model cannot read this caption: {refused}.")
            truth = _film(asked, "correct", self._shape(asked))
            first = _first(asked["first"], truth)
            job = Job(number=1 if self._job is None else self._job.number + 1, steps=run.steps)
            self._job = job
            work = (job, run, row, caption, seed, first, truth)
            self._thread = threading.Thread(target=_sample, args=work, daemon=True)
            self._thread.start()
        return job.told()

    def job(self, _: Any = None) -> dict[str, Any]:
        """How far the clip is that was asked for last."""
        if self._job is None:
            raise UserError("No clip has been asked for.")
        return self._job.told()

    def stop(self, _: Any = None) -> dict[str, Any]:
        """Stop after the step that is being computed."""
        if self._job is not None:
            self._job.stop = True
        return {}

    def _shape(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if asked.get("run") is None:
            return SCENE
        source = self._run(str(asked["run"])).source
        return {
            "frames": source.frames, "fps": source.fps, "size": source.size, "variation": source.variation,
            "view": source.view,
        }  # fmt: skip

    def _run(self, name: str) -> Loaded:
        if name not in self._loaded:
            names = self.names()
            if name not in names:  # a page may not name any folder of this machine
                raise UserError(f"{name} is no run of this page.{suggest(name, names)}")
            self._loaded[name] = _load(Path(name))
        return self._loaded[name]


def _load(run: Path) -> Loaded:
    import torch

    from physworld.video.build import check_guidance, evaluation_of
    from physworld.video.evaluate import adapters_of, add_adapters, load_candidates

    adapters = {name: folder for name, folder in adapters_of(run).items() if name in ROWS}
    trained, codec, source, network = load_candidates(run)
    evaluation = evaluation_of(trained)
    check_guidance(evaluation, codec)
    add_adapters(network, adapters)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Loaded(
        codec=codec, source=source("val"), network=network.eval().to(device), rows=("base", *adapters),
        steps=evaluation.steps, guidance=evaluation.guidance, device=device,
    )  # fmt: skip


def _sample(
    job: Job, run: Loaded, row: str, caption: str, seed: int, first: np.ndarray | None, truth: Clip
) -> None:  # in a thread
    """Every mistake ends as the job's sentence."""
    import torch

    def progress(step: int) -> None:
        job.done = step
        if job.stop:
            raise _Stopped

    try:
        run.network.use(None if row == "base" else row)
        run.codec.prepare([caption, ""] if run.guidance != 1 else [caption])
        prompt = run.codec.prompts([caption]).to(run.device)
        empty = run.codec.prompts([""]).to(run.device) if run.guidance != 1 else None
        shape = run.codec.latent_shape(run.source.frames, *run.source.size)
        noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed)).to(run.device)
        held = None if first is None else run.codec.latents(torch.from_numpy(first)[None, None].to(run.device))
        made = run.network.generate(
            prompt, noise, steps=run.steps, first=held, guidance=run.guidance, empty=empty, progress=progress
        )
        if not bool(made.isfinite().all()):
            raise UserError("The model gives numbers that are not finite, so there is no clip to show")
        job.clip = read(run.codec.decode(made)[0], truth)
        job.state = "done"
    except _Stopped:
        job.state, job.sentence = "stopped", "Stopped."
    except Exception as error:  # the thread has nobody else to tell
        job.state, job.sentence = "failed", f"{str(error).strip().splitlines()[0].rstrip('.')}." if str(error) else ""
        job.sentence = job.sentence or f"The clip could not be made ({type(error).__name__})."


# --- clips, and what is read off them


def read(frames: np.ndarray, truth: Clip) -> dict[str, Any]:
    """JSON-ready: uint8 frames (T, H, W, 3) as one picture, and what the tracker says of them.

    One ball that is let go is followed by the evaluation's own tracker, whose scene is known; anything else by that of
    `physworld judge`, which knows nothing and needs pictures of 32 px.
    """
    sheet, columns = _sheet(frames)
    height, width = frames.shape[1:3]
    found = _drop(frames, truth) if _is_drop(truth) else _any(frames, truth)
    shape = {"columns": columns, "frames": len(frames), "fps": truth.fps, "size": [width, height]}
    return {"sheet": sheet, **shape, **found}


def _is_drop(truth: Clip) -> bool:
    return truth.name.startswith("ball_") and truth.name != "ball_on_ramp"


def _drop(frames: np.ndarray, truth: Clip) -> dict[str, Any]:
    from physworld.video.evaluation import follow
    from physworld.video.metrics.pisa import centroid_error

    path, physics = follow(frames, truth)
    scale = frames.shape[1] / float(truth.look.view[0])  # px of a metre
    off = centroid_error(path.center_px, truth.center_px[:, 0], 2 * truth.radius * scale)
    return {
        "centre": _numbers(path.center_px), "height": _numbers(path.center_m[:, 1] - truth.radius),
        "gravity": _number(physics.gravity), "restitution": _number(physics.restitution),
        "galileo": _number(physics.galileo), "valid": path.valid, "off": _number(off), "said": "",
    }  # fmt: skip


def _any(frames: np.ndarray, truth: Clip) -> dict[str, Any]:
    from physworld.judge.clip import Settings, judge_footage
    from physworld.judge.footage import Footage, Source

    high, wide = frames.shape[1:3]
    nothing = [None] * len(frames)
    lost = {"centre": nothing, "height": nothing, "gravity": None, "restitution": None, "galileo": None, "off": None}
    if min(high, wide) < SMALLEST:
        return {**lost, "valid": False, "said": f"At {wide} × {high} px only a ball that is let go can be followed."}
    scale = high / float(truth.look.view[0])
    source = Source(name="clip", files=(), known={"pixels_per_metre": scale})
    times = np.arange(len(frames)) / truth.fps
    verdict = judge_footage(Footage(frames=frames, times=times, shrink=1.0), source, Settings())
    if not verdict.judged:
        return {**lost, "valid": False, "said": f"Not judged: {verdict.sentence}."}
    ball = min(verdict.tracks, key=lambda track: _apart(track.center, truth.center_px[:, 0]))
    where = truth.look.to_plane(ball.center[None], (wide, high))[0]
    broken = [str(verdict.laws[name]["said"]) for name in verdict.broken()]
    return {
        "centre": _numbers(ball.center), "height": _numbers(where[:, 1] - truth.radius),
        "gravity": _number(verdict.figures.get("gravity")), "restitution": _number(verdict.figures.get("restitution")),
        "galileo": _number(verdict.figures.get("galileo")), "valid": verdict.lawful,
        "off": _number(_apart(ball.center, truth.center_px[:, 0]) / (2 * truth.radius * scale)),
        "said": f"{verdict.kind.replace('_', ' ') if verdict.kind else ''}: "
        + (f"breaks {len(broken)} laws ({'; '.join(broken)})." if broken else "keeps every law that can be asked."),
    }  # fmt: skip


def _apart(path: np.ndarray, truth: np.ndarray) -> float:
    distance = np.linalg.norm(path - truth, axis=-1)
    return float(np.nanmean(distance)) if np.isfinite(distance).any() else math.inf


def _film(asked: Mapping[str, Any], physics: str, shape: Mapping[str, Any]) -> Clip:
    """One clip; the same index shows the same scene under any physics.

    Raises:
        UserError: the scene is none.
    """
    from physworld.video.clips import film
    from physworld.video.scenes import check_physics, dropped, shot

    index, height = asked["index"], asked.get("height")
    if type(index) is not int or not 0 <= index < MOST_INDEX:
        raise UserError(f"index must be a whole number from 0 to {MOST_INDEX - 1}.")
    rng = generator(0, "val", index)
    try:
        check_physics(physics)
        one = shot(str(asked["scenario"]), rng)
        if height is not None:
            one = dropped(float(height), float(asked["restitution"]))
        return film([one], [physics], [rng], samples=RAYS, device="cpu", **shape)[0]
    except ValueError as error:
        raise UserError(f"{str(error)[0].upper()}{str(error)[1:]}.") from None


def _first(asked: Any, truth: Clip) -> np.ndarray | None:
    """The first frame uint8 (H, W, 3) that a model is given: none, the simulator's, or a person's own.

    Raises:
        UserError: it is none of these, or the picture cannot be used.
    """
    if asked == "none":
        return None
    if asked == "simulator":
        return truth.frames[0]
    from physworld.io.pictures import Unreadable, first_frame, fitted

    try:
        data = base64.b64decode(str(asked).partition(",")[2], validate=True)
    except ValueError:
        raise UserError("The picture cannot be read.") from None
    if len(data) > MOST_PICTURE:
        raise UserError(f"The picture is larger than {MOST_PICTURE // 2**20} MB.")
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            whole = first_frame(Path(file.name))
        except Unreadable as error:
            raise UserError(f"The picture cannot be used: {error}.") from None
    high, wide = truth.frames.shape[1:3]
    return np.array(fitted(whole, (wide, high), fit="crop", background=(0, 0, 0)))


def _sheet(frames: np.ndarray) -> tuple[str, int]:
    """(PNG of all frames side by side, row after row, as a data URL; frames in a row)."""
    count, high, wide, _ = frames.shape
    columns = max(1, min(count, 4096 // wide))
    rows = -(-count // columns)
    padded = np.concatenate([frames, np.zeros((rows * columns - count, high, wide, 3), np.uint8)])
    grid = padded.reshape(rows, columns, high, wide, 3).swapaxes(1, 2).reshape(rows * high, columns * wide, 3)
    file = io.BytesIO()
    Image.fromarray(grid).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}", columns


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 4)


def _numbers(values: np.ndarray) -> list[Any]:
    """Of each row; None where it is not known."""
    return [
        (_number(float(row)) if np.ndim(row) == 0 else [_number(float(v)) for v in row])
        if np.isfinite(row).all()
        else None
        for row in values
    ]


def is_video(run: Path) -> bool:
    """A run that was tuned on simulated clips."""
    try:
        data = runs.read_config(run)["data"]
        return bool(data["task"] == "video") and "path" not in data and (run / ADAPTER).is_file()
    except (UserError, KeyError, TypeError):
        return False


def _rows(run: Path) -> tuple[str, ...]:
    placebo = run / "model" / "placebo" / Path(ADAPTER).name
    return ROWS if placebo.is_file() else ROWS[:2]


def _needed() -> None:
    installed("video", "warp", what="the video tab of physworld play")
