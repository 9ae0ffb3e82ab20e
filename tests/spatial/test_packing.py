"""Separations that cannot hold are proved to, those that can are found, and the search comes to its end."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physworld.spatial.scene.brief import resolve
from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.packing import BEST, Room, at_most, directions, impossible, widest
from physworld.spatial.scene.reading import as_dict
from physworld.spatial.scene.repair import repair
from physworld.spatial.scene.rules import check
from physworld.spatial.scene.terms import great_circle

from spatial_tools import payload
from timing import within

ANYWHERE = Room(None, -45.0, 90.0)
FLAT = Room(None, -5.0, 5.0)


def asked(count: int, degrees: float, *rules: dict[str, Any]) -> Payload:
    stems = [{**as_dict(payload())["stems"][3], "id": f"s{k}"} for k in range(count)]
    apart = {"type": "avoid_masking", "a": "pad", "b": "pad", "min_sep_deg": degrees}
    return payload(stems=stems, max_objects=count, rules=[apart, *rules])


def pinned(k: int, az: float, el: float = 0) -> dict[str, Any]:
    return {"type": "anchor", "id": f"s{k}", "az_deg": az, "el_deg": el, "dist_m": 2}


def every(count: int, degrees: float) -> dict[tuple[int, int], float]:
    return {(i, j): degrees for i in range(count) for j in range(i + 1, count)}


def test_the_bounds_are_those_of_the_books() -> None:
    """Figures whose angles are known in closed form, and none above Fejes Tóth's bound."""
    golden = (1 + math.sqrt(5)) / 2
    known = {
        3: 120, 4: math.degrees(math.acos(-1 / 3)), 6: 90, 9: math.degrees(math.acos(1 / 3)),
        12: math.degrees(math.acos(golden / (golden + 2))),
    }  # fmt: skip
    for n, degrees in known.items():
        assert BEST[n] == pytest.approx(degrees, abs=1e-5)
    assert BEST[8] == pytest.approx(math.degrees(math.acos((2 * math.sqrt(2) - 1) / 7)), abs=1e-5)
    assert [at_most(d) for d in (181, 180, 121, 120, 110, 109, 91, 90, 78, 77, 63, 64)] == [
        1, 2, 2, 3, 3, 4, 4, 6, 6, 7, 12, 10,
    ]  # fmt: skip
    bounds = [widest(n)[0] for n in range(2, 60)]
    assert bounds == sorted(bounds, reverse=True)
    for n, degrees in BEST.items():
        if n > 2:
            omega = n / (n - 2) * math.pi / 6
            assert degrees <= math.degrees(math.acos((1 / math.tan(omega) ** 2 - 1) / 2)) + 1e-6


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 16), st.integers(0, 10_000), st.floats(0, 1))
def test_what_stands_somewhere_is_never_called_impossible(count: int, seed: int, share: float) -> None:
    """Separations read off real directions on the grid, some of them pinned, some left out: no proof may be found."""
    rng = np.random.default_rng(seed)
    spots = [(float(rng.integers(-179, 181)), float(rng.integers(-45, 91))) for _ in range(count)]
    rooms = [
        Room((int(az),), el, el) if rng.random() < 0.3 else Room(None, max(-45.0, el - 20 * share), min(90.0, el + 9))
        for az, el in spots
    ]
    least = {
        (i, j): great_circle(spots[i], spots[j])
        for i in range(count)
        for j in range(i + 1, count)
        if rng.random() < 0.8
    }
    assert list(impossible(rooms, least)) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 8), st.integers(0, 10_000))
def test_a_scene_that_stands_is_never_said_to_be_impossible(count: int, seed: int) -> None:
    """Rules read off a real scene, low end at one azimuth, anchors with and without tolerance: all of them can hold."""
    rng = np.random.default_rng(seed)
    low = rng.random(count) < 0.5  # which objects the mono rule holds at azimuth 0
    spots = [(0 if low[k] else int(rng.integers(-179, 181)), int(rng.integers(-45, 91))) for k in range(count)]
    template = as_dict(payload())["stems"]
    stems = [{**template[2 if low[k] else 3], "id": f"s{k}"} for k in range(count)]
    rules: list[dict[str, Any]] = [{"type": "mono_low_end", "hz_below": 120}]
    for k in range(count):
        if rng.random() < 0.5:
            tol = {"az_deg": 0, "el_deg": int(rng.choice([0, 20])), "dist_m": 0.05}
            rules.append({**pinned(k, *spots[k]), "tol": tol})
    for i in range(count):
        rules += [
            {"type": "avoid_masking", "a": f"s{i}", "b": f"s{j}", "min_sep_deg": great_circle(spots[i], spots[j])}
            for j in range(i + 1, count)
            if rng.random() < 0.8 and len(rules) < 32
        ]
    if low.sum() > 2 and len(rules) < 32:
        heights = sorted(el for (_, el), bass in zip(spots, low, strict=True) if bass)
        least = min(b - a for a, b in pairwise(heights))
        rules.append({"type": "avoid_masking", "a": "bass", "b": "bass", "min_sep_deg": least})
    assert resolve(payload(stems=stems, max_objects=count, rules=rules[:32])).conflicts == ()


