"""How a scene model is evaluated: columns raw / schema / pinned / repaired, rows model and baselines, per axis.

Raw is the model alone. Grammars and repair make scenes valid whatever the model says, so their columns stand beside a
network with random weights: only what is above its row was learned.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from physworld.accumulators import Samples
from physworld.errors import UserError, suggest
from physworld.metrics.bootstrap import bootstrap_mean, share
from physworld.protocols import Generator
from physworld.runs.pieces import ALONE, Arrays, Ask, Pieces
from physworld.settings.checks import whole
from physworld.spatial.codecs.grammar import MODES
from physworld.spatial.codecs.scene_codec import SceneCodec
from physworld.spatial.metrics import ERRORS, PARTIAL, RATES, Score, diversity, score_scene
from physworld.spatial.scene.brief import Brief
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.reading import Invalid, as_dict, scene_from
from physworld.spatial.scene.repair import distance, repair
from physworld.spatial.scene.rules import tag
from physworld.spatial.sources.drawn import EVERY, SpatialSource
from physworld.types import Sample

REPAIRED = "repaired"
ALONE_AGAIN = "raw, one by one"  # to see whether the batch changes an answer
MODEL, ENGINEER, RANDOM, NEIGHBOUR = "model", "engineer", "random weights", "nearest neighbour"


@dataclass(frozen=True, kw_only=True, eq=False)
class SpatialCases:
    """What every model is asked about."""

    axes: dict[str, list[Sample]]
    pool: list[Sample]  # training scenes that the nearest-neighbour copy looks among


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What one decoding mode said, and what it cost."""

    scenes: list[Any]  # parsed JSON, None where it could not be read
    tokens: int
    seconds: float
    ids: list[np.ndarray]


class SceneScores(Samples):
    """`score_scene` of many answers, over batches and ranks -> name -> values of the answers that it applies to."""

    def __init__(self, **options: Any) -> None:
        super().__init__(*RATES, *ERRORS, **options)

    def compute(self) -> dict[str, list[float]]:  # type: ignore[override]
        found = self.gathered()
        known = {name: found[name][~np.isnan(found[name])].tolist() for name in self.columns}
        return {name: values for name, values in known.items() if values}


def known_figures(scores: Sequence[Score]) -> dict[str, list[float]]:
    """Name -> values of the answers that it applies to."""
    gathered = SceneScores(sync_on_compute=False)  # an evaluation is one process's own
    gathered.update(range(len(scores)), [{**dict.fromkeys(gathered.columns), **score} for score in scores])
    return gathered.compute()


@dataclass
class Cell:
    """One row and column of the table on one axis."""

    scores: list[Score]
    scenes: list[Any]
    speed: float | None = None  # tokens/s
    held: dict[str, list[float]] = field(default_factory=dict)  # name -> 1 or 0 of each payload that it is of

    def summary(self) -> dict[str, Any]:
        """Every figure as {mean, low, high, n}; figures that apply to no payload are left out."""
        found: dict[str, Any] = {name: _interval(name, v) for name, v in known_figures(self.scores).items()}
        valid = [scene for scene in map(_valid, self.scenes) if scene is not None]
        found["diversity"] = {"mean": diversity(valid), "n": len(valid)}
        if self.speed is not None:
            found["tokens_per_s"] = {"mean": round(self.speed, 1), "n": len(self.scores)}
        return {**found, **{name: share(values).to_dict(count="n") for name, values in self.held.items()}}


def _interval(name: str, values: list[float]) -> dict[str, Any]:
    holds = name in RATES and name not in PARTIAL
    interval = share(values) if holds else bootstrap_mean(values)
    return interval.to_dict(count="n")


def _valid(data: Any) -> SpatialScene | None:
    if isinstance(data, SpatialScene) or data is None:
        return data
    try:
        return scene_from(data)
    except Invalid:
        return None


