"""A CUDA device that is pretended: its tensors are in the memory of the CPU, and it complains where a GPU would.

Within `PretendedCuda` torch reports one CUDA device. A tensor that is made on `cuda:0`, or moved there, says so
(`tensor.device`), and what is computed from it is there as well; its numbers are computed by the CPU's kernels, so that
a training on the pretended device has, to the last digit, the numbers of one on the CPU. What a real device refuses is
an error here too: operations of tensors on two devices, numpy arrays of its tensors, a generator of the other device.
What costs a real device its speed is counted: transfers, and calls that wait until the device has done all its work.

Torch without CUDA cannot make such tensors itself (its autograd asks for a driver). Therefore every storage that is
"on the device" is remembered, kept until the end of the block, and each operation is looked at before it runs.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")
_HEPDA = f"{Path(__file__).parents[1] / 'hepda'}/"
_WAITING = {
    "_local_scalar_dense", "item", "nonzero", "masked_select", "equal", "_unique2", "unique_dim", "bincount", "histc",
    "unique_consecutive", "_linalg_check_errors", "argwhere",
}  # fmt: skip
"""Operators whose result, or whose shape, the CPU needs: it waits for the device."""
_INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}
_LIKE = {"empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like"}
_NEW = {"new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided"}
_Generator = torch.Generator
_REAL: dict[str, Any] = {
    name: getattr(torch.Tensor, name)
    for name in ("device", "is_cuda", "to", "numpy", "tolist", "__array__", "__deepcopy__", "new_tensor", "is_pinned")
}
MEMORY = 80 * 10**9
"""Bytes of the device."""


class MixedDevicesError(RuntimeError):
    """An operation with tensors, or a generator, of two devices."""


class OverwrittenError(RuntimeError):
    """A pinned buffer was written to while its copy to the device may still be under way."""


@dataclass(frozen=True)
class Event:
    """Something that a device would be slowed down by.

    Attributes:
        kind: `wait` (the CPU waits for the device), `in` and `out` (a transfer to the device, and from it).
        what: the operator.
        size: bytes that were transferred.
        where: the line of hepda.

    """

    kind: str
    what: str
    size: int
    where: str


def _indexed(device: Any) -> torch.device:
    device = torch.device(device)
    return CUDA if device.type == "cuda" and device.index is None else device


def _where() -> str:
    """Return the innermost line of hepda that is running, or an empty text."""
    frame: Any = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_HEPDA):
            return f"{name.removeprefix(_HEPDA)}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return ""


class PretendedCuda(TorchDispatchMode):
    """Within the block there is a CUDA device; see above.

    Args:
        memory: bytes of the device that are free.
        bfloat16: whether it computes in bfloat16.

    Attributes:
        events: transfers and waits, in their order.
        autocasts: how often autocast was entered, by the type of the device.

    """

    def __init__(self, *, memory: int = MEMORY, bfloat16: bool = True) -> None:
        super().__init__()
        self.memory, self.bfloat16 = memory, bfloat16
        self.events: list[Event] = []
        self.autocasts: Counter[str] = Counter()
        self._on_device: dict[int, torch.UntypedStorage] = {}
        self._pinned: dict[int, torch.UntypedStorage] = {}
        self._in_flight: dict[int, int] = {}
        self._copies = 0
        self._generators: dict[int, tuple[torch.Generator, torch.device]] = {}
        self._outwards = False
        self._differentiated = 0

    # ---- what is counted ----

    def count(self, *kinds: str) -> int:
        """Return the number of events of these kinds."""
        return sum(event.kind in kinds for event in self.events)

    def lines(self, *kinds: str) -> Counter[str]:
        """Return where events of these kinds happened, with the operator."""
        return Counter(f"{e.kind} {e.what} at {e.where}" for e in self.events if e.kind in kinds)

    def _add(self, kind: str, what: str, size: int = 0) -> None:
        self.events.append(Event(kind, what, size, _where()))
        if kind in ("wait", "out"):  # everything that was submitted before is done
            self._in_flight.clear()

    # ---- where a tensor is ----

    def of(self, tensor: Tensor) -> torch.device:
        """Return the device of a tensor."""
        real: torch.device = _REAL["device"].__get__(tensor)
        if real.type != "cpu":
            return real
        return CUDA if tensor.untyped_storage()._cdata in self._on_device else CPU

    def _put(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self._on_device[storage._cdata] = storage  # kept: an address is not used twice
        return tensor

    # ---- operations ----

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        self._check_writes(func, args, kwargs)
        requested = None if kwargs.get("device") is None else _indexed(kwargs["device"])
        if self._differentiated and requested == CPU and not tensors:
            requested = CUDA  # zeros that autograd makes for a gradient, where it thinks that the gradient is
        if requested is not None and requested.type == "cuda":
            kwargs["device"] = CPU
        pinned = bool(kwargs.pop("pin_memory", False)) if "pin_memory" in kwargs else False
        device = self._device_of_result(func, name, tensors, args, requested)
        self._check_generator(name, kwargs.get("generator"), device)
        if name in _WAITING and any(self.of(x) == CUDA for x in tensors):
            self._add("wait", name)
        result = func(*args, **kwargs)
        inputs = {x.untyped_storage()._cdata for x in tensors if x.layout == torch.strided}
        for x in tree_flatten(result)[0]:
            if not isinstance(x, Tensor) or x.untyped_storage()._cdata in inputs:
                continue
            if device == CUDA:
                self._put(x)
            elif pinned:
                self._pinned[x.untyped_storage()._cdata] = x.untyped_storage()
        return result

    def _device_of_result(
        self, func: Any, name: str, tensors: list[Tensor], args: Any, requested: torch.device | None
    ) -> torch.device:
        """Return where the result is; raise an error for tensors on two devices, and count transfers."""
        if name in ("_to_copy", "to"):  # the second within torch.inference_mode
            source = self.of(args[0])
            target = CPU if self._outwards else CUDA if requested == CUDA else source
            if (source, target) == (CPU, CUDA):
                self._transferred("in", args[0], name)
            return target
        if name in ("copy_", "_foreach_copy_"):
            pairs = [(args[0], args[1])] if name == "copy_" else zip(args[0], args[1], strict=True)
            for to, of in pairs:
                if self.of(to) == CUDA and self.of(of) == CPU:
                    self._transferred("in", of, name, asynchronous=name == "copy_" and bool(args[2:] and args[2]))
                elif self.of(to) == CPU and self.of(of) == CUDA:
                    self._transferred("out", of, name)
            return self.of(args[0] if name == "copy_" else args[0][0])
        if name in _LIKE | _NEW:
            return requested if requested == CUDA else self.of(tensors[0])
        on_device = [x for x in tensors if self.of(x) == CUDA]
        others = [x for x in tensors if self.of(x) == CPU]
        if on_device and others:
            if name in _INDEXED and self.of(args[0]) == CUDA:
                for x in others:  # torch copies the numbers of rows
                    if x.dim():
                        self._transferred("in", x, name)
            elif not (torch.Tag.pointwise in func.tags and all(x.dim() == 0 for x in others)):
                shapes = [(tuple(x.shape), str(self.of(x))) for x in tensors]
                raise MixedDevicesError(f"{func} of tensors on two devices: {shapes}, at {_where()}")
        if name in _INDEXED and on_device:
            masks = [x for x in args[1] if x is not None and x.dtype in (torch.bool, torch.uint8)]
            scalar = name != "index" and args[2].numel() == 1
            if masks and not scalar:
                self._add("wait", f"{name} by a mask")
        if name == "repeat_interleave" and on_device:
            self._add("wait", name)
        return CUDA if on_device or requested == CUDA else requested or CPU

    def _transferred(self, kind: str, tensor: Tensor, name: str, *, asynchronous: bool = False) -> None:
        size = tensor.numel() * tensor.element_size()
        self._add(kind, name, size)
        storage = tensor.untyped_storage()._cdata
        if kind == "in" and asynchronous and storage in self._pinned:
            self._copies += 1
            self._in_flight[storage] = self._copies
        elif kind == "in":
            self._add("wait", f"{name} from memory that is not pinned")

    def _check_writes(self, func: Any, args: Any, kwargs: Any) -> None:
        if not self._in_flight:
            return
        for place, argument in enumerate(func._schema.arguments):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            for x in tree_flatten(value)[0]:
                if isinstance(x, Tensor) and x.untyped_storage()._cdata in self._in_flight:
                    raise OverwrittenError(f"{func} writes to a pinned buffer that is being copied, at {_where()}")

    def _check_generator(self, name: str, generator: torch.Generator | None, device: torch.device) -> None:
        if generator is None:
            return
        own = self._generators[generator._cdata][1] if generator._cdata in self._generators else CPU
        if own.type != device.type:
            raise MixedDevicesError(f"{name} on {device} with a generator of {own}, at {_where()}")

    # ---- torch's functions that do not reach an operator ----

    def _moved(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """`Tensor.to`."""
        copies = bool(kwargs.pop("copy", False))
        if args and isinstance(args[0], Tensor):
            device, dtype, non_blocking, order = args[0].device, args[0].dtype, False, None
        else:
            device, dtype, non_blocking, order = torch._C._nn._parse_to(*args, **kwargs)
        device = self.of(tensor) if device is None else _indexed(device)
        settings: dict[str, Any] = {"dtype": tensor.dtype if dtype is None else dtype, "copy": copies}
        if order is not None:
            settings["memory_format"] = order
        if device == self.of(tensor):
            return _REAL["to"](tensor, **settings)
        if device.type == "meta":
            return _REAL["to"](tensor, "meta", **settings)
        if device == CUDA:
            if non_blocking and tensor.is_pinned():
                empty = torch.empty_like(tensor, device=CUDA, **({"memory_format": order} if order else {}))
                return _REAL["to"](empty.copy_(tensor, True), dtype=settings["dtype"])
            self._transferred("in", tensor, "to the device")
            return self._put(_REAL["to"](tensor, **settings | {"copy": True}))
        self._transferred("out", tensor, "to the CPU")
        self._outwards = True
        try:
            return _REAL["to"](tensor, **settings | {"copy": True})
        finally:
            self._outwards = False

    def _copied(self, tensor: Tensor, memo: Any) -> Tensor:
        """`deepcopy` of a tensor, which torch does beneath all operators."""
        if self.of(tensor) != CUDA:
            return _REAL["__deepcopy__"](tensor, memo)
        memo[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
        copied: Tensor = memo[id(tensor)]
        return copied

    def _array(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.of(tensor) == CUDA:
            raise TypeError(f"can't convert cuda:0 device type tensor to numpy, at {_where()}")
        return _REAL["numpy"](tensor, *args, **kwargs)

    def _as_array(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.of(tensor) == CUDA:
            raise TypeError(f"can't convert cuda:0 device type tensor to numpy, at {_where()}")
        return _REAL["__array__"](tensor, *args, **kwargs)

    def _pin(self, tensor: Tensor) -> Tensor:
        pinned = tensor.clone()
        self._pinned[pinned.untyped_storage()._cdata] = pinned.untyped_storage()
        return pinned

    def _list(self, tensor: Tensor) -> Any:
        if self.of(tensor) == CUDA:
            self._transferred("out", tensor, "tolist")
        return _REAL["tolist"](tensor)

    def _new_tensor(self, tensor: Tensor, data: Any, **kwargs: Any) -> Tensor:
        return _REAL["new_tensor"](tensor, data, **kwargs).to(self.of(tensor))

    def _made(self, make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """`torch.tensor` and `torch.as_tensor`, which move what they made beneath all operators."""

        def made(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> Tensor:
            if device is None or _indexed(device).type != "cuda":
                return make(data, *args, **kwargs, **({} if device is None else {"device": device}))
            return make(data, *args, **kwargs).to(CUDA)

        return made

    def _generator(self) -> type[torch.Generator]:
        mode = self

        class Generator(_Generator):
            """A generator of the CPU that says it is of another device."""

            def __new__(cls, device: Any = "cpu") -> Any:
                """Make the generator."""
                made = super().__new__(cls, "cpu")
                mode._generators[made._cdata] = made, _indexed(device)
                return made

            def __init__(self, device: Any = "cpu") -> None:
                pass

            @property
            def device(self) -> torch.device:
                """The device it was made for."""
                return mode._generators[self._cdata][1]

        return Generator

    def _autocast(self, real: Any) -> Callable[..., Any]:
        """Autocast of the device casts what the CPU's does."""

        def autocast(device_type: str, *args: Any, **kwargs: Any) -> Any:
            self.autocasts[device_type] += 1
            return real("cpu" if device_type == "cuda" else device_type, *args, **kwargs)

        return autocast

    def _differentiating(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """Remember that a gradient of something on the device is computed."""

        def differentiate(outputs: Any, *args: Any, **kwargs: Any) -> Any:
            on_device = any(self.of(x) == CUDA for x in tree_flatten(outputs)[0])
            self._differentiated += on_device
            try:
                return real(outputs, *args, **kwargs)
            finally:
                self._differentiated -= on_device

        return differentiate

    def _cuda_event(self) -> type:
        mode = self

        class CudaEvent:
            """An event of a stream: everything before it is done when it was waited for."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                self.copies = 0

            def record(self, stream: Any = None) -> None:
                """Remember what was submitted."""
                self.copies = mode._copies

            def synchronize(self) -> None:
                """Wait: the copies before are done."""
                mode._in_flight = {k: n for k, n in mode._in_flight.items() if n > self.copies}

            def query(self) -> bool:
                """Return whether it is done."""
                return False

        return CudaEvent

    # ---- the block ----

    def __enter__(self) -> PretendedCuda:
        self._stack = ExitStack()
        autocast_enabled = torch.is_autocast_enabled
        properties = SimpleNamespace(name="Pretended GPU", total_memory=self.memory, major=9, minor=0)
        state = torch.zeros(16, dtype=torch.uint8)

        def grouping(real: Callable[..., Any]) -> Callable[..., Any]:
            """Groups of tensors by device and type, which torch forms beneath all operators."""

            def grouped(lists: Any, with_indices: bool = False) -> Any:
                groups = real(lists, with_indices)
                return {(self.of(value[0][0][0]), key[1]): value for key, value in groups.items()}

            return grouped

        group, clip = "_group_tensors_by_device_and_dtype", torch.nn.utils.clip_grad

        patches: list[tuple[Any, str, Any]] = [
            (torch.Tensor, "device", property(self.of)),
            (torch.Tensor, "is_cuda", property(lambda x: self.of(x) == CUDA)),
            (torch.Tensor, "to", lambda x, *a, **k: self._moved(x, *a, **k)),
            (torch.Tensor, "cpu", lambda x, *a, **k: self._moved(x, "cpu")),
            (torch.Tensor, "cuda", lambda x, *a, **k: self._moved(x, CUDA)),
            (torch.Tensor, "numpy", lambda x, *a, **k: self._array(x, *a, **k)),
            (torch.Tensor, "__array__", lambda x, *a, **k: self._as_array(x, *a, **k)),
            (torch.Tensor, "__deepcopy__", lambda x, memo: self._copied(x, memo)),
            (torch.Tensor, "tolist", lambda x: self._list(x)),
            (torch.Tensor, "new_tensor", lambda x, d, **k: self._new_tensor(x, d, **k)),
            (torch.Tensor, "pin_memory", lambda x, *a: self._pin(x)),
            (torch.Tensor, "is_pinned", lambda x, *a: x.untyped_storage()._cdata in self._pinned),
            (torch, "tensor", self._made(torch.tensor)),
            (torch, "as_tensor", self._made(torch.as_tensor)),
            (torch, "Generator", self._generator()),
            (torch.autograd, "backward", self._differentiating(torch.autograd.backward)),
            (torch.autograd, "grad", self._differentiating(torch.autograd.grad)),
            (torch, "autocast", self._autocast(torch.autocast)),
            (torch, "is_autocast_enabled", lambda kind="cuda": autocast_enabled("cpu" if kind == "cuda" else kind)),
            (torch.optim.Optimizer, group, staticmethod(grouping(getattr(torch.optim.Optimizer, group)))),
            (clip, group, grouping(getattr(clip, group))),
            (torch.cuda, "is_available", lambda: True),
            (torch.cuda, "is_initialized", lambda: True),
            (torch.cuda, "is_bf16_supported", lambda *a, **k: self.bfloat16),
            (torch.cuda, "device_count", lambda: 1),
            (torch.cuda, "current_device", lambda: 0),
            (torch.cuda, "set_device", lambda device: None),
            (torch.cuda, "_lazy_init", lambda: None),
            (torch.cuda, "get_rng_state", lambda device="cuda": state.clone()),
            (torch.cuda, "set_rng_state", lambda new, device="cuda": None),
            (torch.cuda, "manual_seed", lambda seed: None),
            (torch.cuda, "manual_seed_all", lambda seed: None),
            (torch.cuda, "synchronize", lambda *a: self._add("wait", "synchronize")),
            (torch.cuda, "mem_get_info", lambda device=None: (self.memory, self.memory)),
            (torch.cuda, "get_device_properties", lambda device=None: properties),
            (torch.cuda, "get_device_name", lambda device=None: properties.name),
            (torch.cuda, "device", lambda device: nullcontext()),
            (torch.cuda, "current_stream", lambda device=None: None),
            (torch.cuda, "Event", self._cuda_event()),
        ]
        for where, name, value in patches:
            self._stack.enter_context(mock.patch.object(where, name, value))
        super().__enter__()
        return self

    def __exit__(self, *what: Any) -> None:
        super().__exit__(*what)
        self._stack.__exit__(*what)
