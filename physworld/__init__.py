"""Models that roll physics forward, from simulators and seeds.

    import physworld as pw

    scene = pw.Scene(bodies=[pw.Body.circle(20, position=(150, 400))])
    pw.draw(pw.simulate(scene, 100), pw.load("shipped").rollout(scene, 100))

The names of `physworld.types` and of `physworld.science` are here too. Each is loaded when it is first asked for:
`import physworld` alone loads neither torch nor a simulator.
"""

from __future__ import annotations

import importlib
import logging
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

__version__ = "0.1.0"

# bitsandbytes, which diffusers and peft load whenever it is installed, reports on many CPUs one optional kernel that it
# does without. That line alone is left out; whatever else it says is heard.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: "gemm_4bit_forward from kernels-community" not in record.getMessage()
)

# Kept here because physworld.science, which has them, loads torch: a name that is not here is not looked for there.
SCIENCE = (
    *("Animation", "Comparison", "Model", "Prediction", "compare", "draw", "load", "read_scene", "read_trajectory"),
    *("simulate", "write_yaml"),
)


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module 'physworld' has no attribute {name!r}")
    from_types = importlib.import_module("physworld.types")
    if name in from_types.__all__:
        return getattr(from_types, name)
    if name in SCIENCE:
        return getattr(importlib.import_module("physworld.science"), name)
    raise AttributeError(f"module 'physworld' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *SCIENCE, *importlib.import_module("physworld.types").__all__})


class _Registering(MetaPathFinder):
    """Tells transformers of our networks (`physworld.lm.citizens`) as soon as somebody loads its Auto classes: before
    that, `import physworld` loads neither transformers nor torch."""

    modules = ("transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto")

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:  # type: ignore[no-untyped-def]
        if fullname not in self.modules or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def then_register(module) -> None:  # type: ignore[no-untyped-def]
                load(module)
                _register()

            spec.loader.exec_module = then_register  # type: ignore[method-assign]
        return spec


def _register() -> None:
    importlib.import_module("physworld.lm.citizens").register()


if any(name in sys.modules for name in _Registering.modules):
    _register()
else:
    sys.meta_path.insert(0, _Registering())
