"""What torch's profiler saw of the allocator."""

from __future__ import annotations

from typing import Any

from torch._C._profiler import _EventType


def rise(profiler: Any, since: str | None = None) -> int:
    """Bytes by which what is held rose above what was held first, at the highest point.

    What was asked for before the profiler began is of unknown size to it, and giving it back is not seen. So begin it
    early and name the part that counts.

    Args:
        since: a `record_function` of this name; from its beginning on. None: all.
    """
    begin, found, stack = 0, [], list(profiler.profiler.kineto_results.experimental_event_tree())
    while stack:
        event = stack.pop()
        stack += event.children
        if event.name == since:
            begin = event.start_time_ns
        if event.tag == _EventType.Allocation:
            found.append((event.start_time_ns, event.extra_fields.alloc_size))
    live = top = 0
    for time, change in sorted(found, key=lambda one: one[0]):
        if time < begin:
            continue
        live += change
        top = max(top, live)
    return top
