"""Models that roll physics forward, from simulators and seeds."""

import importlib
import logging
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder

__version__ = "0.1.0"

# bitsandbytes, which diffusers and peft load whenever it is installed, reports on many CPUs one optional kernel that it
# does without. That line alone is left out; whatever else it says is heard.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: "gemm_4bit_forward from kernels-community" not in record.getMessage()
)


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
