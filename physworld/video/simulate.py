"""Clips with their physical truth as files, from Warp's scenarios or from any two-dimensional one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from physworld import scenarios
from physworld.errors import UserError, suggest
from physworld.io.checksums import add_sums
from physworld.io.images import write_gif, write_mp4
from physworld.io.placing import placing
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.seeding import generator
from physworld.settings import checks
from physworld.sim.pymunk_sim import simulate as simulate_scene
from physworld.video.clips import check_shape, film, write_clip
from physworld.video.scene_clips import film_scene
from physworld.video.scenes import SCENARIOS, check_physics, shot, with_restitution

console = screen()
FORMATS = ("mp4", "gif")


def simulate(cfg: DictConfig) -> None:
    """Write clips with a JSON sidecar of their truth, taking the scenarios in turn.

    Raises:
        UserError: an option makes no sense.
    """
    options, typed = cfg.video, checks.overrides()
    form = cfg.format if any(override.startswith("format=") for override in typed) else "mp4"
    if form not in FORMATS:
        raise UserError(f"format={form} is unknown for clips.{suggest(form, FORMATS)} Choose one of mp4, gif.")
    checks.whole("count", cfg.count, 1)
    checks.whole("seed", cfg.seed, 0)
    checks.split(cfg.split)
    size = (options.width, options.height)
    try:
        check_shape(options.frames, *size, multiple=8)
        check_physics(options.physics)
    except ValueError as error:
        raise UserError(f"video.{error}.") from None
    for name in ("fps", "view"):
        checks.number(f"video.{name}", options[name], 0)
    checks.share("video.variation", options.variation)
    if options.restitution is not None:
        checks.number("video.restitution", options.restitution, float("-inf"))
    checks.flag("video.allow_violation", options.allow_violation)
    named = any(override.startswith(("scenario=", "scenario.names=")) for override in typed)
    names = _names(cfg.scenario.names) if named else list(SCENARIOS)
    _refuse_idle({override.partition("=")[0] for override in typed}, names)
    directory = Path(str(cfg.out)) if cfg.out is not None else runs.relative(HydraConfig.get().runtime.output_dir)
    places = {k: Path(names[k % len(names)]) / f"clip_{k}.{form}" for k in range(cfg.count)}
    # What is there comes first: if it is of another command, that shows before anything is put beside it.
    for k in sorted(places, key=lambda k: not (directory / places[k]).exists()):
        with placing(directory) as work:
            _clip(cfg, names[k % len(names)], k, work / places[k], size)
        console.print(str(directory / places[k]), soft_wrap=True)
    for folder in {place.parent for place in places.values()}:
        clips = [place for place in places.values() if place.parent == folder]
        add_sums(directory / folder, [name for clip in clips for name in (clip.name, f"{clip.stem}.json")])


WARP_ONLY = ("video.variation", "video.view", "video.restitution", "video.allow_violation")


def _refuse_idle(keys: set[str], names: Sequence[str]) -> None:
    """
    Raises:
        UserError: something was typed that none of these scenes reads.
    """
    kinds = {name in SCENARIOS for name in names}
    if kinds == {False} and (idle := [key for key in WARP_ONLY if key in keys]):
        raise UserError(f"{idle[0]} is for Warp's scenes ({', '.join(SCENARIOS)}); {names[0]} is two-dimensional.")
    if kinds == {True} and (idle := [key for key in sorted(keys) if key.partition(".")[0] == "curriculum"]):
        raise UserError(f"{idle[0]} says how hard two-dimensional scenes are; {names[0]} is Warp's, so leave it out.")


def _clip(cfg: DictConfig, name: str, k: int, path: Path, size: tuple[int, int]) -> None:
    options = cfg.video
    if name not in SCENARIOS:
        _two_dimensional(cfg, name, k, path, size)
        return
    rng = generator(cfg.seed, cfg.split, k)
    try:
        shown = with_restitution(shot(name, rng), options.restitution, allow_violation=options.allow_violation)
    except ValueError as error:
        raise UserError(f"video.{error}.") from None
    (clip,) = film(
        [shown], [options.physics], [rng], frames=options.frames, fps=options.fps, size=size,
        variation=options.variation, view=options.view, device="auto",
    )  # fmt: skip
    write_clip(path, clip)


def _names(value: Any) -> list[str]:
    """Warp's scenarios and the two-dimensional ones."""
    known = [*SCENARIOS, *scenarios.names()]
    if not value or isinstance(value, str) or not isinstance(value, Iterable):
        raise UserError(f"scenario.names={value} must be a list of types, for example scenario.names=[ball_drop].")
    for name in value:
        if name not in known:
            raise UserError(f"scenario {name} is unknown.{suggest(str(name), known)} Choose from {', '.join(known)}.")
    return list(value)


def _two_dimensional(cfg: DictConfig, name: str, k: int, path: Path, size: tuple[int, int]) -> None:
    """A scene of the 2-D simulator, at the nearest whole number of its frames per frame of the clip."""
    if cfg.video.physics != "correct":
        raise UserError(f"video.physics={cfg.video.physics} goes with Warp's scenarios; {name} is a 2-D one.")
    difficulties = checks.difficulties(cfg.curriculum.difficulties)
    scene = scenarios.build(name, generator(cfg.seed, cfg.split, k), difficulties[k % len(difficulties)])
    stride = max(1, round(1 / scene.dt / cfg.video.fps))
    trajectory = simulate_scene(scene, (cfg.video.frames - 1) * stride + 1)
    thinned = type(trajectory)(
        scene=scene, position=trajectory.position[::stride], velocity=trajectory.velocity[::stride],
        angle=trajectory.angle[::stride], spin=trajectory.spin[::stride],
    )  # fmt: skip
    frames = film_scene(thinned, size=size, device="auto")
    (write_gif if path.suffix == ".gif" else write_mp4)(path, frames, 1 / scene.dt / stride)
    truth = {
        "caption": scene.text, "scenario": name, "physics": "correct", "gravity_m_s2": -scene.gravity[1] / 100,
        "fps": 1 / scene.dt / stride, "center_m": np.round(thinned.position / 100, 5).tolist(),
    }  # fmt: skip
    runs.write_json(path.with_suffix(".json"), truth)
