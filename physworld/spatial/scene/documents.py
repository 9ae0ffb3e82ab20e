"""Payloads and scenes as typed objects (physworld/spatial/scene/reading.py reads and writes them).

These classes are the contract. The JSON Schemas for other programs (`schemas/*.json`) are made from them
(physworld/spatial/scene/contract.py), and reader and checker are these classes.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from physworld.spatial.scene.patterns import PATTERNS
from physworld.spatial.scene.terms import (
    CLASSES,
    FORMATS,
    ID_PATTERN,
    MOST_KEYFRAMES,
    MOST_OBJECTS,
    MOST_RULES,
    MOST_STEMS,
    SECTIONS,
    STYLES,
)
from physworld.spatial.scene.terms import Pose as Place

RULE_TYPES = (
    "anchor", "mono_low_end", "width_target", "avoid_masking", "motion_limit", "elevation_range", "keep_in_bed",
    "motion_pattern",
)  # fmt: skip


def _given(value: Any) -> Any:
    """A key may be left out; null is no value."""
    if value is None:
        raise ValueError("must not be null; leave the key out")
    return value


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 10.0 is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Strict(BaseModel):
    """What JSON Schema asks for, neither more nor less: keys as they are written, no other keys, no null."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)
    forms: ClassVar[tuple[tuple[str, ...], ...]] = ()  # sets of keys, exactly one of which is given

    @model_validator(mode="after")
    def _one_form(self) -> Strict:
        if self.forms:
            said = {key for form in self.forms for key in form if getattr(self, key) is not None}
            if sum(said == set(form) for form in self.forms) != 1:
                raise ValueError(f"give either {', or '.join(' and '.join(form) for form in self.forms)}")
        return self


Unit = Annotated[float, Field(ge=0, le=1)]
Azimuth = Annotated[float, Field(ge=-180, le=180)]
Elevation = Annotated[float, Field(ge=-45, le=90)]
Distance = Annotated[float, Field(ge=0.5, le=15)]
# `$` is the very end, here as in ECMA's regular expressions; Python's lets a newline follow, hence the `not`.
StemId = Annotated[str, Field(pattern=ID_PATTERN, json_schema_extra={"not": {"pattern": "\\n"}})]
StemClass = Literal[CLASSES]  # type: ignore[valid-type]
Format = Literal[FORMATS]  # type: ignore[valid-type]
ClassKey = Annotated[StemClass, Field(alias="class")]  # `class` is no Python name
Given = BeforeValidator(_given)
MaybeUnit = Annotated[Unit | None, Given]
MaybeClassKey = Annotated[StemClass | None, Given, Field(alias="class")]
Count = Annotated[int, Field(ge=1, le=MOST_OBJECTS), BeforeValidator(_whole)]


class BandEnergy(Strict):
    low: Unit
    mid: Unit
    high: Unit

    @model_validator(mode="after")
    def _sums_to_one(self) -> BandEnergy:
        if abs(self.low + self.mid + self.high - 1) > 0.05 + 1e-9:
            raise ValueError(f"low + mid + high must be 1 ± 0.05, not {self.low + self.mid + self.high:.3g}")
        return self


class Stem(Strict):
    id: StemId
    track_class: ClassKey
    lufs: Annotated[float, Field(ge=-60, le=0)]
    transient: Unit
    band_energy: BandEnergy
    leadness: Unit


class Tolerance(Strict):
    az_deg: Annotated[float, Field(ge=0, le=180)] = 1.0
    el_deg: Annotated[float, Field(ge=0, le=135)] = 1.0
    dist_m: Annotated[float, Field(ge=0, le=14.5)] = 0.05


class Anchor(Strict):
    """Every stem of the class (or the one with the id) is an object at this pose, at every keyframe."""

    forms = (("track_class",), ("id",))

    type: Literal["anchor"]
    track_class: Annotated[StemClass | None, Given] = None
    id: Annotated[StemId | None, Given] = None
    az_deg: Azimuth
    el_deg: Elevation
    dist_m: Distance
    tol: Tolerance = Tolerance()


class MonoLowEnd(Strict):
    """Kick, bass and every stem with low >= 0.6: azimuth 0, width <= 0.1, no motion."""

    type: Literal["mono_low_end"]
    hz_below: Annotated[float, Field(ge=20, le=500)]