@dataclass(frozen=True, kw_only=True)
class SpatialEvaluation:
    samples: int  # payloads as training meets them
    samples_per_axis: int  # payloads of each held-out axis
    val_samples: int
    modes: list[str]  # of decoding: raw, schema, pinned
    axes: list[str]
    batch_size: int
    random_weights: bool  # score an untrained network too
    neighbours: int  # training scenes that the nearest-neighbour copy looks among; 0 = no such row
    repeated: int  # payloads that are answered once more one by one, to see whether the batch changes an answer
    pictures: int

    def __post_init__(self) -> None:
        for name in ("samples", "samples_per_axis", "val_samples", "batch_size"):
            whole(f"evaluation.{name}", getattr(self, name), 1)
        for name in ("neighbours", "repeated", "pictures"):
            whole(f"evaluation.{name}", getattr(self, name), 0)
        for name, value, known in (("modes", self.modes, MODES), ("axes", self.axes, EVERY)):
            if not value:
                raise UserError(f"evaluation.{name} is empty. Choose from {', '.join(known)}.")
            for item in value:
                if item not in known:
                    raise UserError(
                        f"evaluation.{name} has {item}.{suggest(str(item), known)} Choose from {', '.join(known)}."
                    )

    def sample_axis(self, axis: str, *, seed: int, split: str, count: int) -> list[Sample]:
        """The same payloads for every model."""
        source = SpatialSource(seed=seed, split=split, axis=axis)
        return [source.sample(index) for index in range(count)]

    def answer(
        self,
        network: Generator,
        codec: SceneCodec,
        briefs: Sequence[Brief],
        mode: str,
        *,
        batch_size: int | None = None,
        pieces: Pieces = ALONE,
        name: str = "",
        progress: Callable[[int], None] = lambda _: None,
    ) -> Answers:
        """Greedy answers in one decoding mode.

        Args:
            pieces: where batches are kept, by `name` and their number.
            progress: called with the number of answers that have just been finished.
        """
        ids: dict[int, np.ndarray] = {}
        seconds = 0.0
        for number, (rows, ask) in enumerate(self._batches(network, codec, briefs, mode, batch_size)):
            found = pieces(f"{name} {number}", ask)
            ids.update(zip(rows, np.split(found["ids"], found["ends"][:-1]), strict=True))
            seconds += float(found["seconds"])
            progress(len(rows))
        scenes = [codec.decode(ids[k], brief) for k, brief in enumerate(briefs)]
        in_order = [ids[k] for k in range(len(briefs))]
        return Answers(scenes=scenes, tokens=sum(map(len, in_order)), seconds=seconds, ids=in_order)

    def _batches(
        self, network: Generator, codec: SceneCodec, briefs: Sequence[Brief], mode: str, batch_size: int | None
    ) -> list[tuple[list[int], Ask]]:
        """Which payloads are answered side by side, and how."""
        prompts = [codec.prompt(brief) for brief in briefs]
        order = sorted(range(len(prompts)), key=lambda k: len(prompts[k]))  # like lengths pad each other least
        size = batch_size or self.batch_size

        def ask(rows: Sequence[int]) -> Arrays:
            start = time.perf_counter()
            limits = [codec.max_new_tokens(briefs[k]) for k in rows]
            guide = codec.guide([briefs[k] for k in rows], mode)
            answers = network.generate([prompts[k] for k in rows], limits, codec.end_id, guide)
            return {
                "ids": np.concatenate([np.asarray(answer, np.int64) for answer in answers]),
                "ends": np.cumsum([len(answer) for answer in answers]),
                "seconds": np.array(time.perf_counter() - start),
            }

        rows = [order[first : first + size] for first in range(0, len(order), size)]
        return [(some, functools.partial(ask, some)) for some in rows]

    def _rounds(self, samples: Sequence[Sample]) -> Iterator[tuple[str, str, list[Brief], int]]:
        """(name, mode, payloads, how many side by side) of all that a network is asked."""
        briefs = [sample.given for sample in samples]
        for mode in self.modes:
            yield mode, mode, briefs, self.batch_size
            if mode == "raw" and self.repeated:
                yield ALONE_AGAIN, mode, briefs[: self.repeated], 1

    def evaluate_network(
        self,
        network: Generator,
        codec: SceneCodec,
        samples: Sequence[Sample],
        progress: Callable[[int], None] = lambda _: None,
        *,
        pieces: Pieces = ALONE,
        name: str = "",
    ) -> dict[str, Cell]:
        """Column -> cell.

        Args:
            name: that goes before those of its pieces.
        """
        cells: dict[str, Cell] = {}
        raw: list[np.ndarray] = []
        for title, mode, briefs, size in self._rounds(samples):
            answers = self.answer(
                network, codec, briefs, mode, batch_size=size, pieces=pieces, name=f"{name} {title}", progress=progress
            )
            if title == ALONE_AGAIN:
                same = [float(np.array_equal(a, b)) for a, b in zip(answers.ids, raw, strict=False)]
                cells[mode].held["deterministic"] = same
                continue
            cells[mode] = cell(answers.scenes, samples)
            cells[mode].speed = answers.tokens / max(answers.seconds, 1e-9)
            raw = answers.ids
        if "raw" in cells:
            cells[REPAIRED] = repaired(cells["raw"].scenes, samples)
        return cells

    def asked(
        self, network: Generator, codec: SceneCodec, cases: SpatialCases, *, untrained: Generator | None
    ) -> dict[str, Ask]:
        """Every piece that `evaluate` is made of, by its name."""
        found: dict[str, Ask] = {}
        for axis, samples in cases.axes.items():
            for row, model in ((MODEL, network), (RANDOM, untrained if axis == "seen" else None)):
                if model is None:
                    continue
                for title, mode, briefs, size in self._rounds(samples):
                    for number, (_, ask) in enumerate(self._batches(model, codec, briefs, mode, size)):
                        found[f"{axis} {row} {title} {number}"] = ask
        return found

    def sample_cases(self, *, seed: int, split: str) -> SpatialCases:
        """The payloads of every axis, the same for every model."""
        axes = {
            axis: self.sample_axis(
                axis, seed=seed, split=split, count=self.samples if axis == "seen" else self.samples_per_axis
            )
            for axis in self.axes
        }
        pool = self.sample_axis("seen", seed=seed, split="train", count=self.neighbours) if self.neighbours else []
        return SpatialCases(axes=axes, pool=pool)

    def answers(self, cases: SpatialCases, *, untrained: bool) -> int:
        """How many answers `evaluate` asks for."""
        total = 0
        for axis, samples in cases.axes.items():
            again = min(self.repeated, len(samples)) if "raw" in self.modes else 0
            total += (len(samples) * len(self.modes) + again) * (2 if untrained and axis == "seen" else 1)
        return total

    def evaluate(
        self,
        network: Generator,
        codec: SceneCodec,
        cases: SpatialCases,
        *,
        untrained: Generator | None = None,
        pieces: Pieces = ALONE,
        progress: Callable[[str, int], None] = lambda axis, done: None,
    ) -> dict[str, dict[str, dict[str, Cell]]]:
        """Axis -> row -> column -> cell.

        Args:
            untrained: a network of the same shape with random weights, for its row.
            pieces: where answers are kept that may have been given elsewhere.
            progress: called with the axis and the number of answers that have just been finished.
        """
        found: dict[str, dict[str, dict[str, Cell]]] = {}
        for axis, samples in cases.axes.items():
            done = functools.partial(progress, axis)
            done(0)
            kept: Any = {"pieces": pieces, "name": f"{axis} {MODEL}"}
            rows = {MODEL: self.evaluate_network(network, codec, samples, done, **kept)}
            gold = [sample.target for sample in samples]
            rows[ENGINEER] = {"raw": cell(gold, samples), REPAIRED: repaired(gold, samples)}
            if untrained is not None and axis == "seen":
                kept["name"] = f"{axis} {RANDOM}"
                rows[RANDOM] = self.evaluate_network(untrained, codec, samples, done, **kept)
            if cases.pool:
                copies = [nearest_copy(sample.given, cases.pool) for sample in samples]
                rows[NEIGHBOUR] = {"raw": cell(copies, samples), REPAIRED: repaired(copies, samples)}
            found[axis] = rows
        return found