@pytest.mark.parametrize(
    ("count", "low", "rules"),
    [
        # 151.97° below the voice, at neither end of the elevations nor at 0
        (2, 1, [{**pinned(1, 150, 20), "tol": {"az_deg": 0, "el_deg": 0, "dist_m": 0.05}}, ("s0", "s1", 150.0)]),
        # 50°, 0° and -45°: one is held, and those that are not go round it
        (3, 3, [pinned(0, 0, 50), ("bass", "bass", 40.0)]),
    ],
)
def test_what_is_not_proved_is_found(count: int, low: int, rules: list[Any]) -> None:
    template = as_dict(payload())["stems"]
    stems = [{**template[2 if k < low else 3], "id": f"s{k}"} for k in range(count)]
    said = [
        r if isinstance(r, dict) else {"type": "avoid_masking", "a": r[0], "b": r[1], "min_sep_deg": r[2]}
        for r in rules
    ]
    wanted = payload(stems=stems, max_objects=count, rules=[{"type": "mono_low_end", "hz_below": 120}, *said])
    assert not resolve(wanted).conflicts and check(engineer(wanted), wanted).passed("avoid_masking") is True


@pytest.mark.parametrize(
    ("rooms", "least", "words"),
    [
        ([ANYWHERE] * 8, every(8, 90), "at most 6 directions are 90° apart"),
        ([ANYWHERE] * 7, every(7, 78), "at most 6 directions are 78° apart"),
        ([ANYWHERE] * 5, every(5, 91), "at most 4 directions are 91° apart (Rankin)"),
        ([ANYWHERE] * 32, every(32, 40), "(Fejes Tóth)"),
        ([ANYWHERE] * 4, {**every(4, 100), (0, 1): 140, (2, 3): 140}, "cosines"),
        ([FLAT] * 7, every(7, 60), "each of 7 objects needs 60° of azimuth"),
        ([Room((0,), 0, 0), Room((100,), 0, 0), Room((-130,), 0, 0), ANYWHERE], every(4, 100), "leave no direction"),
        ([Room((0,), 0, 0), Room((10,), 0, 0), *[ANYWHERE] * 6], dict(list(every(8, 90).items())[1:]), "at most 6"),
    ],
)  # fmt: skip
def test_proofs(rooms: list[Room], least: dict[tuple[int, int], float], words: str) -> None:
    found = list(impossible(rooms, least))
    assert found and words in found[0][1]


def test_directions_are_unit_vectors_of_the_grid() -> None:
    assert np.linalg.norm(directions(None, -45, 90), axis=1) == pytest.approx(1)
    assert len(directions(None, -45, 90)) == 360 * 136 and len(directions((0, 5), -0.5, 2)) == 6


@pytest.mark.parametrize(
    "wanted",
    [
        asked(8, 90), asked(7, 90), asked(6, 91), asked(32, 180), asked(12, 64),
        asked(7, 60, {"type": "elevation_range", "min_deg": -5, "max_deg": 5}),
        asked(4, 100, pinned(0, 0), pinned(1, 100), pinned(2, -130)),
    ],
)  # fmt: skip
def test_what_cannot_hold_is_said_to_at_once(wanted: Payload) -> None:
    mended, report = within(2, lambda: ((done := repair({}, wanted)), check(done.scene, wanted)))
    assert report.verdicts[0].status == "conflict" and not report.violations and report.obeys
    assert all("apart" in str(v) or "azimuth" in str(v) or "direction" in str(v) for v in report.conflicts)
    assert len(mended.scene.objects) == len(wanted.stems)
    directions = {thing.pose[:2] for thing in mended.scene.objects}
    assert len(directions) == len(wanted.stems), "each stands somewhere else all the same"


@pytest.mark.parametrize(
    "count, degrees", [(2, 180), (3, 120), (4, 109), (5, 90), (6, 90), (7, 77), (8, 74), (9, 70), (16, 50)]
)
def test_what_can_hold_is_found(count: int, degrees: float) -> None:
    """Known best packings, less than one degree above what is asked."""
    wanted = asked(count, degrees)
    scene = within(2, lambda: engineer(wanted))
    assert not resolve(wanted).conflicts and check(scene, wanted).passed("avoid_masking") is True


@pytest.mark.parametrize("wanted", [asked(13, 57), asked(32, 36), asked(6, 90, pinned(0, 0), pinned(1, 100))])
def test_the_rest_ends_in_time_and_is_called_broken(wanted: Payload) -> None:
    """No proof and no place: the rule counts as broken, and repairing again changes nothing."""
    scene = within(4, lambda: engineer(wanted))
    assert check(scene, wanted).verdicts[0].status == "fail"


def test_other_objects_than_the_brief_s_are_excused_alike() -> None:
    """Which eight of twelve become objects is the scene's own choice; no eight can be 90° apart."""
    wanted = asked(12, 90)
    wanted = wanted.model_copy(update={"max_objects": 8})
    scene = as_dict(engineer(wanted))
    for thing, name in zip(scene["objects"], [f"s{k}" for k in range(4, 12)], strict=True):
        thing["id"] = name
    assert {v.status for v in check(scene, wanted).verdicts} == {"conflict"}


def test_objects_that_a_scene_has_not_excuse_nothing() -> None:
    """Seven guitars cannot be 90° apart; two of them can, and a scene of two that stand together breaks the rule."""
    template = as_dict(payload())["stems"][3]
    guitars = [{**template, "id": f"g{k}", "class": "guitar", "leadness": 0.9} for k in range(7)]
    pads = [{**template, "id": f"p{k}"} for k in range(5)]
    apart = {"type": "avoid_masking", "a": "guitar", "b": "guitar", "min_sep_deg": 90}
    wanted = payload(stems=[*guitars, *pads], max_objects=7, rules=[apart])
    scene = as_dict(engineer(wanted))
    assert check(scene, wanted).verdicts[0].status == "conflict"
    for n, thing in enumerate(scene["objects"][2:]):
        thing.update({"id": f"p{n}", "class": "pad"})
    for n, thing in enumerate(scene["objects"][:2]):
        thing.update({"az_deg": n, "el_deg": 0})
    assert check(scene, wanted).verdicts[0].status == "fail"
    scene["objects"][1]["az_deg"] = 90
    assert check(scene, wanted).verdicts[0].status == "pass"
