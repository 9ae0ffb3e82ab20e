"""The JSON Schemas (draft-07) of payloads and scenes, made from the classes that read them.

`python -m physworld.spatial.scene.contract` writes them to physworld/spatial/schemas/, for other programs.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from physworld.spatial.scene.documents import Payload, SpatialScene, Strict

DRAFT = "http://json-schema.org/draft-07/schema#"
BEYOND = (
    "What a scene is asked for. Beyond this schema: ids are unique, the three band energies sum to 1 within 0.05, "
    "min <= max in ranges."
)
ORDER = ("$schema", "title", "description", "type", "minItems", "maxItems", "minimum", "maximum", "required",
         "additionalProperties")  # of keys, before any others  # fmt: skip
FOLDER = Path(__file__).parent.parent / "schemas"


class _Draft7(GenerateJsonSchema):
    """Without what only documents pydantic: titles, defaults, null for keys that may be left out."""

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def model_schema(self, schema: Any) -> dict[str, Any]:
        found = super().model_schema(schema)
        found.pop("description", None)
        kind = schema["cls"]
        if issubclass(kind, Strict) and kind.forms:
            keys = sorted({key for form in kind.forms for key in form})
            found["oneOf"] = [_form(form, keys) for form in kind.forms]
        return found


def _form(form: tuple[str, ...], keys: list[str]) -> dict[str, Any]:
    """These keys and none of the others."""
    others = [{"required": [key]} for key in keys if key not in form]
    return {"required": list(form), "not": {"anyOf": others}}


@functools.cache
def schema(name: str) -> dict[str, Any]:
    """A JSON Schema (draft-07) of this package: `payload` or `scene`."""
    kinds: dict[str, tuple[type[Strict], str]] = {
        "payload": (Payload, "Payload"),
        "scene": (SpatialScene, "Spatial9Scene"),
    }
    kind, title = kinds[name]
    made = kind.model_json_schema(schema_generator=_Draft7)
    plain: dict[str, Any] = _inlined(made, made.get("$defs", {}))
    about = {"description": BEYOND} if name == "payload" else {}
    return {"$schema": DRAFT, "title": title, **about, **plain}


def _inlined(node: Any, definitions: dict[str, Any], names: bool = False) -> Any:
    """References written out; `names` = the keys of this node are a document's own."""
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(definitions[node["$ref"].rpartition("/")[2]], definitions)
    left_out = set() if names else {"$defs", "title", "discriminator"}
    found = {
        key: _inlined(value, definitions, names=key == "properties")
        for key, value in node.items()
        if key not in left_out
    }
    if not names and ("enum" in found or "const" in found):
        found.pop("type", None)  # the values say it
    return found if names else {key: found[key] for key in sorted(found, key=_rank)}


def _rank(key: str) -> int:
    return ORDER.index(key) if key in ORDER else len(ORDER)


def write(folder: Path = FOLDER) -> None:
    for name in ("payload", "scene"):
        (folder / f"{name}.schema.json").write_text(json.dumps(schema(name), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
