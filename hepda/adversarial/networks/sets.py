"""Encoders of events as sets of objects: deep sets and a transformer, in which the order of objects does not matter.

Input are padded rows [n, columns] of a `SetLayout`, output features [n, width]. Only objects that exist are computed.
"""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial.networks.layers import mlp
from hepda.adversarial.networks.sets_inputs import Objects, SetInputs, SetLayout, on_real
from hepda.adversarial.networks.sets_pairs import PairBias
from hepda.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DeepSetsSettings:
    """Settings of `DeepSets`.

    Attributes:
        width: of all layers, and of the output.
        layers: of the network of each collection, and of the network behind the pooling.
        pooling: `sum` or `mean` over the objects of a collection.
        log_energies: as of `SetInputs`.
        activation: one of `ACTIVATIONS`.
        dropout: probability that a unit is set to zero in training.

    """

    width: int = 64
    layers: int = 2
    pooling: str = "sum"
    log_energies: bool = True
    activation: str = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.pooling not in ("sum", "mean"):
            raise ConfigError(f"pooling {self.pooling!r} is neither sum nor mean")
        if self.layers < 1 or self.width < 1:
            raise ConfigError(f"layers is {self.layers} and width {self.width}; both must be 1 or more")


@dataclass(frozen=True, slots=True)
class TransformerSettings:
    """Settings of `SetTransformer`.

    Attributes:
        width: of the vector of an object, and of the output.
        layers: number of blocks.
        heads: of attention; the width is divided among them.
        feed_forward: width of the hidden layer of a block over `width`.
        pairwise: which features of pairs bias the attention (`sets_pairs.PAIR_FEATURES`); none: no bias.
        log_energies: as of `SetInputs`.
        activation: one of `ACTIVATIONS`.
        dropout: probability that a unit is set to zero in training.

    """

    width: int = 64
    layers: int = 3
    heads: int = 4
    feed_forward: int = 2
    pairwise: tuple[str, ...] = ()
    log_energies: bool = True
    activation: str = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.layers < 1 or self.heads < 1 or self.feed_forward < 1:
            raise ConfigError("layers, heads and feed_forward must be 1 or more")
        if self.width < 1 or self.width % self.heads:
            raise ConfigError(f"width {self.width} cannot be divided among {self.heads} heads")
        if self.pairwise and self.layers < 2:
            raise ConfigError("features of pairs act on the blocks before the last, so there must be 2 layers or more")


class SetEncoder(nn.Module):
    """An encoder of padded rows; `spec` says how to build it again.

    Attributes:
        inputs: number of columns of a row.
        outputs: width of the features.

    """

    kind = ""

    def __init__(self, layout: SetLayout, settings: DeepSetsSettings | TransformerSettings) -> None:
        super().__init__()
        self.layout, self.inputs, self.outputs = layout, layout.columns, settings.width
        self.spec: dict[str, Any] = {
            "kind": self.kind, "layout": layout.to_json(), "settings": dataclasses.asdict(settings),
        }  # fmt: skip
        self.standardize = SetInputs(layout, log_energies=settings.log_energies)

    @classmethod
    @abstractmethod
    def from_json(cls, spec: Mapping[str, Any]) -> Self:
        """Return the encoder that `spec` describes, with initial weights."""


class DeepSets(SetEncoder):
    """A network of each object, a sum or mean over the objects of each collection, and a network of the result.

    Zaheer et al. 2017, arXiv:1703.06114; as energy flow networks (arXiv:1810.05165) in particle physics.
    """

    kind = "deepsets"

    def __init__(self, layout: SetLayout, settings: DeepSetsSettings | None = None) -> None:
        settings = settings or DeepSetsSettings()
        super().__init__(layout, settings)
        layers = partial(mlp, activation=settings.activation, dropout=settings.dropout)
        hidden = [settings.width] * settings.layers
        self.mean = settings.pooling == "mean"
        self.objects = nn.ModuleList([layers(width, hidden) for width in self.standardize.widths])
        self.event = layers(len(layout.collections) * settings.width + layout.flat, hidden)

    @classmethod
    def from_json(cls, spec: Mapping[str, Any]) -> Self:
        """Return the encoder that `spec` describes, with initial weights."""
        return cls(SetLayout.from_json(spec["layout"]), DeepSetsSettings(**spec["settings"]))

    def forward(self, x: Tensor) -> Tensor:
        """Return features [n, width] of padded rows [n, columns]."""
        objects, flat = self.standardize(x)
        pooled = [self._pooled(module, part) for module, part in zip(self.objects, objects, strict=True)]
        features: Tensor = self.event(torch.cat([*pooled, flat], dim=1))
        return features

    def _pooled(self, module: nn.Module, objects: Objects) -> Tensor:
        total = on_real(module, objects, self.outputs).sum(dim=1)
        return total / objects.real.sum(dim=1, keepdim=True).clamp_min(1) if self.mean else total