class WidthTarget(Strict):
    """Objects of the class have this width (within 0.025), or one between min and max."""

    forms = (("width",), ("min", "max"))

    type: Literal["width_target"]
    track_class: ClassKey
    width: MaybeUnit = None
    min: MaybeUnit = None
    max: MaybeUnit = None

    @model_validator(mode="after")
    def _ordered(self) -> WidthTarget:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        if self.width is not None:
            return self.width - 0.025, self.width + 0.025
        assert self.min is not None and self.max is not None
        return self.min, self.max


class AvoidMasking(Strict):
    """Every object of `a` keeps this great-circle distance from every object of `b`; each a class, else a stem id."""

    type: Literal["avoid_masking"]
    a: StemId
    b: StemId
    min_sep_deg: Annotated[float, Field(ge=0, le=180)]


class MotionLimit(Strict):
    """No keyframe of an object (of the class, or of any) is further than this from its static direction."""

    type: Literal["motion_limit"]
    track_class: MaybeClassKey = None
    max_deg: Annotated[float, Field(ge=0, le=180)]


class ElevationRange(Strict):
    """Objects (of the class, or all) stay within these elevations at every keyframe."""

    type: Literal["elevation_range"]
    track_class: MaybeClassKey = None
    min_deg: Elevation
    max_deg: Elevation

    @model_validator(mode="after")
    def _ordered(self) -> ElevationRange:
        if self.min_deg > self.max_deg:
            raise ValueError(f"min_deg {self.min_deg} is above max_deg {self.max_deg}")
        return self


class KeepInBed(Strict):
    """Stems of the class are no objects: they stay in the channel bed."""

    type: Literal["keep_in_bed"]
    track_class: ClassKey


class MotionPattern(Strict):
    """Objects of the class move in this way (scene/patterns.py says what counts)."""

    type: Literal["motion_pattern"]
    track_class: ClassKey
    pattern: Literal[PATTERNS]  # type: ignore[valid-type]


Rule = Annotated[
    Anchor | MonoLowEnd | WidthTarget | AvoidMasking | MotionLimit | ElevationRange | KeepInBed | MotionPattern,
    Field(discriminator="type"),
]


class Global(Strict):
    bpm: Annotated[float, Field(ge=40, le=240)]
    energy: Unit


class Payload(Strict):
    """What is asked for: stems, their features, a budget and rules."""

    target_format: Format
    max_objects: Count
    style: Literal[STYLES]  # type: ignore[valid-type]
    section: Literal[SECTIONS]  # type: ignore[valid-type]
    overall: Annotated[Global, Field(alias="global")]  # `global` is no Python name
    stems: Annotated[list[Stem], Field(min_length=1, max_length=MOST_STEMS)]
    rules: Annotated[list[Rule], Field(min_length=0, max_length=MOST_RULES)]


class Keyframe(Strict):
    t: Unit
    az_deg: Azimuth
    el_deg: Elevation
    dist_m: Distance

    @property
    def pose(self) -> Place:
        return self.az_deg, self.el_deg, self.dist_m


class SceneObject(Strict):
    id: Annotated[str, Field(min_length=1)]
    track_class: ClassKey
    az_deg: Azimuth
    el_deg: Elevation
    dist_m: Distance
    width: Unit  # 0 a point, 1 an extent of 180°
    gain_db: Annotated[float, Field(ge=-60, le=12)]
    reverb_send: Unit
    early_reflections: Unit
    motion: Annotated[list[Keyframe], Field(min_length=0, max_length=MOST_KEYFRAMES)]

    @property
    def pose(self) -> Place:
        return self.az_deg, self.el_deg, self.dist_m

    @property
    def path(self) -> list[tuple[float, Place]]:
        """(t, pose) in order of t, as written where times are equal; one point when it does not move."""
        if not self.motion:
            return [(0.0, self.pose)]
        return sorted(((key.t, key.pose) for key in self.motion), key=lambda point: point[0])

    @property
    def poses(self) -> list[Place]:
        """The static pose and every keyframe's."""
        return [self.pose, *(key.pose for key in self.motion)]

    @property
    def moves(self) -> bool:
        return any(key.pose != self.pose for key in self.motion)


class Bed(Strict):
    layout: Format
    loudness_target_lufs: float
    room_preset: str


class SpatialScene(Strict):
    """A Spatial9Scene: the published interchange contract."""

    version: str
    bed: Bed
    objects: Annotated[list[SceneObject], Field(min_length=1, max_length=MOST_OBJECTS)]
    constraints_applied: list[str]
