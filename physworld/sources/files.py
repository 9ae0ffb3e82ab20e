"""L2: scenes from Scene JSONL files (ours or published ones), read lazily; windows as from simulated scenes."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

from physworld.codecs.scene_json import FormatError, read_jsonl
from physworld.seeding import SPLITS, generator
from physworld.sources.windows import Windows, cut_windows
from physworld.types import Trajectory

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")


class FilesSource(Windows):
    """Every file below `path`, each in one split (by the checksum of its name), shuffled anew for every pass.

    Window `index` is a function of (files, seed, split, index): workers and ranks read only the files of their own
    indices, and a resumed run reads on where the other stopped.
    """

    def __init__(
        self,
        *,
        path: str | None,
        seed: int,
        split: str,
        names: Sequence[str],
        difficulties: Sequence[int],
        context_frames: int = 1,
        target_frames: int = 1,
        windows_per_scene: int = 8,
        event_fraction: float = 0.66,
        held_back: float = 0.1,
        on_error: str = "raise",
    ) -> None:
        """
        Args:
            path: a folder, for example with SCENARIO/BUCKET/scene_SEED.jsonl[.gz|.zst] below it, or one file.
            names: scenario types wanted; it selects among folders called like types, a flat folder is taken whole.
            difficulties: not used: a file is what it is.
            held_back: share of the files that val and test get together, half each.
            on_error: raise = a broken file ends the run; skip = the next readable file takes its place, and is named.

        Raises:
            ValueError: nothing there, or an unknown on_error.
        """
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error={on_error} is unknown; choose raise or skip")
        if path is None:
            raise ValueError("data.path is missing; give a folder of .jsonl files")
        root = Path(path)
        if not root.exists():
            raise ValueError(f"data.path={path} does not exist")
        found = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.name.endswith(SUFFIXES))
        typed = [p for p in found if set(p.relative_to(root).parts[:-1]) & set(names)]
        self.paths = [p for p in (typed or found) if len(found) == 1 or self._split_of(p, root, held_back) == split]
        if not self.paths:
            raise ValueError(
                f"data.path={path} holds no {split} file: {len(found)} files end in {', '.join(SUFFIXES)}"
                + (f", {len(typed)} of them of the wanted types" if typed else "")
            )
        self.seed, self.split, self.on_error = seed, split, on_error
        self.context_frames, self.target_frames = context_frames, target_frames
        super().__init__(windows_per_scene)
        self.event_fraction = event_fraction
        self.skipped: dict[Path, str] = {}

    @staticmethod
    def _split_of(path: Path, root: Path, held_back: float) -> str:
        place = zlib.crc32(path.relative_to(root).as_posix().encode()) / 2**32
        return SPLITS[0] if place >= held_back else SPLITS[1] if place < held_back / 2 else SPLITS[2]

    def _cut(self, number: int) -> list[tuple[Trajectory, Trajectory]]:
        turn, at = divmod(number, len(self.paths))
        order = generator(self.seed, self.split, turn).permutation(len(self.paths))
        problem = next(iter(self.skipped.values()), "")
        for step in range(len(self.paths)):
            path = self.paths[int(order[(at + step) % len(self.paths)])]
            if path in self.skipped:
                continue
            try:
                run = read_jsonl(path)
                return cut_windows(
                    run,
                    generator(self.seed, self.split, turn, at),
                    count=self.windows_per_scene,
                    context_frames=self.context_frames,
                    target_frames=self.target_frames,
                    event_fraction=self.event_fraction,
                )
            except (FormatError, OSError, ValueError) as error:
                problem = str(error) if str(path) in str(error) else f"{path}: {error}"
                if self.on_error == "raise":
                    raise FormatError(problem) from None
                self.skipped[path] = problem
                print(f"Skipped ({len(self.skipped)} so far): {problem}", file=sys.stderr, flush=True)
        raise FormatError(f"none of the {len(self.paths)} {self.split} files can be read; the last said: {problem}")
