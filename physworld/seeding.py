"""(root seed, split, index) -> numpy Generator. Randomness comes from nowhere else."""

from __future__ import annotations

import numpy as np

SPLITS = ("train", "val", "test")
SEEDS = 2**64  # roots are smaller: what torch's generators take


def short(root: int) -> int:
    """The root as a number below 2^32, which is all that some libraries take; a root below that is itself."""
    return root if root < 2**32 else int(np.random.SeedSequence(root).generate_state(1)[0])


def generator(root: int, split: str, *index: int) -> np.random.Generator:
    """Independent generator for one place in the stream.

    The split is part of the entropy, so train, val and test never meet, whatever the index.

    Raises:
        ValueError: unknown split, or a negative number.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown; choose one of {', '.join(SPLITS)}")
    if root < 0 or any(i < 0 for i in index):
        raise ValueError(f"seed and index must be >= 0, got seed {root} and index {index}")
    return np.random.default_rng(np.random.SeedSequence(entropy=root, spawn_key=(SPLITS.index(split), *index)))