@dataclass(frozen=True, slots=True)
class Places:
    """Where the tokens that exist are: vectors of tokens are either packed [m, width] or padded [n, tokens, width].

    Attributes:
        real: which tokens exist, [n, tokens].
        index: numbers of these tokens among all, [m].
        first: numbers of the first token of each event among those that exist, [n].

    """

    real: Tensor
    index: Tensor
    first: Tensor

    @classmethod
    def of(cls, real: Tensor) -> Places:
        """Return the places of the tokens [n, tokens] that exist; the first of each event does.

        On a GPU all tokens are kept, so that nothing has to be counted there and waited for; those that do not exist
        are looked at by none.
        """
        if real.device.type != "cpu":
            n, tokens = real.shape
            index = torch.arange(n * tokens, device=real.device)
            return cls(real, index, index[::tokens])
        number = real.sum(dim=1)
        return cls(real, real.flatten().nonzero()[:, 0], number.cumsum(0) - number)

    def pack(self, padded: Tensor) -> Tensor:
        """Return the vectors of the tokens that exist."""
        if len(self.index) == self.real.numel():
            return padded.flatten(0, 1)
        return padded.flatten(0, 1).index_select(0, self.index)

    def pad(self, packed: Tensor) -> Tensor:
        """Return vectors of all tokens, 0 where there is none."""
        n, tokens = self.real.shape
        if len(self.index) == n * tokens:
            return packed.reshape(n, tokens, -1)
        empty = packed.new_zeros(n * tokens, packed.shape[1])
        return empty.index_copy(0, self.index, packed).view(n, tokens, -1)


class Block(nn.Module):
    """A block with its norms before attention and feed-forward network (pre-norm, Xiong et al. 2020).

    In the last block only the class token is needed, so only its query and its feed-forward network are computed.
    """

    def __init__(self, settings: TransformerSettings, *, last: bool) -> None:
        super().__init__()
        width = settings.width
        self.heads, self.last = settings.heads, last
        self.norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        # stacks of one layer, so that a training can use its faster kernels for them
        self.query, self.key_value, self.out = mlp(width, (), width), mlp(width, (), 2 * width), mlp(width, (), width)
        hidden = [settings.feed_forward * width]
        self.feed_forward = mlp(width, hidden, width, activation=settings.activation, dropout=settings.dropout)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor, places: Places, bias: Tensor) -> Tensor:
        """Return new vectors of the tokens [m, width], of the last block those of the class tokens [n, width].

        Args:
            x: vectors of the tokens that exist, [m, width].
            places: where these are.
            bias: added to the products of queries and keys, [n, heads or 1, queries or 1, tokens].

        """
        normed = self.norm(x)
        keys, values = self._heads(places.pad(self.key_value(normed))).chunk(2, dim=-1)
        if self.last:
            x, queries = x[places.first], self._heads(self.query(normed[places.first])[:, None])
        else:
            queries = self._heads(places.pad(self.query(normed)))
        attended = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias.to(queries.dtype))
        attended = attended.transpose(1, 2).flatten(2)
        x = x + self.dropout(self.out(attended[:, 0] if self.last else places.pack(attended)))
        result: Tensor = x + self.dropout(self.feed_forward(self.second_norm(x)))
        return result

    def _heads(self, x: Tensor) -> Tensor:
        """Divide vectors [n, tokens, heads * d] among heads: [n, heads, tokens, d]."""
        n, tokens, _ = x.shape
        return x.view(n, tokens, self.heads, -1).transpose(1, 2)


