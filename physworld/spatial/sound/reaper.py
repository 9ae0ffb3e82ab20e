"""A Reaper project: a track for every object with its file, its level and its place as automation, and an ambisonic
bus.

Places are envelopes of IEM's StereoEncoder (azimuth and elevation are its parameters 6 and 7, from -180 to 180 degrees,
positive to the left: its source, createParameterLayout). The plug-in is free (plugins.iem.at) and must be installed;
where it is not, Reaper opens the project all the same and lists it as missing. Distance and gain are the track's
volume, width is the plug-in's stereo width (parameter 9, -360 to 360 degrees), which two-channel stems show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from physworld.spatial.scene.reading import printable
from physworld.spatial.sound.files import StemFile
from physworld.spatial.sound.render import NEAREST, RATE, Section
from physworld.spatial.sound.timeline import Point, timelines, unrolled

ORDER = 3
CHANNELS = (ORDER + 1) ** 2
AZIMUTH, ELEVATION, WIDTH = 6, 7, 9  # parameters of the plug-in
SOURCES = {".wav": "WAVE", ".flac": "FLAC", ".aif": "WAVE", ".aiff": "WAVE", ".aifc": "WAVE"}


def quoted(text: str) -> str:
    """As Reaper writes words: in the first kind of quotes that they do not hold."""
    text = printable(text)
    for mark in "\"'`":
        if mark not in text:
            return f"{mark}{text}{mark}"
    return f"`{text.replace('`', chr(39))}`"


def project(
    sections: Sequence[Section], files: Mapping[str, StemFile], *, fade: float, bpm: float, names: Sequence[str]
) -> str:
    """The text of a .RPP file.

    Args:
        files: of every stem, by id; stems that are no object anywhere get a track to the front.
        names: of the sections, for markers.
    """
    lines = [
        '<REAPER_PROJECT 0.1 "7.0" 0', "  RIPPLE 0", f"  SAMPLERATE {RATE} 0 0", f"  TEMPO {bpm:.6f} 4 4",
        *(
            f"  MARKER {k} {section.start / RATE:.6f} {quoted(name)} 0"
            for k, (section, name) in enumerate(zip(sections, names, strict=True), 1)
        ),
        "  <TRACK", '    NAME "Ambisonics (AmbiX, order 3)"', f"    NCHAN {CHANNELS}", "    ISBUS 1 1",
        "    MAINSEND 1 0", "  >",
    ]  # fmt: skip
    moving = timelines(sections, fade)
    for name, file in files.items():
        kind, points = moving.get(name, ("bed", [Point(0.0, 0.0, 0.0, 1.0, 0.0, 0.0)]))
        lines += _track(f"{name} ({kind})", file, points)
    last = len(lines) - 1 - lines[::-1].index("  <TRACK")
    lines.insert(last + 1, "    ISBUS 2 -1")  # the folder ends here
    return "\n".join([*lines, ">", ""])


def _volume(point: Point) -> float:
    return 10 ** (point.gain / 20) / max(point.dist, NEAREST)


def _track(name: str, file: StemFile, points: Sequence[Point]) -> list[str]:
    """A track in the folder of the ambisonic one: it sends all its channels there."""
    volume = _volume(points[0])
    lines = ["  <TRACK", f"    NAME {quoted(name)}", f"    NCHAN {CHANNELS}", f"    VOLPAN {volume:.6f} 0 -1 -1 1"]
    changes = [(point.time, _volume(point)) for point in points]
    if len({round(value, 6) for _, value in changes}) > 1:
        dots = [f"      PT {time:.6f} {value:.6f} 0" for time, value in changes]
        lines += ["    <VOLENV2", "      ACT 1 -1", "      VIS 1 1 1", *dots, "    >"]
    lines += [
        "    <FXCHAIN", "      SHOW 0", "      LASTSEL 0", "      DOCKED 0", "      BYPASS 0 0 0",
        '      <VST "VST: StereoEncoder (IEM)" StereoEncoder 0 "" 1399145838 ""', "      >",
    ]  # fmt: skip
    flat = unrolled(points)
    for number, values in (
        (AZIMUTH, [(p.time, (p.az + 180) / 360) for p in flat]),
        (ELEVATION, [(p.time, (p.el + 180) / 360) for p in points]),
        (WIDTH, [(p.time, (180 * p.width + 360) / 720) for p in points]),
    ):
        lines += [
            f"      <PARMENV {number} 0 1 0.5", "        ACT 1 -1", "        VIS 1 1 1",
            *(f"        PT {t:.6f} {value:.8f} 0" for t, value in values), "      >",
        ]  # fmt: skip
    lines += [
        "    >", "    <ITEM", "      POSITION 0", f"      LENGTH {file.seconds:.6f}",
        f"      NAME {quoted(file.path.name)}",
        f"      <SOURCE {SOURCES[file.path.suffix.lower()]}", f"        FILE {quoted(str(Path(file.path).resolve()))}",
        "      >", "    >", "  >",
    ]  # fmt: skip
    return lines
