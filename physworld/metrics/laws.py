"""Laws read off what a model answers in controlled experiments with one or two bodies.

Readings are of one path each (the last given frame, then the predicted ones); what a path does not show is None.
Figures put the readings of many experiments together: a slope, an exponent, a mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from physworld.metrics.bootstrap import bootstrap_statistic
from physworld.types import Attractor, Peg, Spring, Trajectory

AFTER = 20  # frames from the last given one: every impact is over
SLIDING = 12  # frames over which a box is watched as it slides; it stops later
ORBITING = 15  # frames over which the pull is read
FEWEST = 3  # readings for a slope
QUIET = 1.0  # px/s²; a weaker pull is none: it has no logarithm

Reading = dict[str, float | None]


def restitution(path: Trajectory) -> Reading:
    """Speed of parting over speed of approach along the line of a head-on impact, with a wall or another ball."""
    scene = path.scene
    first = scene.bodies[0]
    if len(scene.bodies) == 2:
        bounce = scene.bodies[1].restitution
        line = np.subtract(first.position, scene.bodies[1].position)
        speed = path.velocity[:, 0] - path.velocity[:, 1]
    else:
        wall = scene.static[0]
        assert not isinstance(wall, Peg)
        bounce = wall.restitution
        along = np.subtract(wall.end, wall.start)
        line, speed = np.array([-along[1], along[0]]), path.velocity[:, 0]
    line = line / np.linalg.norm(line)
    before, after = float(speed[0] @ line), float(speed[AFTER] @ line)
    return {"restitution": -after / before, "restitution_true": first.restitution * bounce}


def friction(path: Trajectory) -> Reading:
    """Deceleration of a box that slides on a level floor, over g."""
    scene, way = path.scene, np.sign(path.scene.bodies[0].velocity[0])
    lost = way * float(path.velocity[0, 0, 0] - path.velocity[SLIDING, 0, 0])
    pull = math.hypot(*scene.gravity) * scene.dt * SLIDING
    return {"friction": lost / pull, "friction_true": scene.bodies[0].friction * scene.static[0].friction}


def pull(path: Trajectory) -> Reading:
    """Mean acceleration towards a centre that pulls, px/s², that of the true law, and the distance that goes with it.

    Both are of the path as it was predicted, so a path that goes elsewhere is judged by the pull that is there.
    """
    scene = path.scene
    (field,) = scene.fields
    assert isinstance(field, Attractor)
    middle = (path.position[1 : ORBITING + 1, 0] + path.position[:ORBITING, 0]) / 2
    inward = np.subtract(field.center, middle)
    distance = np.linalg.norm(inward, axis=1)
    gained = np.diff(path.velocity[: ORBITING + 1, 0], axis=0) / scene.dt
    found = float(np.mean((gained * inward).sum(axis=1) / distance))
    true = float(np.mean(field.strength / distance**2))
    return {"pull": found, "pull_true": true, "pull_distance": math.sqrt(field.strength / true)}


def spring_period(path: Trajectory, elapsed: float) -> Reading:
    """Period of a body on a spring, released at rest `elapsed` s before the path begins, s."""
    (spring,) = path.scene.joints
    assert isinstance(spring, Spring)
    away = np.linalg.norm(path.position[:, 0] - np.array(spring.anchor_a), axis=1) - spring.length
    true = 2 * math.pi * math.sqrt(path.scene.bodies[0].mass / spring.stiffness)
    return {"spring_period": _period(away, path.scene.dt, elapsed), "spring_period_true": true}


def pendulum_period(path: Trajectory, elapsed: float) -> Reading:
    """Period of a bob on a rod, released at rest `elapsed` s before the path begins, s."""
    scene = path.scene
    (rod,) = scene.joints
    down = np.array(scene.gravity) / math.hypot(*scene.gravity)
    arm = path.position[:, 0] - np.array(rod.anchor_a)  # type: ignore[union-attr]
    angle = np.arctan2(down[0] * arm[:, 1] - down[1] * arm[:, 0], arm @ down)
    start = np.subtract(scene.bodies[0].position, rod.anchor_a)  # type: ignore[union-attr]
    widest = math.acos(float(start @ down) / float(np.linalg.norm(start)))
    length = float(np.linalg.norm(start))
    # exact for any amplitude: 2π sqrt(L/g) over the arithmetic-geometric mean of 1 and cos(amplitude / 2)
    true = 2 * math.pi * math.sqrt(length / math.hypot(*scene.gravity)) / _agm(1.0, math.cos(widest / 2))
    return {"pendulum_period": _period(angle, scene.dt, elapsed), "pendulum_period_true": true}


def _period(away: np.ndarray, dt: float, elapsed: float) -> float | None:
    """Four times the time from release to the first passage through the middle; None: it never comes there.

    The first step moves nothing, since positions go by the velocity before it: the swing begins half a step late.
    """
    crossed = np.flatnonzero((away[:-1] * away[1:] <= 0) & (away[:-1] != away[1:]))
    if not len(crossed):
        return None
    k = int(crossed[0])
    return 4 * (elapsed + dt * (k + away[k] / (away[k] - away[k + 1])) - dt / 2)


def _agm(a: float, b: float) -> float:
    while abs(a - b) > 1e-12:
        a, b = (a + b) / 2, math.sqrt(a * b)
    return a


def impact(path: Trajectory, truth: Trajectory) -> Reading:
    """What an impact of two free bodies does to momentum, and to energy beyond what it truly does.

    Shares of the momentum (sum of m·|v|) and of the energy that the two have before it in the frame of their own
    centre of mass, which falls with gravity.
    """
    start, after = _inner(path, 0), _inner(path, AFTER)
    right = _inner(truth, AFTER)
    lost = float(np.linalg.norm(after[0] - start[0])) / start[1]
    return {"impact_momentum": lost, "impact_energy": (after[2] - right[2]) / start[2]}


def _inner(path: Trajectory, frame: int) -> tuple[np.ndarray, float, float]:
    """(momentum (2,) kg·px/s less gravity's share, sum of m·|v| and energy, kg·px²/s², about the centre of mass)."""
    scene = path.scene
    mass, moment = np.array([b.mass for b in scene.bodies]), np.array([b.moment for b in scene.bodies])
    velocity = path.velocity[frame] - np.array(scene.gravity) * scene.dt * frame
    total = mass @ velocity
    own = velocity - total / mass.sum()
    energy = (mass @ (own**2).sum(axis=1) + moment @ path.spin[frame] ** 2) / 2
    return total, float(mass @ np.linalg.norm(own, axis=1)), float(energy)


def parted(path: Trajectory, other: np.ndarray) -> float:
    """Distance between two answers to the same experiment after AFTER frames, px: RMS over bodies.

    Args:
        other: (N, 2) px, where the bodies of the second answer are at that moment, seen from the first one's place.
    """
    return float(np.sqrt(((path.position[AFTER] - other) ** 2).sum(axis=1).mean()))


# --- figures


def _slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least squares slope of y on x along the last axis."""
    dx = x - x.mean(axis=-1, keepdims=True)
    spread = (dx**2).sum(axis=-1)
    return np.divide((dx * y).sum(axis=-1), spread, out=np.full(spread.shape, np.nan), where=spread > 0)


@dataclass(frozen=True, kw_only=True)
class Law:
    """One figure of the table: how the readings of some columns are put together, and what the true law makes of it."""

    label: str
    experiment: str  # scene name
    unit: str = ""
    law: float  # what is right
    columns: tuple[str, ...]  # of readings; None in one of them: that experiment shows nothing
    figure: Callable[..., np.ndarray]  # columns (..., n) -> (...)
    fewest: int = 1
    usable: Callable[..., np.ndarray] | None = None  # columns (n,) -> (n,) bool; None = all


def _mean(x: np.ndarray) -> np.ndarray:
    return np.asarray(x.mean(axis=-1))


def _size(x: np.ndarray) -> np.ndarray:
    return _mean(np.abs(x))


def _off(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _size(x - y)


def _share(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _mean(x / y)


LAWS: dict[str, Law] = {
    "restitution_slope": Law(
        label="restitution: slope of what is read against e",
        experiment="law_restitution",
        law=1.0,
        columns=("restitution", "restitution_true"),
        figure=lambda read, true: _slope(true, read),
        fewest=FEWEST,
    ),
    "restitution_error": Law(
        label="restitution: mean error",
        experiment="law_restitution",
        law=0.0,
        columns=("restitution", "restitution_true"),
        figure=_off,
    ),
    "friction_slope": Law(
        label="friction: slope of what is read against µ",
        experiment="law_friction",
        law=1.0,
        columns=("friction", "friction_true"),
        figure=lambda read, true: _slope(true, read),
        fewest=FEWEST,
    ),
    "friction_error": Law(
        label="friction: mean error",
        experiment="law_friction",
        law=0.0,
        columns=("friction", "friction_true"),
        figure=_off,
    ),
    "pull_exponent": Law(
        label="orbit: exponent of the pull",
        experiment="law_orbit",
        law=-2.0,
        columns=("pull", "pull_true", "pull_distance"),
        # pull_true · distance² is each field's strength, which the pull is divided by
        figure=lambda read, true, far: _slope(np.log(far), np.log(read / (true * far**2))),
        fewest=FEWEST,
        usable=lambda read, true, far: read > QUIET,
    ),
    "pull_strength": Law(
        label="orbit: pull over the true one",
        experiment="law_orbit",
        law=1.0,
        columns=("pull", "pull_true"),
        figure=_share,
    ),
    "spring_period": Law(
        label="spring: period over the true one",
        experiment="law_spring",
        law=1.0,
        columns=("spring_period", "spring_period_true"),
        figure=_share,
    ),
    "pendulum_period": Law(
        label="pendulum: period over the true one",
        experiment="law_pendulum",
        law=1.0,
        columns=("pendulum_period", "pendulum_period_true"),
        figure=_share,
    ),
    "impact_momentum": Law(
        label="impact: momentum that appears or is lost, share",
        experiment="law_impact",
        law=0.0,
        columns=("impact_momentum",),
        figure=_size,
    ),
    "impact_energy": Law(
        label="impact: energy that appears or is lost, share",
        experiment="law_impact",
        law=0.0,
        columns=("impact_energy",),
        figure=_size,
    ),
    "shifted": Law(
        label="elsewhere: difference after 20 frames",
        experiment="law_shifted",
        unit="px",
        law=0.0,
        columns=("shifted",),
        figure=_mean,
    ),
    "boosted": Law(
        label="in a moving frame (Galilei): difference",
        experiment="law_boosted",
        unit="px",
        law=0.0,
        columns=("boosted",),
        figure=_mean,
    ),
    "turned": Law(
        label="turned: difference", experiment="law_turned", unit="px", law=0.0, columns=("turned",), figure=_mean
    ),
    "mirrored": Law(
        label="mirrored: difference", experiment="law_mirrored", unit="px", law=0.0, columns=("mirrored",), figure=_mean
    ),
    "half_step": Law(
        label="at half the time step: difference",
        experiment="law_half_step",
        unit="px",
        law=0.0,
        columns=("half_step",),
        figure=_mean,
    ),
}


def law_figures(readings: Mapping[str, Sequence[Reading]]) -> dict[str, Any]:
    """Law -> {label, unit, law, methods: method -> {mean, low, high, count, nothing}}; laws nobody was asked about are
    left out.

    Args:
        readings: method -> one reading per experiment, the same experiments for every method.

    `count` experiments make the figure, `nothing` more show none of it; a figure without enough of them is None. The
    interval is the 95 % percentile bootstrap over experiments.
    """
    found: dict[str, Any] = {}
    for name, law in LAWS.items():
        methods: dict[str, Any] = {}
        for method, rows in readings.items():
            mine = [row for row in rows if law.columns[0] in row]
            if mine:
                methods[method] = _figure(law, mine)
        if methods:
            found[name] = {
                "label": law.label,
                "experiment": law.experiment,
                "unit": law.unit,
                "law": law.law,
                "methods": methods,
            }
    return found


def _figure(law: Law, rows: Sequence[Reading]) -> dict[str, Any]:
    known = [[row[c] for c in law.columns] for row in rows]
    table = np.array([k for k in known if all(v is not None and np.isfinite(v) for v in k)], np.float64)
    table = table.reshape(-1, len(law.columns)).T
    if law.usable is not None and table.size:
        table = table[:, law.usable(*table)]
    count = table.shape[1]
    nothing = len(rows) - count
    if count < law.fewest:
        return {"mean": None, "low": None, "high": None, "count": count, "nothing": nothing}
    return {**bootstrap_statistic(table, law.figure).to_dict(), "nothing": nothing}