def cell(scenes: Sequence[Any], samples: Sequence[Sample]) -> Cell:
    scores = [score_scene(scene, s.given, s.target) for scene, s in zip(scenes, samples, strict=True)]
    return Cell(scores=scores, scenes=list(scenes))


def repaired(scenes: Sequence[Any], samples: Sequence[Sample]) -> Cell:
    """The same scenes after repair, with the number of edits it took."""
    mended = [repair(copy.deepcopy(scene), s.given.payload) for scene, s in zip(scenes, samples, strict=True)]
    found = cell([m.scene for m in mended], samples)
    for score, m in zip(found.scores, mended, strict=True):
        score["edits"] = float(distance(m.edits))
    feasible = [score["all_rules"] or 0.0 for score, s in zip(found.scores, samples, strict=True) if _feasible(s)]
    if feasible:
        found.held["all_rules_of_feasible"] = feasible
    return found


def _feasible(sample: Sample) -> bool:
    """A scene that obeys everything is known: the engineer's."""
    return score_scene(sample.target, sample.given, sample.target)["all_rules"] == 1.0


def nearest_copy(brief: Brief, pool: Sequence[Sample]) -> dict[str, Any]:
    """The engineer's scene for the most similar training payload, its objects given to stems of the same class."""
    best = min(pool, key=lambda sample: _unlikeness(brief, sample.given))
    scene = as_dict(best.target)
    spare = [copy.deepcopy(thing) for thing in scene["objects"]]
    objects = []
    for place in range(len(brief.objects)):
        stem = brief.stem(place)
        same = next((thing for thing in spare if thing["class"] == stem.track_class), spare[0] if spare else None)
        if same is None:
            break
        spare.remove(same)
        objects.append({**same, "id": stem.id, "class": stem.track_class})
    kinds = {rule.type for rule in best.given.payload.rules if tag(rule) in scene["constraints_applied"]}
    claims = dict.fromkeys(tag(rule) for rule in brief.payload.rules if rule.type in kinds)
    return {**scene, "objects": objects, "constraints_applied": list(claims)}


def _unlikeness(a: Brief, b: Brief) -> float:
    """Differences in stems' classes, rule types, style, section and format."""
    x, y = a.payload, b.payload
    return (
        _apart([s.track_class for s in x.stems], [s.track_class for s in y.stems])
        + _apart([r.type for r in x.rules], [r.type for r in y.rules])
        + 1.0 * (x.style != y.style)
        + 1.0 * (x.section != y.section)
        + 0.5 * (x.target_format != y.target_format)
    )


def _apart(a: list[str], b: list[str]) -> float:
    names = {*a, *b}
    return float(sum(abs(a.count(name) - b.count(name)) for name in names))
