"""The table of `suite=phyworld`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from physworld.metrics.scores import MODEL
from physworld.reporting.markdown import span, table

LABELS = {MODEL: "model", "copy_last": "copy-last"}
LEFT_OUT = ("placebo",)  # random kicks say nothing where there is no contact
# arXiv 2411.02385, uniform motion. Truth: the true video through its parser. DiT-B and DiT-L: trained on so many clips
# of this system alone.
PUBLISHED = {
    "truth through its parser": {"in": 0.010},
    "DiT-L, 3 M clips": {"in": 0.012, "out": 0.427},
    "DiT-B, 30 K clips": {"out": 0.433},
    "DiT-B, 300 K clips": {"out": 0.328},
    "DiT-B, 3 M clips": {"out": 0.358},
}


def phyworld_section(summary: Mapping[str, Any]) -> list[str]:
    """Errors of velocity of everybody; nothing for other suites."""
    if "phyworld" not in summary:
        return []
    found = summary["phyworld"]
    kinds = list(found)
    lines = [
        "## PhyWorld", "",
        "Mean absolute error of velocity, in units a second of its world of 10 units, over the 28 frames after the "
        "four that are given; intervals are over clips. *in*: speeds and sizes as in its training sets; *out*: "
        "smaller, as in its out-of-distribution sets; *larger*: above them. The model reads states and not pixels, and "
        "was not trained on these systems; the published models were, on nothing else. *Truth* is this package's "
        "simulator from the last given frame; with a tracker or parser, the true clips, painted and read back from "
        "their pixels, the first ones of a kind (`n` of them where the other rows are over more).", "",
    ]  # fmt: skip
    names = [name for name in found[kinds[0]] if name not in LEFT_OUT]
    rows = [
        [LABELS.get(name, name.replace("_", " ")), *(_cell(found[kind][name], found[kind][MODEL]) for kind in kinds)]
        for name in names
    ]
    for who, errors in PUBLISHED.items():
        cells = [f"{errors[kind.split()[1]]:.3f}" if _has(kind, errors) else "–" for kind in kinds]
        if set(cells) != {"–"}:
            rows.append([f"published: {who}", *cells])
    return lines + table(["who", *kinds], rows)


def _cell(part: Mapping[str, Any] | None, model: Mapping[str, Any] | None) -> str:
    """A figure, and how many clips it is of, where the model's is of others."""
    fewer = part is not None and model is not None and part["count"] != model["count"]
    return span(part, ".3f") + (f", n = {part['count']}" if part is not None and fewer else "")


def _has(kind: str, errors: Mapping[str, float]) -> bool:
    system, split = kind.split()
    return system == "uniform" and split in errors
