"""Where every object is when, over all sections of a song, for programs that draw or automate it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

from physworld.io.names import no_formula
from physworld.spatial.scene.reading import canonical
from physworld.spatial.scene.terms import wrapped
from physworld.spatial.sound.render import RATE, Section

COLUMNS = ("id", "class", "time_s", "azimuth_deg", "elevation_deg", "distance_m", "width", "gain_db")


class Point(NamedTuple):
    time: float  # s
    az: float  # degrees, positive to the left
    el: float
    dist: float  # m
    width: float
    gain: float  # dB


def timelines(sections: Sequence[Section], fade: float) -> dict[str, tuple[str, list[Point]]]:
    """Object id -> (class, its points in order of time; linear in between, at rest outside).

    A section's path fills its time but for half a cross-fade at borders, where the next one's begins.
    """
    found: dict[str, tuple[str, list[Point]]] = {}
    for k, section in enumerate(sections):
        begin = section.start / RATE + (fade / 2 if k else 0.0)
        end = max(begin, section.end / RATE - (fade / 2 if k + 1 < len(sections) else 0.0))
        for thing in section.scene.objects:
            _, points = found.setdefault(thing.id, (thing.track_class, []))
            path = thing.path if thing.moves else [(0.0, thing.pose)]
            made = [Point(begin + t * (end - begin), *pose, thing.width, thing.gain_db) for t, pose in path]
            if made[0].time > begin:
                made.insert(0, made[0]._replace(time=begin))
            if made[-1].time < end and len(sections) > 1:
                made.append(made[-1]._replace(time=end))
            points += made
    return found


def unrolled(points: Sequence[Point]) -> list[Point]:
    """The same with two points at once where the shorter way round crosses the back, for envelopes from -180 to 180."""
    found: list[Point] = []
    for point in points:
        last = found[-1] if found else point
        turn = wrapped(point.az - last.az)
        if turn != point.az - last.az:
            edge = math.copysign(180.0, turn or last.az)
            share = (edge - last.az) / turn if turn else 0.0
            there = Point(*(a + share * (b - a) for a, b in zip(last, point, strict=True)))
            found += [there._replace(az=edge), there._replace(az=-edge)]
        found.append(point)
    return found


def as_csv(sections: Sequence[Section], fade: float) -> str:
    """One line per point; names that begin like a formula get an apostrophe, as spreadsheets know it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, (kind, points) in timelines(sections, fade).items():
        shown = no_formula(name)
        for point in points:
            writer.writerow([shown, kind, *(canonical(round(value, 6)) for value in point)])
    return out.getvalue()
