"""The tokens of spatial scenes: chunks of a key with its value, words of the brief, numbered names."""

from __future__ import annotations

import json

from physworld.spatial.scene.reading import canonical
from physworld.spatial.scene.rules import VERSION
from physworld.spatial.scene.terms import (
    BANDS,
    CLASSES,
    DIALS,
    FORMATS,
    MOST_OBJECTS,
    MOST_RULES,
    POSE,
    ROOMS,
    SECTIONS,
    STYLES,
    grid_values,
)

APART = range(181)  # degrees, rounded up
TENTHS = [k / 10 for k in range(11)]


def label(sign: str, number: int) -> str:
    return f"{sign}{number}"


def families() -> dict[str, list[tuple[str, float]]]:
    """Family -> (token, value): everything that carries a number."""
    found = {name: [(chunk(name, v), float(v)) for v in grid_values(name)] for name in (*POSE, *DIALS)}
    times = [(number(v), float(v)) for v in grid_values("t")]
    found["t_first"] = [(f',"motion":[{{"t":{text}', v) for text, v in times]
    found["t"] = [(f'}},{{"t":{text}', v) for text, v in times]
    found["loudness"] = [(chunk("loudness_target_lufs", v), float(v)) for v in grid_values("loudness_target_lufs")]
    found["energy"] = [(f" energy={v:g}\n", v) for v in TENTHS]
    found["transient"] = [(f" transient={v:g}", v) for v in TENTHS]
    found["leadness"] = [(f" leadness={v:g}", v) for v in TENTHS]
    found["lufs"] = [(f" lufs={v}", float(v)) for v in range(-60, 1)]
    found["reach"] = [(f" reach={v}", float(v)) for v in range(181)]
    found["apart"] = [(f" {v}deg", float(v)) for v in APART]
    return found


def plain_words() -> list[str]:
    words = [f'{{"version":"{VERSION}","bed":{{"layout":"{layout}"' for layout in FORMATS]
    words += [f',"room_preset":"{room}"}},"objects":[{{"id":"' for room in ROOMS]
    words += [f'{label("@", k)}"' for k in range(1, MOST_OBJECTS + 1)]
    words += [f',"class":"{name}"' for name in CLASSES]
    words += [f'"{label("#", k)}"' for k in range(1, MOST_RULES + 1)]
    words += [f',"{label("#", k)}"' for k in range(1, MOST_RULES + 1)]
    words += [NO_MOTION + NEXT, NO_MOTION + LAST, MOVED + NEXT, MOVED + LAST, FINISH]
    words += [f"brief fmt={name}" for name in FORMATS]
    words += [f" style={name}" for name in STYLES] + [f" section={name}" for name in SECTIONS]
    words += [f" band={name}" for name in BANDS]
    words += [" low", " high", " still", " apart", "\n", "rules", " holds", " conflict", " again", "scene\n"]
    return words


NO_MOTION, MOVED = ',"motion":[]', "}]"
NEXT, LAST = '},{"id":"', '}],"constraints_applied":['
FINISH = "]}"


def number(value: float) -> str:
    return json.dumps(canonical(float(value)))


def chunk(name: str, value: float) -> str:
    return f',"{name}":{number(value)}'
