"""Payloads and scenes as typed objects (physworld/spatial/scene/reading.py reads and writes them).

`schemas/*.json` are the contract for other programs; tests keep these classes and the schemas in agreement.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from physworld.spatial.scene.terms import (
    CLASSES,
    FORMATS,
    ID_PATTERN,
    MOST_OBJECTS,
    MOST_RULES,
    MOST_STEMS,
    SECTIONS,
    STYLES,
)
from physworld.spatial.scene.terms import Pose as Place

RULE_TYPES = (
    "anchor", "mono_low_end", "width_target", "avoid_masking", "motion_limit", "elevation_range", "keep_in_bed",
)  # fmt: skip


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True, hide_input_in_errors=True
    )


Unit = Annotated[float, Field(ge=0, le=1)]
Azimuth = Annotated[float, Field(ge=-180, le=180)]
Elevation = Annotated[float, Field(ge=-45, le=90)]
Distance = Annotated[float, Field(ge=0.5, le=15)]
StemId = Annotated[str, Field(pattern=ID_PATTERN)]
StemClass = Literal[CLASSES]  # type: ignore[valid-type]
Format = Literal[FORMATS]  # type: ignore[valid-type]
ClassKey = Annotated[StemClass, Field(alias="class")]  # `class` is no Python name
MaybeClassKey = Annotated[StemClass | None, Field(alias="class")]


class BandEnergy(_Strict):
    low: Unit
    mid: Unit
    high: Unit

    @model_validator(mode="after")
    def _whole(self) -> BandEnergy:
        if abs(self.low + self.mid + self.high - 1) > 0.05 + 1e-9:
            raise ValueError(f"low + mid + high must be 1 ± 0.05, not {self.low + self.mid + self.high:.3g}")
        return self


class Stem(_Strict):
    id: StemId
    track_class: ClassKey
    lufs: Annotated[float, Field(ge=-60, le=0)]
    transient: Unit
    band_energy: BandEnergy
    leadness: Unit


class Tolerance(_Strict):
    az_deg: Annotated[float, Field(ge=0, le=180)] = 1.0
    el_deg: Annotated[float, Field(ge=0, le=135)] = 1.0
    dist_m: Annotated[float, Field(ge=0, le=14.5)] = 0.05


class Anchor(_Strict):
    """Every stem of the class (or the one with the id) is an object at this pose, at every keyframe."""

    type: Literal["anchor"]
    track_class: StemClass | None = None
    id: StemId | None = None
    az_deg: Azimuth
    el_deg: Elevation
    dist_m: Distance
    tol: Tolerance = Tolerance()

    @model_validator(mode="after")
    def _one_target(self) -> Anchor:
        if (self.track_class is None) == (self.id is None):
            raise ValueError("give either track_class or id")
        return self


class MonoLowEnd(_Strict):
    """Kick, bass and every stem with low >= 0.6: azimuth 0, width <= 0.1, no motion."""

    type: Literal["mono_low_end"]
    hz_below: Annotated[float, Field(ge=20, le=500)]


class WidthTarget(_Strict):
    """Objects of the class have this width (within 0.025), or one between min and max."""

    type: Literal["width_target"]
    track_class: ClassKey
    width: Unit | None = None
    min: Unit | None = None
    max: Unit | None = None

    @model_validator(mode="after")
    def _one_form(self) -> WidthTarget:
        ranged = self.min is not None and self.max is not None
        if (self.width is not None) == ranged or (self.min is None) != (self.max is None):
            raise ValueError("give either width, or min and max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        if self.width is not None:
            return self.width - 0.025, self.width + 0.025
        assert self.min is not None and self.max is not None
        return self.min, self.max


class AvoidMasking(_Strict):
    """Every object of `a` keeps this great-circle distance from every object of `b`; each a class, else a stem id."""

    type: Literal["avoid_masking"]
    a: StemId
    b: StemId
    min_sep_deg: Annotated[float, Field(ge=0, le=180)]


class MotionLimit(_Strict):
    """No keyframe of an object (of the class, or of any) is further than this from its static direction."""

    type: Literal["motion_limit"]
    track_class: MaybeClassKey = None
    max_deg: Annotated[float, Field(ge=0, le=180)]


class ElevationRange(_Strict):
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


class KeepInBed(_Strict):
    """Stems of the class are no objects: they stay in the channel bed."""

    type: Literal["keep_in_bed"]
    track_class: ClassKey


Rule = Annotated[
    Anchor | MonoLowEnd | WidthTarget | AvoidMasking | MotionLimit | ElevationRange | KeepInBed,
    Field(discriminator="type"),
]


class Global(_Strict):
    bpm: Annotated[float, Field(ge=40, le=240)]
    energy: Unit


class Payload(_Strict):
    """What is asked for: stems, their features, a budget and rules."""

    target_format: Format
    max_objects: Annotated[int, Field(ge=1, le=MOST_OBJECTS)]
    style: Literal[STYLES]  # type: ignore[valid-type]
    section: Literal[SECTIONS]  # type: ignore[valid-type]
    overall: Annotated[Global, Field(alias="global")]  # `global` is no Python name
    stems: Annotated[list[Stem], Field(min_length=1, max_length=MOST_STEMS)]
    rules: Annotated[list[Rule], Field(max_length=MOST_RULES)]


class Keyframe(_Strict):
    t: Unit
    az_deg: Azimuth
    el_deg: Elevation
    dist_m: Distance

    @property
    def pose(self) -> Place:
        return self.az_deg, self.el_deg, self.dist_m


class SceneObject(_Strict):
    id: Annotated[str, Field(min_length=1)]
    track_class: ClassKey
    az_deg: Azimuth
    el_deg: Elevation
    dist_m: Distance
    width: Unit  # 0 a point, 1 an extent of 180°
    gain_db: Annotated[float, Field(ge=-60, le=12)]
    reverb_send: Unit
    early_reflections: Unit
    motion: Annotated[list[Keyframe], Field(max_length=64)]

    @property
    def pose(self) -> Place:
        return self.az_deg, self.el_deg, self.dist_m

    @property
    def path(self) -> list[tuple[float, Place]]:
        """(t, pose) in order of t; one point when it does not move."""
        if not self.motion:
            return [(0.0, self.pose)]
        return sorted((key.t, key.pose) for key in self.motion)

    @property
    def poses(self) -> list[Place]:
        """The static pose and every keyframe's."""
        return [self.pose, *(key.pose for key in self.motion)]

    @property
    def moves(self) -> bool:
        return any(key.pose != self.pose for key in self.motion)


class Bed(_Strict):
    layout: Format
    loudness_target_lufs: float
    room_preset: str


class SpatialScene(_Strict):
    """A Spatial9Scene: the published interchange contract."""

    version: str
    bed: Bed
    objects: Annotated[list[SceneObject], Field(min_length=1, max_length=MOST_OBJECTS)]
    constraints_applied: list[str]
