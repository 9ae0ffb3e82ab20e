"""HDF5 files of others: what is read lies in the file itself, and opens no other one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def own(group: Any, name: str) -> Any:
    """A data set or a group of a file.

    Raises:
        KeyError: there is none of that name.
        ValueError: it lies elsewhere, so that reading it would open other files.
    """
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        raise KeyError(name)
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name} is a link")
    node = group[name]
    if not isinstance(node, Mapping) and (node.external or node.is_virtual):
        raise ValueError(f"{name} is no data set that lies in this file itself")
    return node
