"""Scenes as Parquet, one row per scene, for `datasets.load_dataset("parquet", ...)`, DuckDB, Polars, Spark.

    column                                   type               unit, shape
    index                                    int64              which draw of (seed, split) it is
    scenario, category, description          string
    difficulty, num_frames (T), num_bodies (N)   int32
    dt                                       double             s between frames
    gravity                                  list<double>       (2,) px/s²
    shape                                    list<string>       (N,) circle, rect, polygon or compound
    size                                     list<list<double>> (N, 1 or 2) px: radius, or width and height; else empty
    mass, friction, restitution              list<double>       (N,) kg, -, -
    position, velocity                       list<list<list<double>>>   (T, N, 2) px, px/s
    angle, spin                              list<list<double>> (T, N) rad, rad/s
    scene                                    string             JSON of the whole scene: also walls, joints, fields

Numbers are not rounded: a trajectory comes back with the same bits. `scene` is what is believed; the columns before
it repeat parts of it for people who look, filter or plot. They may be left out; where they say something else, the row
is refused, as an edit would be read past. Other writers' types (fixed_size_list, large_list, dictionary, float32,
decimal, integers) are read as these. Every row is a row group of its own, so that one scene is
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
from physworld.io.integers import whole_number
from physworld.text.codecs._scene_dict import known_keys, only_once, scene_from_dict, scene_to_dict, shown
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
    plain = {"index": index, **_repeated(run.scene, len(run))}
    plain["scene"] = json.dumps(scene_to_dict(run.scene), allow_nan=False)
    states = {name: _lists(getattr(run, name)) for name in STATES}
    columns = [states[f.name] if f.name in states else pa.array([plain[f.name]], f.type) for f in SCHEMA]
    return pa.record_batch(columns, schema=SCHEMA)


def _repeated(scene: Scene, frames: int) -> dict[str, Any]:
    """What columns of their own repeat of a scene."""
    return {
        "scenario": scene.name,
        "category": scene.category,
        "description": scene.text,
        "difficulty": scene.difficulty,
        "num_frames": frames,
        "num_bodies": len(scene.bodies),
        "dt": scene.dt,
        "gravity": scene.gravity,
        **{key: [getattr(body, key) for body in scene.bodies] for key in OF_BODIES},
    }


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
        self._names = self._file.schema_arrow.names
        missing = {"scene", *STATES} - set(self._names)
        if missing:
            raise FormatError(f"{self.path}: the column {min(missing)} is missing")
        twice = [name for name in SCHEMA.names if self._names.count(name) > 1]
        if twice:
            raise FormatError(f"{self.path}: the column {twice[0]} is there twice")
        try:  # __index_level_0__: what pandas adds
            known_keys(dict.fromkeys(self._names), (*SCHEMA.names,), "the table", "column")
        except FormatError as error:
            raise FormatError(f"{self.path}: {error}") from None
        metadata = self._file.metadata
        groups = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._ends = np.cumsum(groups)
        self._checked: set[int] = set()  # rows

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def names(self) -> list[str]:
        """The scenario type of every row."""
        if "scenario" not in self._names:
            raise FormatError(f"{self.path}: the column scenario is missing")
        try:
            return [str(name) for name in self._columns(None, ["scenario"])["scenario"].to_pylist()]
        except FormatError as error:
            raise FormatError(f"{self.path}: {error}") from None
        except UnicodeDecodeError:
            raise FormatError(f"{self.path}: the column scenario is not UTF-8 text") from None

    def read(self, row: int) -> Trajectory:
        """The trajectory of one row, counted from 0."""
        group = int(np.searchsorted(self._ends, row, side="right"))
        before = int(self._ends[group - 1]) if group else 0
        try:
            if self._file.metadata.row_group(group).total_byte_size > MAX_GROUP:
                raise FormatError(f"its row group is larger than {MAX_GROUP} bytes")
            every = row not in self._checked  # for edits, which are looked for once: it takes half as long again
            names = [n for n in SCHEMA.names if n in self._names] if every else ["scene", *STATES]
            run = _trajectory(self._columns(group, names).slice(row - before, 1))
            self._checked.add(row)
            return run
        except FormatError as error:
            raise FormatError(f"{self.path} row {row}: {error}") from None
        except UnicodeDecodeError:
            raise FormatError(f"{self.path} row {row}: a column of words is not UTF-8 text") from None

    def _columns(self, group: int | None, names: list[str]) -> pa.Table:
        try:
            return (
                self._file.read(names) if group is None else self._file.read_row_group(group, names, use_threads=False)
            )
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
    scene = _scene(_read_as(table, "scene")[0].as_py())
    count = len(scene.bodies)
    arrays = {}
    for name in STATES:
        last = (2,) if name in ("position", "velocity") else ()
        arrays[name] = _array(_read_as(table, name), (count, *last), name)
    frames = {len(array) for array in arrays.values()}
    if len(frames) != 1 or not min(frames):
        raise FormatError(f"position, velocity, angle and spin have {', '.join(map(str, sorted(frames)))} frames")
    for name, exact in _repeated(scene, len(arrays["position"])).items():
        if name in table.column_names:
            _refuse_edit(table, name, exact)
    return Trajectory(scene=scene, **arrays)


def _read_as(table: pa.Table, name: str) -> pa.Array:
    """A column of one row in the type that SCHEMA gives it."""
    column, wanted = table[name].combine_chunks(), SCHEMA.field(name).type
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if column.type == wanted:
        return column
    said, own = _leaf(column.type), _leaf(wanted)
    numbers = pa.types.is_integer(said) or pa.types.is_floating(said) or pa.types.is_decimal(said)
    try:
        if pa.types.is_null(said) or numbers != (not pa.types.is_string(own)):
            raise pa.ArrowInvalid
        if _has_view(column.type):  # pyarrow 26 casts a view of lists to empty ones
            return pa.array(column.to_pylist(), wanted)
        return column.cast(wanted)
    except pa.ArrowException:
        raise FormatError(f"the column {name} has the type {column.type}, which cannot be read as {wanted}") from None


def _leaf(kind: pa.DataType) -> pa.DataType:
    """What a type of lists holds in the end."""
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind) or _is_list(kind):
            kind = kind.value_type
        else:
            return kind


def _has_view(kind: pa.DataType) -> bool:
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return True
    return _is_list(kind) and _has_view(kind.value_type)


def _is_list(kind: pa.DataType) -> bool:
    plain = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return plain or pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)


def _refuse_edit(table: pa.Table, name: str, exact: Any) -> None:
    """A column that repeats part of the scene, and says something else, is an edit that would be read past.

    Raises:
        FormatError: names the column and the first value that differs.
    """
    said = _read_as(table, name)[0].as_py()
    if said is None or said == exact:
        return
    found = _difference(said, exact, _leaf(table[name].type), name)
    if found:
        raise FormatError(f"{found} in the column scene, which is what is read; change it there, too")


def _difference(said: Any, exact: Any, leaf: pa.DataType, where: str) -> str:
    """The first place where two values differ by more than the column's type can hold, or ''."""
    if isinstance(said, list) and isinstance(exact, list | tuple):
        if len(said) != len(exact):
            return f"{where} has {len(said)} entries, but {len(exact)}"
        pairs = enumerate(zip(said, exact, strict=True))
        return next((found for k, (a, b) in pairs if (found := _difference(a, b, leaf, f"{where} {k}"))), "")
    close = said == exact
    if isinstance(said, float) and isinstance(exact, int | float):
        if pa.types.is_decimal(leaf):
            close = abs(said - exact) <= 0.501 * 10.0**-leaf.scale
        elif pa.types.is_floating(leaf) and leaf.bit_width < 64:
            close = abs(said - exact) <= abs(exact) * (2**-23 if leaf.bit_width == 32 else 2**-10)
    return "" if close else f"{where} is {shown(said)}, but {shown(exact)}"


def _scene(text: Any) -> Scene:
    try:
        return scene_from_dict(
            json.loads(text, parse_constant=_refuse, parse_int=whole_number, object_pairs_hook=only_once)
        )
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
        if not pa.types.is_list(values.type) or values.null_count:
            raise ragged
        lengths = values.value_lengths().to_numpy(zero_copy_only=False)
        if level and (lengths != size).any():
            raise ragged
        values = values.flatten()
    if values.null_count:
        raise ragged
    if len(values) > 2 * MAX_STATES:
        raise FormatError(f"{name} has more than {MAX_STATES} body states")
    array = values.to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, *shape)
    if not np.isfinite(array).all():
        raise FormatError(f"{name} is not finite in frame {int(np.argwhere(~np.isfinite(array))[0, 0])}")
    return array


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
