"""Scenes as Parquet, one row per scene, for `datasets.load_dataset("parquet", ...)`, DuckDB, Polars, Spark.

    column                                   type               unit, shape
    index                                    int64              which draw of (seed, split) it is
    scenario, category, description          string
    difficulty, num_frames (T), num_bodies (N)   int32
    dt                                       double             s between frames
    gravity                                  list<double>       (2,) px/s²
    shape                                    list<string>       (N,) circle or rect
    size                                     list<list<double>> (N, 1 or 2) px: radius, or width and height
    mass, friction, restitution              list<double>       (N,) kg, -, -
    position, velocity                       list<list<list<double>>>   (T, N, 2) px, px/s
    angle, spin                              list<list<double>> (T, N) rad, rad/s
    scene                                    string             JSON of the whole scene: also walls, joints, fields

Numbers are not rounded: a trajectory comes back with the same bits. `scene` is what is believed; the columns before
it repeat parts of it for people who look, filter or plot. Every row is a row group of its own, so that one scene is
read without its neighbours. Equal scenes give equal bytes (with one pyarrow version).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from physworld.errors import FormatError
from physworld.io.atomic import replacing
from physworld.text.codecs._scene_dict import scene_from_dict, scene_to_dict
from physworld.text.codecs.scene_json import MAX_STATES
from physworld.types import Scene, State, Trajectory

_FLOATS = pa.list_(pa.float64())
_POINTS = pa.list_(_FLOATS)
SCHEMA = pa.schema(
    [
        ("index", pa.int64()),
        *((name, pa.string()) for name in ("scenario", "category", "description")),
        *((name, pa.int32()) for name in ("difficulty", "num_frames", "num_bodies")),
        ("dt", pa.float64()),
        ("gravity", _FLOATS),
        ("shape", pa.list_(pa.string())),
        ("size", _POINTS),
        *((name, _FLOATS) for name in ("mass", "friction", "restitution")),
        *((name, pa.list_(_POINTS)) for name in ("position", "velocity")),
        *((name, _POINTS) for name in ("angle", "spin")),
        ("scene", pa.string()),
    ]
)
OF_BODIES = ("shape", "size", "mass", "friction", "restitution")
MAX_GROUP = 2**30  # bytes; ours hold one scene, other writers' up to some thousand
STATES = tuple(State.__annotations__)


class ScenesWriter:
    """Rows one after the other; as a context manager the file appears complete or not at all."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._replacing = replacing(self.path)

    def __enter__(self) -> ScenesWriter:
        self._writer = pq.ParquetWriter(
            self._replacing.__enter__(),
            SCHEMA,
            compression="zstd",
            use_dictionary=False,  # unrounded numbers hardly repeat: a quarter smaller without
            write_statistics=["index", "scenario", "category", "difficulty"],  # what people filter by
        )
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.close()
        self._replacing.__exit__(*error)

    def write(self, index: int, run: Trajectory) -> None:
        """Append one scene.

        Raises:
            ValueError: a number is not finite.
        """
        if not all(np.isfinite(getattr(run, name)).all() for name in STATES):
            raise ValueError(f"{self.path} was not written: the trajectory of {run.scene.name!r} is not finite")
        self._writer.write_batch(_row(index, run), row_group_size=1)


def _row(index: int, run: Trajectory) -> pa.RecordBatch:
    scene = run.scene
    plain = {
        "index": index,
        "scenario": scene.name,
        "category": scene.category,
        "description": scene.text,
        "difficulty": scene.difficulty,
        "num_frames": len(run),
        "num_bodies": len(scene.bodies),
        "dt": scene.dt,
        "gravity": scene.gravity,
        **{key: [getattr(body, key) for body in scene.bodies] for key in OF_BODIES},
        "scene": json.dumps(scene_to_dict(scene), allow_nan=False),
    }
    states = {name: _lists(getattr(run, name)) for name in STATES}
    columns = [states[f.name] if f.name in states else pa.array([plain[f.name]], f.type) for f in SCHEMA]
    return pa.record_batch(columns, schema=SCHEMA)


def _lists(array: np.ndarray) -> pa.ListArray:
    """The array as one row of nested lists, without a Python number in between."""
    values = pa.array(array.reshape(-1))
    for size in reversed(array.shape):
        values = pa.ListArray.from_arrays(np.arange(0, len(values) + 1, size, dtype=np.int32), values)
    return values


