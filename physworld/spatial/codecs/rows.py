"""Rows of {"prompt", "completion"} text, as the published training files have them."""

from __future__ import annotations

import json
from typing import Any

from physworld.errors import FormatError
from physworld.spatial.scene.documents import Payload, SpatialScene
from physworld.spatial.scene.reading import (
    MOST_BYTES,
    Invalid,
    dumps,
    parse_json,
    payload_from,
    scene_from,
)

INSTRUCTION = "GravityLLM: Output ONLY valid JSON matching the Spatial9Scene schema.\n\nINPUT:\n"


MOST_ROW = 4 * MOST_BYTES  # of a line: two documents, in which every quote is two bytes


def prompt_text(payload: Payload) -> str:
    return INSTRUCTION + dumps(payload)


def row(payload: Payload, scene: SpatialScene) -> dict[str, str]:
    return {"prompt": prompt_text(payload), "completion": dumps(scene)}


def read_row(line: str | bytes, where: str) -> tuple[Payload, SpatialScene]:
    """Payload and scene of one line.

    Raises:
        FormatError: the line is no row; the message names it and the JSON path.
    """
    if len(line) > MOST_ROW + 1:  # the line's end
        raise FormatError(f"{where} has more than {MOST_ROW:,} bytes.")
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise FormatError(f"{where} is no JSON.") from None
    if not isinstance(data, dict) or not all(isinstance(data.get(key), str) for key in ("prompt", "completion")):
        raise FormatError(f"{where} is no row with a prompt and a completion.")
    _, found, payload = data["prompt"].partition("INPUT:\n")
    if not found:
        raise FormatError(f"{where}: its prompt has no line INPUT: with a payload below it.")
    try:
        return payload_from(parse_json(payload)), scene_from(parse_json(data["completion"]))
    except Invalid as error:
        raise FormatError(f"{where}: {error}.") from None
