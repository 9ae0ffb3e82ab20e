"""One training pass on tensors without content (torch's FakeTensorMode): the memory it would take, and operations.

Numbers are fake; whole numbers and truth values are real, because shapes follow from them: where an example ends, which
tokens are scored. So the pass is the run's own code, with no stand-in for any part of it.

Memory is what torch's allocator would be asked for, storage by storage, as its own memory tracker counts it. What a
kernel takes for itself while it runs is not seen.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import flop_registry, shape_wrapper
from torch.utils.weak import WeakIdKeyDictionary

aten = torch.ops.aten
MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
WHOLE = {"64-true": torch.float64, "bf16-true": torch.bfloat16}


def _attention(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Two products over all pairs; those that a causal mask leaves out count, as they do in torch's own counts."""
    B, H, S, E = query
    return int(2 * B * H * S * key[2] * (E + value[3]))


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Five products over all pairs: the scores once more, and the gradients of both products."""
    B, H, S, E = query
    return int(2 * B * H * S * key[2] * (3 * E + 2 * value[3]))


def real() -> Any:
    """A context in which tensors have content again: what samples are made with is no part of the pass."""
    return _disable_current_modes()


COUNTED: dict[Any, Any] = {  # torch counts the attention of GPUs only
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


class Numberless(TorchDispatchMode):
    """Runs operations on whole numbers for real and all others on fake tensors; adds up the storages of these."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.counting = False
        self.live = self.highest = 0  # bytes
        self.flops = 0
        self._known: Any = WeakIdKeyDictionary()  # storage -> True

    def __enter__(self) -> Numberless:
        self.mode.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.mode.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        fake = any(isinstance(one, FakeTensor) for one in tensors)
        if not fake and (tensors or not _makes_numbers(func, args, kwargs)):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        if func.overloadpacket is aten._local_scalar_dense:  # a number that is asked for is 1: nobody knows better
            return True if tensors[0].dtype == torch.bool else 1.0 if tensors[0].dtype.is_floating_point else 1
        if "generator" in kwargs:  # of real random numbers
            kwargs["generator"] = None
        if func.overloadpacket in (aten.index, aten.index_put, aten.index_put_):
            args = (args[0], _places(args[1]), *args[2:])
        args, kwargs = tree_map(self._faked, (args, kwargs))
        out = func(*args, **kwargs)
        # torch's FlopCounterMode would do this too, but its hooks keep what a checkpointed layer computes again.
        own = COUNTED.get(func.overloadpacket)
        counted = flop_registry.get(func.overloadpacket) if own is None else shape_wrapper(own)
        if self.counting and counted is not None:
            self.flops += counted(*args, **kwargs, out_val=out)
        for leaf in tree_leaves(out):
            if isinstance(leaf, FakeTensor):
                self.note(leaf)
        return out

    def _faked(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or isinstance(leaf, FakeTensor):
            return leaf
        return self.mode.fake_tensor_converter.from_real_tensor(self.mode, leaf)

    def note(self, tensor: Tensor) -> None:
        """A storage that is new is memory until nobody holds it."""
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        self._known[storage] = True
        if self.counting:
            size = storage.nbytes()
            self.live += size
            self.highest = max(self.highest, self.live)
            weakref.finalize(storage, self._freed, size)

    def _freed(self, size: int) -> None:
        self.live -= size


def _makes_numbers(func: Any, args: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation without tensors makes floating-point numbers (torch.zeros, torch.randn)."""
    dtype = kwargs.get("dtype")
    if dtype is not None:
        return bool(dtype.is_floating_point)
    if func.overloadpacket is aten.arange or func.overloadpacket is aten.full:
        return any(isinstance(leaf, float) for leaf in tree_leaves(args))
    return True


def _places(index: Any) -> Any:
    """Truth values as places: how many are true is known, since they are real."""
    out: list[Any] = []
    for one in index:
        real = isinstance(one, Tensor) and not isinstance(one, FakeTensor)
        if real and one.dtype == torch.bool:
            with unset_fake_temporarily():
                out += one.nonzero(as_tuple=True)
        else:
            out.append(one)
    return out


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One forward and backward pass."""

    peak: int  # bytes at the highest point, gradients included, beside weights and the optimiser's state
    gradients: int  # bytes, when all are there
    flops: int  # of matrix products, convolutions and attention, what is computed again for checkpointing included


@contextmanager
def numberless() -> Iterator[Numberless]:
    """Inside, networks are made and passes run without content and without time."""
    theirs: Any = nn.Module._apply
    nn.Module._apply = _apply  # type: ignore[method-assign]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # libraries miss a trainer, and data behind the tensors
            with Numberless() as mode:
                yield mode
    finally:
        nn.Module._apply = theirs  # type: ignore[method-assign]


def _apply(module: nn.Module, convert: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """What `Module.to` does, in the plain way: torch's own swaps fake parameters, which fails in torch 2.13."""
    for child in module.children() if recurse else ():
        _apply(child, convert)
    with torch.no_grad():
        for parameter in module._parameters.values():
            if parameter is not None:
                parameter.data = convert(parameter.data)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = convert(buffer)
    return module


def run_pass(mode: Numberless, module: Any, batch: Any, precision: str, *, accumulating: bool) -> Pass:
    """One pass of a LightningModule, as its trainer would run it.

    Args:
        mode: the network's weights were made in.
        batch: with real whole numbers.
        precision: one of hardware.PRECISIONS but auto.
        accumulating: gradients of a pass before are kept, and are there all the time.
    """
    network: nn.Module = module.network
    trained = [p for p in network.parameters() if p.requires_grad]
    gradients = sum(size(p) for p in trained)
    dtype = MIXED.get(precision)
    network.train()
    for p in trained:
        p.grad = torch.empty_like(p)
    mode.live = mode.highest = gradients
    mode.flops = 0
    mode.counting = True
    try:
        with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
            loss = module.training_step(batch, 0)
        if not accumulating:  # Lightning forgets the last step's gradients between forward and backward
            mode.live -= gradients
            for p in trained:
                p.grad = None
        loss.backward()
        del loss
    finally:
        mode.counting = False
        for p in trained:
            p.grad = None
    return Pass(peak=mode.highest, gradients=gradients, flops=mode.flops)


def size(tensor: Tensor) -> int:
    """Bytes."""
    return tensor.numel() * tensor.element_size()


def cast(module: Any, precision: str) -> None:
    """Weights of the type that a precision gives them, as training.precision does."""
    dtype = WHOLE.get(precision)
    for parameter in module.network.parameters() if dtype is not None else ():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)
