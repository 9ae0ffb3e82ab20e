"""Untrusted JSON into payloads and scenes, and these into canonical text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from pydantic import ValidationError

from physworld.io.integers import whole_number
from physworld.spatial.scene.contract import schema as schema
from physworld.spatial.scene.documents import RULE_TYPES, Payload, SpatialScene

_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
MOST_BYTES = 1_000_000  # a payload or scene of full size is below 100 kB
DEEPEST = 20  # lists and objects in each other; a key of a listening test has nine


def printable(text: str) -> str:
    """The same with control characters spelled out: an id from a stranger moves no cursor and breaks no line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


@dataclass(frozen=True)
class Violation:
    """What is wrong, and where: `$.objects[2].az_deg`."""

    path: str
    message: str

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.message}")


class Invalid(ValueError):
    """A document that is not what it should be; every finding has its JSON path."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("; ".join(map(str, violations[:5])))
        self.violations = violations


def dumps(document: Payload | SpatialScene | dict[str, Any]) -> str:
    """Canonical text: no blanks, whole numbers without a decimal point."""
    return json.dumps(as_dict(document), separators=(",", ":"), ensure_ascii=False)


def as_dict(document: Payload | SpatialScene | dict[str, Any]) -> dict[str, Any]:
    if isinstance(document, dict):
        return document
    return canonical(
        document.model_dump(by_alias=True, exclude_none=True, exclude_defaults=isinstance(document, Payload))
    )


def canonical(node: Any) -> Any:
    """Whole numbers without a decimal point: how grammars write them, and equal to what they were."""
    if isinstance(node, dict):
        return {name: canonical(child) for name, child in node.items()}
    if isinstance(node, list):
        return [canonical(child) for child in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


def read_payload(text: str | bytes) -> Payload:
    """Raises: Invalid."""
    return payload_from(parse_json(text))


def payload_from(data: Any) -> Payload:
    """Raises: Invalid."""
    payload = _validated(Payload, data)
    first: dict[str, int] = {}
    for k, stem in enumerate(payload.stems):
        if first.setdefault(stem.id, k) != k:
            raise Invalid([Violation(f"$.stems[{k}].id", f"{stem.id} is also the id of stems[{first[stem.id]}]")])
    return payload


def read_scene(text: str | bytes) -> SpatialScene:
    """Raises: Invalid."""
    return scene_from(parse_json(text))


def scene_from(data: Any) -> SpatialScene:
    """Parsed JSON, or a SpatialScene, which is judged anew: one that was put together by hand may hold anything.

    Raises:
        Invalid: it does not keep the contract.
    """
    if isinstance(data, SpatialScene):
        data = data.model_dump(by_alias=True, warnings=False)
    return _validated(SpatialScene, data)


def parse_json(text: str | bytes, most: int = MOST_BYTES) -> Any:
    """JSON without NaN, numbers that no double holds, broken Unicode, repeated keys, depth or more than `most` bytes.

    Raises:
        Invalid: with the place of the first mistake.
    """
    if len(text) > most:
        raise Invalid([Violation("$", f"{len(text):,} bytes are too many; a document has at most {most:,}")])
    try:
        data = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=whole_number,
            object_pairs_hook=_unique,
        )
        if _ESCAPED.search(text if isinstance(text, str) else text.decode(json.detect_encoding(text))):
            json.dumps(data, ensure_ascii=False).encode()  # half a pair of surrogates cannot be written again
        level = [data]
        for _ in range(DEEPEST):
            level = [child for node in level for child in _children(node)]
        if level:
            raise RecursionError  # it could be read, but neither copied nor printed
        return data
    except RecursionError:
        raise Invalid([Violation("$", "nested too deeply")]) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise Invalid([Violation("$", f"no valid JSON: {error}"[:200])]) from None


def lines(file: IO[bytes], most: int = MOST_BYTES) -> Iterator[bytes]:
    """Lines of a file, of which no more is kept than shows that they have more than `most` bytes."""
    while line := file.readline(most + 2):
        kept = line
        while line and not line.endswith(b"\n"):
            line = file.readline(most)
        yield kept


def _children(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is too large a number")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)[:40]!r} is given twice")
    return found


def _validated(kind: Any, data: Any) -> Any:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise Invalid([_violation(item) for item in error.errors(include_url=False, include_input=False)]) from None
    except RecursionError:
        raise Invalid([Violation("$", "nested too deeply")]) from None


def _violation(item: Any) -> Violation:
    path, last = "$", ""
    for part in item["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not (last == "rule" and part in RULE_TYPES):  # pydantic names the kind of rule as if it were a key
            path += f".{part[:40]}" if part.isidentifier() else f"[{part[:40]!r}]"
        last = "rule" if isinstance(part, int) and path.startswith("$.rules") else ""
    return Violation(path, item["msg"].removeprefix("Value error, ").removeprefix("Input "))
