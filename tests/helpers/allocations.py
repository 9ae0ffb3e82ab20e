"""What torch's profiler saw of the allocator."""

from __future__ import annotations

from typing import Any

from torch._C._profiler import _EventType


def rise(profiler: Any) -> int:
    """Bytes by which what is held rose above what was held first, at the highest point."""
    found, stack = [], list(profiler.profiler.kineto_results.experimental_event_tree())
    while stack:
        event = stack.pop()
        stack += event.children
        if event.tag == _EventType.Allocation:
            found.append((event.start_time_ns, event.extra_fields.alloc_size))
    live = top = 0
    for _, change in sorted(found, key=lambda one: one[0]):
        live += change
        top = max(top, live)
    return top