class SetTransformer(SetEncoder):
    """A transformer of the objects of an event: an embedding for each collection, a class token, pre-norm blocks.

    The flat columns, if there are any, are one more token. Features of pairs bias the attention of all blocks as in
    Particle Transformer (arXiv:2202.03772); its blocks of class attention are here the last block, in which the class
    token looks at all tokens. The output is the class token, normed.
    """

    kind = "transformer"

    def __init__(self, layout: SetLayout, settings: TransformerSettings | None = None) -> None:
        settings = settings or TransformerSettings()
        super().__init__(layout, settings)
        width = settings.width
        embedding = partial(mlp, hidden=[width], outputs=width, activation=settings.activation)
        self.embeddings = nn.ModuleList([embedding(features) for features in self.standardize.widths])
        self.flat_embedding = embedding(layout.flat) if layout.flat else None
        self.class_token = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.ModuleList(
            [Block(settings, last=number == settings.layers - 1) for number in range(settings.layers)]
        )
        self.norm = nn.LayerNorm(width)
        own = 1 + (layout.flat > 0)  # the class token, and that of the flat columns
        begins = list(accumulate((c.size for c in layout.collections), initial=own))
        self.pairs = PairBias(layout, settings.pairwise, settings.heads) if settings.pairwise else None
        if self.pairs is not None:
            with torch.device("cpu"):
                numbers = self.pairs.numbers(begins[:-1], begins[-1]).flatten()
            self.register_buffer("pair_of_tokens", numbers, persistent=False)

    @classmethod
    def from_json(cls, spec: Mapping[str, Any]) -> Self:
        """Return the encoder that `spec` describes, with initial weights."""
        settings = {**spec["settings"], "pairwise": tuple(spec["settings"]["pairwise"])}
        return cls(SetLayout.from_json(spec["layout"]), TransformerSettings(**settings))

    def forward(self, x: Tensor) -> Tensor:
        """Return features [n, width] of padded rows [n, columns]."""
        objects, flat = self.standardize(x)
        parts = [on_real(module, part, self.outputs) for module, part in zip(self.embeddings, objects, strict=True)]
        own = [self.class_token.to(parts[0].dtype).expand(len(x), 1, -1)]
        if self.flat_embedding is not None:
            own.append(self.flat_embedding(flat)[:, None])
        always = torch.ones(len(x), len(own), dtype=torch.bool, device=x.device)
        places = Places.of(torch.cat([always, *(part.real for part in objects)], dim=1))
        absent = ~places.real[:, None, None, :]
        for_class = torch.zeros(absent.shape, dtype=x.dtype, device=x.device).masked_fill(absent, -torch.inf)
        bias = for_class if self.pairs is None else self._of_pairs(self.pairs, x).masked_fill(absent, -torch.inf)
        packed = places.pack(torch.cat([*own, *parts], dim=1))
        for block in self.blocks[:-1]:
            packed = block(packed, places, bias)
        features: Tensor = self.norm(self.blocks[-1](packed, places, for_class))
        return features

    def _of_pairs(self, pairs: PairBias, x: Tensor) -> Tensor:
        """Return the bias [n, heads, tokens, tokens] of features of pairs; 0 for tokens that are no pair."""
        by_pair: Tensor = pairs(self.layout.split(x)[0])
        numbers = self.get_buffer("pair_of_tokens")
        tokens = math.isqrt(len(numbers))
        with_none = torch.cat([by_pair, by_pair.new_zeros(len(x), 1, by_pair.shape[2])], dim=1)
        return with_none.index_select(1, numbers).view(len(x), tokens, tokens, -1).permute(0, 3, 1, 2)


KINDS: dict[str, type[DeepSets | SetTransformer]] = {kind.kind: kind for kind in (DeepSets, SetTransformer)}
"""Set encoders by the name in `spec`."""


def set_encoder(spec: Mapping[str, Any], most: int) -> SetEncoder:
    """Return the encoder of a saved network, with initial weights.

    Args:
        spec: as `SetEncoder.spec` was.
        most: number of tensors of the file: no more layers or collections are built.

    Raises:
        ValueError: the description has more layers than the file has tensors.

    """
    if max(int(spec["settings"]["layers"]), len(spec["layout"]["collections"])) > most:
        raise ValueError(f"the encoder has more layers than the file has tensors, {most}")
    return KINDS[spec["kind"]].from_json(spec)
