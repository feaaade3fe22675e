"""Which matrix products a training uses on this machine, and the networks that use them.

The products are in products.py; how layers are passed with them is in stacks.py.
"""

from __future__ import annotations

import functools
import time

import torch
from torch import Tensor, nn

from hepda.adversarial.networks.layers import MLP
from hepda.adversarial.networks.network import Network
from hepda.adversarial.networks.products import PRODUCTS, Products, operator_available
from hepda.adversarial.networks.stacks import RELU, Layer, Stack, joined, parts

MARGIN = 1.3  # how many times faster oneDNN must be; far from 1, so that noise does not change the choice
_ROWS, _WIDTH = 2048, 128


def _passes(stack: Stack, x: Tensor) -> list[Tensor]:
    """Output, and gradients of input and parameters, for a fixed gradient of the output."""
    inputs = x.detach().requires_grad_(True)
    output = stack(inputs)
    return [output, *torch.autograd.grad(output, [inputs, *stack.parameters], torch.ones_like(output))]


def agrees() -> bool:
    """Return whether oneDNN's operators are available and give torch's output and gradients to 1 part in 10^4."""
    if not operator_available():
        return False
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        for rows, columns, outputs in ((64, 30, 128), (67, 128, 64)):
            layers: list[Layer] = [(nn.Linear(columns, outputs), RELU), (nn.Linear(outputs, 32), None)]
            x = torch.randn(rows, columns)
            try:
                results = _passes(Stack(layers, PRODUCTS["onednn"]), x)
            except (RuntimeError, NotImplementedError, TypeError):
                return False  # another version of torch: the private operator has changed
            for a, b in zip(results, _passes(Stack(layers, PRODUCTS["plain"]), x), strict=True):
                if not torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(b.detach().abs().max())):
                    return False
    return True


def gain(repeats: int = 9) -> float:
    """Return how many times faster oneDNN passes forward and backward through a layer of 128, on one thread.

    The time is that of this thread only, the best of interleaved repeats: other work on the machine changes little.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            layer, x = nn.Linear(_WIDTH, _WIDTH), torch.randn(_ROWS, _WIDTH)
            stacks = {name: Stack([(layer, RELU)], PRODUCTS[name]) for name in ("plain", "onednn")}
            best = dict.fromkeys(stacks, float("inf"))
            for repeat in range(repeats + 1):
                for name, stack in stacks.items():
                    begin = time.thread_time()
                    _passes(stack, x)
                    if repeat:  # the first makes the kernels
                        best[name] = min(best[name], time.thread_time() - begin)
    finally:
        torch.set_num_threads(threads)
    return best["plain"] / best["onednn"]


@functools.cache
def worthwhile() -> bool:
    """Return whether oneDNN is available, correct, and faster by `MARGIN`; measured once in a process, about 50 ms.

    Processes of one run do not measure it themselves: the process that starts them passes its result on
    (`TrainSettings.with_kernels`), so that their numbers do not depend on separate measurements.
    """
    return agrees() and gain() > MARGIN


class Fast:
    """Within the block the MLPs of a network use these products; None: those of torch.

    Only float networks on the CPU. An encoder and a main head that are both MLPs are passed in one piece.
    """

    def __init__(self, network: nn.Module, products: Products | None) -> None:
        modules = [m for m in network.modules() if isinstance(m, MLP)] if products is not None else []
        self.modules = [m for m in modules if all(p.device.type == "cpu" for p in m.parameters())]
        self.network, self.products = network, products

    def __enter__(self) -> None:
        if self.products is None:
            return
        for module in self.modules:
            module.parts = parts(module, self.products)
        if isinstance(self.network, Network):
            encoder, main = self.network.encoder, self.network.main
            head = self.network.head_modules[main.name]
            if encoder in self.modules and head in self.modules and main.reads is None:
                self.network.joined = joined(encoder, head, self.products)

    def __exit__(self, *what: object) -> None:
        for module in self.modules:
            module.parts = None
        if isinstance(self.network, Network):
            self.network.joined = None