def write_parquet(path: str | os.PathLike[str], runs: Sequence[Trajectory], *, first: int = 0) -> None:
    """Write trajectories as rows `first`, `first` + 1 ...; the file appears complete or not at all."""
    with ScenesWriter(path) as writer:
        for place, run in enumerate(runs):
            writer.write(first + place, run)


class ScenesFile:
    """A Parquet file of ours, opened; rows are read one by one.

    Raises:
        FormatError: names the file, the row and the problem.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._file = pq.ParquetFile(self.path)
        except (OSError, pa.ArrowException) as error:
            raise FormatError(f"{self.path}: cannot be read ({_first_line(error)})") from None
        missing = {"scene", *STATES} - set(self._file.schema_arrow.names)
        if missing:
            raise FormatError(f"{self.path}: the column {min(missing)} is missing")
        metadata = self._file.metadata
        groups = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._ends = np.cumsum(groups)

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def names(self) -> list[str]:
        """The scenario type of every row."""
        if "scenario" not in self._file.schema_arrow.names:
            raise FormatError(f"{self.path}: the column scenario is missing")
        try:
            return [str(name) for name in self._columns(None, ["scenario"])["scenario"].to_pylist()]
        except FormatError as error:
            raise FormatError(f"{self.path}: {error}") from None

    def read(self, row: int) -> Trajectory:
        """The trajectory of one row, counted from 0."""
        group = int(np.searchsorted(self._ends, row, side="right"))
        before = int(self._ends[group - 1]) if group else 0
        try:
            if self._file.metadata.row_group(group).total_byte_size > MAX_GROUP:
                raise FormatError(f"its row group is larger than {MAX_GROUP} bytes")
            table = self._columns(group, ["scene", *STATES]).slice(row - before, 1)
            return _trajectory(table)
        except FormatError as error:
            raise FormatError(f"{self.path} row {row}: {error}") from None

    def _columns(self, group: int | None, names: list[str]) -> pa.Table:
        try:
            return self._file.read(names) if group is None else self._file.read_row_group(group, names)
        except (OSError, pa.ArrowException) as error:
            raise FormatError(f"cannot be read ({_first_line(error)})") from None


def read_parquet(path: str | os.PathLike[str]) -> Iterator[Trajectory]:
    """Every row of a file of ours, one at a time.

    Raises:
        FormatError: names the file, the row and the problem.
    """
    file = ScenesFile(path)
    for row in range(len(file)):
        yield file.read(row)


def _trajectory(table: pa.Table) -> Trajectory:
    """One row -> Trajectory."""
    scene = _scene(table["scene"][0].as_py())
    count = len(scene.bodies)
    arrays = {}
    for name in STATES:
        last = (2,) if name in ("position", "velocity") else ()
        arrays[name] = _array(table[name].combine_chunks(), (count, *last), name)
    frames = {len(array) for array in arrays.values()}
    if len(frames) != 1 or not min(frames):
        raise FormatError(f"position, velocity, angle and spin have {', '.join(map(str, sorted(frames)))} frames")
    return Trajectory(scene=scene, **arrays)


def _scene(text: Any) -> Scene:
    try:
        return scene_from_dict(json.loads(text, parse_constant=_refuse))
    except FormatError:
        raise
    except (ValueError, TypeError, RecursionError):
        raise FormatError("the column scene holds no valid JSON") from None


def _refuse(constant: str) -> Any:
    raise FormatError(f"{constant} in the scene is not a finite number")


def _array(column: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Nested lists of one row -> float64 (T, *shape), without a Python number in between."""
    values, ragged = column, FormatError(f"{name} does not hold {' x '.join(map(str, shape))} numbers in every frame")
    for level, size in enumerate((None, *shape)):
        lists = pa.types.is_list(values.type) or pa.types.is_large_list(values.type)
        if not lists or values.null_count:
            raise ragged
        lengths = values.value_lengths().to_numpy(zero_copy_only=False)
        if level and (lengths != size).any():
            raise ragged
        values = values.flatten()
    if not pa.types.is_floating(values.type) or values.null_count:
        raise ragged
    if len(values) > 2 * MAX_STATES:
        raise FormatError(f"{name} has more than {MAX_STATES} body states")
    array = values.to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, *shape)
    if not np.isfinite(array).all():
        raise FormatError(f"{name} is not finite in frame {int(np.argwhere(~np.isfinite(array))[0, 0])}")
    return array


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
