"""Layers that treat the rows of the two domains differently, and batch norms over the rows of several workers."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial.distributed import all_reduce, is_distributed


class DomainLayer(nn.Module):
    """A layer that needs the domain of its rows; anywhere within an encoder, or the encoder itself.

    `Network.encode` sets `n_source` before each pass: the first `n_source` rows of the input are source, the others
    target. The default is 0: a trained network is for the target.
    """

    n_source: int = 0
    update_stats: bool = True


def set_domains(module: nn.Module, n_source: int, *, update_stats: bool = True) -> None:
    """Set in the domain layers of a module how many of the next rows are source; those are the first rows.

    Without `update_stats` these rows are changed ones (a second view), with which running statistics are not updated.
    """
    for layer in module.modules():
        if isinstance(layer, DomainLayer):
            layer.n_source, layer.update_stats = n_source, update_stats


class DomainBatchNorm(DomainLayer):
    """Batch norm with separate statistics for each domain (DSBN, Chang et al. 2019).

    Input [n, channels, ...], output of the same shape: `(x - mean_d) / sqrt(var_d + eps) * weight + bias`, with mean
    and variance over the rows of domain d (and the dimensions after the channels): those of the batch in training,
    running ones in evaluation. A domain without running statistics (a network that was trained on one domain) takes
    those of the other.

    Args:
        channels: size of dimension 1.
        momentum: how fast the running statistics follow, as in torch.
        eps: added to the variance.
        shared: one weight and bias for both domains; else each has its own.

    """

    mean: Tensor
    var: Tensor
    seen: Tensor

    def __init__(self, channels: int, *, momentum: float = 0.1, eps: float = 1e-5, shared: bool = True) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        sets = 1 if shared else 2
        self.weight, self.bias = nn.Parameter(torch.ones(sets, channels)), nn.Parameter(torch.zeros(sets, channels))
        self.register_buffer("mean", torch.zeros(2, channels))
        self.register_buffer("var", torch.ones(2, channels))
        self.register_buffer("seen", torch.zeros(2, dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the rows of each domain."""
        n = min(self.n_source, len(x))
        if n == 0:
            return self._normalized(x, 1)
        if n == len(x):
            return self._normalized(x, 0)
        # split, not slices: the gradient of a slice is a whole tensor of zeros, and not in the order of channels_last
        source, target = x.split([n, len(x) - n])  # type: ignore[no-untyped-call]
        return torch.cat([self._normalized(source, 0), self._normalized(target, 1)])

    def _normalized(self, x: Tensor, domain: int) -> Tensor:
        affine_set = domain if len(self.weight) == 2 else 0
        running = self.mean[domain], self.var[domain]
        if self.training:
            self.seen[domain].fill_(True)
        else:  # without a question to the device, which would have to be waited for
            seen, (mean, var) = self.seen[domain], running
            running = torch.where(seen, mean, self.mean[1 - domain]), torch.where(seen, var, self.var[1 - domain])
        affine = self.weight[affine_set], self.bias[affine_set]
        momentum = 0.0 if not self.update_stats else self.momentum
        if self.training and is_distributed():
            return global_batch_norm(x, *running, *affine, momentum, self.eps)
        return functional.batch_norm(x, *running, *affine, self.training, momentum, self.eps)


def global_batch_norm(
    x: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """Return the batch norm of rows [n, channels, ...] in training, by mean and variance over the rows of all workers.

    Running statistics are updated in place.
    """
    dtype, x = x.dtype, x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    dimensions = [d for d in range(x.dim()) if d != 1]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    count = all_reduce(x.new_full((), float(x.numel() // x.shape[1])))
    batch_mean = all_reduce(x.sum(dimensions)) / count
    centred = x - batch_mean.reshape(shape)
    variance = all_reduce(centred.square().sum(dimensions)) / count
    if mean is not None and var is not None:
        with torch.no_grad():
            mean.lerp_(batch_mean, momentum)
            var.lerp_(variance * (count / (count - 1.0).clamp_min(1.0)), momentum)
    result = centred * torch.rsqrt(variance + eps).reshape(shape)
    result = result if weight is None else result * weight.reshape(shape)
    result = result if bias is None else result + bias.reshape(shape)
    return result.to(dtype)


class GlobalBatchNorms:
    """Within the block the batch norms of a network use the rows of all workers in training."""

    def __init__(self, network: nn.Module) -> None:
        kinds = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d
        self.modules = [m for m in network.modules() if isinstance(m, kinds)] if is_distributed() else []

    def __enter__(self) -> None:
        for module in self.modules:
            module.forward = partial(_forward, module)  # type: ignore[method-assign]

    def __exit__(self, *what: object) -> None:
        for module in self.modules:
            del module.forward


def _forward(module: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d, x: Tensor) -> Tensor:
    if not module.training:
        return type(module).forward(module, x)
    factor = module.momentum
    if module.num_batches_tracked is not None:
        module.num_batches_tracked.add_(1)
        factor = factor if factor is not None else 1.0 / float(module.num_batches_tracked)
    affine = module.running_mean, module.running_var, module.weight, module.bias
    return global_batch_norm(x, *affine, 0.0 if factor is None else factor, module.eps)
