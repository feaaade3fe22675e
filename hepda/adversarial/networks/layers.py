"""Layers that a network is made of: a plain stack of linear layers, and the normalization of its inputs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from hepda.adversarial.data.sources import RowSource
from hepda.errors import ConfigError, DataError, nearest

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
}


@contextmanager
def seeded(seed: int | None, device: torch.device | None = None) -> Iterator[None]:
    """Within the block torch's random numbers start from `seed`; after it they continue as before the block.

    Networks made inside are the same each time. None does not change the random numbers. Those of a GPU are changed
    only if it is named as `device`: others are not even started.
    """
    if seed is None:
        yield
        return
    gpus = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


class MLP(nn.Sequential):
    """Linear layers with activations between them; `spec` says how to build it again, `mlp` makes it.

    Input [n, inputs] (further dimensions are flattened), output [n, outputs].
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = dict(spec)
        self.inputs, self.outputs = int(spec["inputs"]), int(spec["widths"][-1] if spec["widths"] else 0)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        sizes = [self.inputs, *spec["widths"]]
        last = len(sizes) - 2
        for i, (a, b) in enumerate(pairwise(sizes)):
            linear = nn.Linear(a, b)
            layers[f"linear{i}"] = nn.utils.parametrizations.spectral_norm(linear) if spec["spectral_norm"] else linear
            if i < last or spec["activate_last"]:
                layers[f"activation{i}"] = ACTIVATIONS[spec["activation"]]()
                if spec["dropout"]:
                    layers[f"dropout{i}"] = nn.Dropout(spec["dropout"])
        self.outputs = sizes[-1]
        super().__init__(layers)
        self.parts: list[Callable[[Tensor], Tensor]] | None = None  # see kernels.Fast

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers; what is not a matrix is flattened first."""
        x = x if x.dim() == 2 else x.flatten(1)
        if self.parts is None:
            result: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return result
        for part in self.parts:
            x = part(x)
        return x


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int | None = None,
    *,
    activation: str = "relu",
    dropout: float = 0.0,
    spectral_norm: bool = False,
) -> MLP:
    """Return a stack of linear layers.

    Args:
        inputs: number of input columns.
        hidden: widths of the hidden layers; each is followed by the activation (and dropout).
        outputs: number of raw outputs of a head; None for an encoder, that ends with its last hidden layer.
        activation: one of `ACTIVATIONS`.
        dropout: probability that a hidden unit is set to zero in training.
        spectral_norm: divide each weight matrix by its largest singular value (Miyato et al. 2018); steadies
            an adversary.

    Raises:
        ConfigError: an unknown activation, a width below 1, or a dropout outside [0, 1).

    """
    if activation not in ACTIVATIONS:
        names = ", ".join(ACTIVATIONS)
        raise ConfigError(f"unknown activation {activation!r}; one of {names}.{nearest(activation, ACTIVATIONS)}")
    widths = [int(w) for w in hidden] + ([] if outputs is None else [int(outputs)])
    if inputs < 1 or any(w < 1 for w in widths):
        raise ConfigError(f"a network of widths {[inputs, *widths]}: every width must be 1 or more")
    if not 0.0 <= dropout < 1.0:
        raise ConfigError(f"dropout {dropout} must be at least 0 and below 1")
    return MLP(
        {
            "inputs": int(inputs),
            "widths": widths,
            "activate_last": outputs is None,
            "activation": activation,
            "dropout": float(dropout),
            "spectral_norm": bool(spectral_norm),
        }
    )


class FittedInputs(nn.Module, ABC):
    """A part of a network that is fitted to the training rows before the first step, and saved with it.

    The buffer `fitted` says whether it was.
    """

    fitted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.tensor(False))

    @abstractmethod
    def fit(self, features: Tensor | RowSource, weight: Tensor | None = None) -> FittedInputs:
        """Fit it to inputs [n, ...] of the network, each with its weight [n] (1 if None)."""


class Standardize(FittedInputs):
    """Shift and scale each column to weighted mean 0 and width 1; part of the network, saved with it.

    Rows are [n, k], or [n, k, ...] with k channels: then the mean and width of a channel are those of all its values.
    Buffers `mean` and `scale` [k] (`scale` is 1 / width; 1 for a column that never varies) and `fitted`.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))

    def forward(self, x: Tensor) -> Tensor:
        """Return (x - mean) * scale."""
        shift, scale = -self.mean * self.scale, self.scale
        if x.dim() > 2:
            channels = len(scale), *[1] * (x.dim() - 2)
            shift, scale = shift.reshape(channels), scale.reshape(channels)
        return torch.addcmul(shift, x, scale)

    @torch.no_grad()
    def fit(self, features: Tensor | RowSource, weight: Tensor | None = None, chunk: int = 65536) -> Standardize:
        """Take mean and width from rows [n, k, ...], each with its absolute weight [n] (1 if None).

        One pass in float64 over chunks, around the first chunk's mean: a memory-mapped table is never entirely in
        memory.

        Raises:
            DataError: a value is not finite, no row has a weight, or the number of columns differs.

        """
        if features.shape[1] != len(self.mean):
            raise DataError(f"the normalization is of {len(self.mean)} columns, the rows have {features.shape[1]}")
        chunk = max(1, chunk // max(1, features[:1][:, 0].numel()))
        first = _by_column(features[:chunk])[0].mean(dim=0)
        total, shift, square = 0.0, torch.zeros_like(first), torch.zeros_like(first)
        for start in range(0, len(features), chunk):
            x, times = _by_column(features[start : start + chunk])
            x = x - first
            w = torch.ones(len(x) // times, dtype=torch.float64)
            if weight is not None:
                w = weight[start : start + chunk].to("cpu", torch.float64).abs()
            w = w if times == 1 else w.repeat_interleave(times)
            total, shift = total + float(w.sum()), shift + w @ x
            square += w @ x.square_()
        if not bool(torch.isfinite(square).all()):
            column = int((~torch.isfinite(square)).nonzero()[0])
            raise DataError(f"feature column {column} holds NaN or infinity; correct or drop these rows first")
        if not total > 0.0:
            raise DataError("the normalization has no rows with a weight; check the training rows and their weights")
        shift /= total
        mean, width = first + shift, (square / total - shift.square()).clamp_min(0.0).sqrt()
        flat = width <= 1e-7 * mean.abs().clamp_min(1e-30)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(flat, torch.ones_like(width), 1.0 / width))
        self.fitted.fill_(True)
        return self


class TargetScale(nn.Module):
    """Weighted mean and width of the target of a regression: a head learns (t - mean) / width, and predicts in units.

    Part of the network, saved with it. Buffers `mean` and `width` [t] (`width` is 1 for a target that never varies) and
    `fitted`.

    Args:
        columns: number of targets.

    """

    mean: Tensor
    width: Tensor
    fitted: Tensor

    def __init__(self, columns: int = 1) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("width", torch.ones(columns))
        self.register_buffer("fitted", torch.tensor(False))

    @torch.no_grad()
    def fit(self, target: Tensor, weight: Tensor) -> TargetScale:
        """Take mean and width from targets [n, t], each with its absolute weight [n].

        Raises:
            DataError: no row has a weight, or the number of columns differs.

        """
        if target.shape[1:] != self.mean.shape:
            raise DataError(f"the scale is of {len(self.mean)} targets, the rows have {tuple(target.shape[1:])}")
        share = weight.to("cpu", torch.float64).abs()
        if not float(share.sum()) > 0.0:
            raise DataError("no row with a target has a weight; check the training rows and their weights")
        share = share / share.sum()
        values = target.to("cpu", torch.float64)
        mean = share @ values
        width = (share @ (values - mean).square()).sqrt()
        flat = width <= 1e-7 * mean.abs().clamp_min(1e-30)
        self.mean.copy_(mean)
        self.width.copy_(torch.where(flat, torch.ones_like(width), width))
        self.fitted.fill_(True)
        return self

    def standardised(self, target: Tensor) -> Tensor:
        """Return targets [n, t] as the head learns them."""
        return (target - self.mean.to(target)) / self.width.to(target)

    def forward(self, output: Tensor) -> Tensor:
        """Return raw outputs [n, t] of the head in the units of the target."""
        return torch.addcmul(self.mean.to(output), output, self.width.to(output))


class EmbeddedColumns(FittedInputs):
    """Inputs of a network of which some columns are names of categories, not quantities.

    Numbers are standardised. A category becomes a learnt vector of its own (Guo & Berkhahn, arXiv:1604.06737); a value
    that is not listed has one more, that of all such values. The width of the vectors of a feature with c categories is
    min(32, round(1.6 c^0.56)), a usual rule of thumb.

    Args:
        columns: number of input columns.
        categories: the values of each categorical column.

    """

    def __init__(self, columns: int, categories: Mapping[int, Sequence[int]]) -> None:
        super().__init__()
        self.inputs, self.categories = columns, {column: tuple(values) for column, values in categories.items()}
        self.numbers = [column for column in range(columns) if column not in self.categories]
        self.standardize = Standardize(len(self.numbers))
        self.vectors = nn.ParameterDict()
        for column, values in self.categories.items():
            self.register_buffer(f"values{column}", torch.tensor(values, dtype=torch.float32), persistent=False)
            self.vectors[str(column)] = nn.Parameter(torch.randn(len(values) + 1, embedding_width(len(values))))
        self.outputs = len(self.numbers) + sum(vectors.shape[1] for vectors in self.vectors.values())

    def forward(self, x: Tensor) -> Tensor:
        """Return the numbers, then the vectors of the categories, [n, outputs]."""
        parts = [self.standardize(x[:, self.numbers])]
        for column in self.categories:
            listed = (x[:, column : column + 1] == getattr(self, f"values{column}")).to(x.dtype)
            other = 1.0 - listed.sum(dim=1, keepdim=True)
            parts.append(torch.cat([listed, other], dim=1) @ self.vectors[str(column)])
        return torch.cat(parts, dim=1)

    @torch.no_grad()
    def fit(self, features: Tensor | RowSource, weight: Tensor | None = None) -> EmbeddedColumns:
        """Fit the scaling of the numbers to rows [n, inputs]; the vectors are learnt."""
        if self.numbers:
            self.standardize.fit(cast("RowSource", _ChosenColumns(features, self.numbers)), weight)
        self.fitted.fill_(True)
        return self


class _ChosenColumns:
    """Some columns of rows, taken as the rows are read."""

    def __init__(self, rows: Tensor | RowSource, columns: Sequence[int]) -> None:
        self.rows, self.columns = rows, list(columns)
        self.shape = (len(rows), len(self.columns))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Tensor:
        return self.rows[index][:, self.columns]


def embedding_width(categories: int) -> int:
    """Return the width of the vectors that stand for so many categories."""
    return min(32, max(1, round(1.6 * math.pow(categories, 0.56))))


MOST_COLUMNS = 100_000
"""Largest number of inputs of an encoder with categories: a file may not ask for more."""


class CategoricalEncoder(nn.Module):
    """An encoder of columns some of which are categories: `EmbeddedColumns`, then the layers of an `MLP`."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__()
        self.spec = dict(spec)
        columns, categories = int(spec["columns"]), {int(c): values for c, values in spec["categories"].items()}
        if not all(0 <= column < columns <= MOST_COLUMNS for column in categories):
            raise ValueError(f"the categories are not of {columns} columns")
        self.columns = EmbeddedColumns(columns, categories)
        self.layers = MLP({**spec["layers"], "inputs": self.columns.outputs})
        self.inputs, self.outputs = self.columns.inputs, self.layers.outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the features [n, outputs] of inputs [n, inputs]."""
        features: Tensor = self.layers(self.columns(x))
        return features


def categorical_encoder(
    columns: int, categories: Mapping[int, Sequence[int]], hidden: Sequence[int], **settings: Any
) -> CategoricalEncoder:
    """Return an encoder of columns some of which are categories.

    Args:
        columns: number of input columns.
        categories: the values of each categorical column.
        hidden: widths of the layers, as of `mlp`.
        settings: further arguments of `mlp`.

    """
    layers = mlp(1, hidden, **settings).spec
    listed = {str(column): [int(value) for value in values] for column, values in categories.items()}
    return CategoricalEncoder({"kind": "categories", "columns": columns, "categories": listed, "layers": layers})


def _by_column(rows: Tensor) -> tuple[Tensor, int]:
    """Rows [n, k, ...] as a matrix [n m, k] in float64, and m, the values of a row and column."""
    values = rows.to("cpu", torch.float64)
    if values.dim() == 2:
        return values, 1
    return values.flatten(2).transpose(1, 2).reshape(-1, values.shape[1]), values[0, 0].numel()
