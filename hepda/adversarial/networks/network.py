"""A Network: one encoder and named heads, some of them reversed. DANN, CDAN and pivot are settings of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from hepda.adversarial.data.sources import RowSource
from hepda.adversarial.networks.domains import set_domains
from hepda.adversarial.networks.layers import MLP, CategoricalEncoder, Standardize, TargetScale
from hepda.adversarial.networks.losses import class_probabilities, find_loss, probabilities
from hepda.adversarial.networks.reversal import Reversal
from hepda.adversarial.networks.sets import SetEncoder, set_encoder
from hepda.adversarial.networks.stacks import Stack
from hepda.adversarial.networks.tail import Tail
from hepda.adversarial.networks.term import Term
from hepda.adversarial.tensor_files import read_description, read_tensors, reading_saved, write_tensors
from hepda.errors import ConfigError, SourceError, TrainingError, nearest

_NESTED: dict[str, Any] = {"reversal": Reversal, "tail": Tail}
"""Fields of a head that are sections of settings; files hold them as mappings."""
_NUMBERS = 2**20  # see rows_per_pass


@dataclass(frozen=True, slots=True)
class Head:
    """What is predicted from the features: on which rows, with which weights, reversed or not.

    Attributes:
        name: name of the head, also in histories.
        module: from its input [n, d] to raw outputs [n, k].
        loss: `binary`, `multiclass`, `regression`, `absolute` or `mixture` (losses.py).
        rows: `source`, `target`, `both`, or the name of a mask in `DomainRows.masks`: rows of both domains where it
            is True (a domain without that mask takes part with all its rows).
        target: key of `DomainRows.targets`; None: the head's name. If the target is `domain` and the rows have no such
            target, it is 0 for source and 1 for target.
        weight: key of `DomainRows.weights`; None: every row counts 1.
        scale: factor on its loss.
        reversal: its gradient is reversed on the way into what it reads.
        input: `features`; the name of another head, to read its prediction (learning to pivot); or
            `features*<head>`, the outer product of features and prediction (CDAN, Long et al. 2018).
        balance: for the domain: give each of k domains the same sum of weights, so that chance is ln k.
        entropy: weigh rows by 1 + exp(-H) of the prediction of the head named in `input` (CDAN+E).
        rate: factor on the learning rate.
        steps: of a reversed head: its updates for one of the encoder.
        smoothing: label smoothing, 0 to 1.
        gradient_penalty: factor on the squared norm of the gradient of its output by its input (a stabiliser
            of reversed heads; Mescheder et al. 2018, R1).
        tail: rows count by the signal efficiency of a cut at their score of the main head (tail.py); only in training,
            and for a main head of one logit.
        standardise: of a regression: its target is shifted and scaled to mean 0 and width 1 of the source rows, and
            predictions are in the units of the target (`TargetScale`).

    """

    name: str
    module: nn.Module
    loss: str = "binary"
    rows: str = "source"
    target: str | None = None
    weight: str | None = None
    scale: float = 1.0
    reversal: Reversal | None = None
    input: str = "features"
    balance: bool = True
    entropy: bool = False
    rate: float = 1.0
    steps: int = 1
    smoothing: float = 0.0
    gradient_penalty: float = 0.0
    tail: Tail | None = None
    standardise: bool = False

    def __post_init__(self) -> None:
        find_loss(self.loss)
        if self.standardise and self.loss not in ("regression", "absolute"):
            raise ConfigError(f"head {self.name!r}: a target of loss {self.loss!r} has no units to standardise")
        if self.steps < 1 or (self.steps > 1 and self.reversal is None):
            raise ConfigError(f"head {self.name!r}: steps is {self.steps}; 1, or more for a reversed head")
        if not self.name.isidentifier() or self.name in ("features", "source", "target", "both"):
            raise ConfigError(f"a head cannot be called {self.name!r}; take a word of letters, digits and _")

    @property
    def reads(self) -> str | None:
        """The head whose prediction this one reads, or None."""
        name = self.input.removeprefix("features*")
        return None if name == "features" else name

    @property
    def key(self) -> str:
        """Key of its target in `DomainRows.targets`."""
        return self.target or self.name

    def spec(self) -> dict[str, Any]:
        """Return all fields except the module, for the metadata of a saved network."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "module"}
        for name in _NESTED:
            fields[name] = None if fields[name] is None else dataclasses.asdict(fields[name])
        if not self.standardise:
            del fields["standardise"]  # files of networks without a regression are those of earlier versions
        return fields


class Network(nn.Module):
    """An encoder, named heads, alignment terms, and the normalization of the inputs.

    Args:
        encoder: module from inputs [n, ...] to features [n, d].
        heads: at least one not reversed; the first of these is the main head (early stopping, scorers).
        terms: alignment terms (alignment.py).
        normalization: `Standardize` (fitted by the trainer if it is not yet; of columns, or of the channels of
            images), None, or `auto`: a `Standardize` for an MLP, nothing for another encoder (set encoders standardise
            the features of objects themselves).
        metadata: anything that JSON can represent, saved with the weights (feature names, for example).

    """

    def __init__(
        self,
        encoder: nn.Module,
        heads: Sequence[Head],
        *,
        terms: Sequence[Term] = (),
        normalization: Standardize | str | None = "auto",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(normalization, str):
            normalization = Standardize(encoder.inputs) if isinstance(encoder, MLP) else None
        self.normalization = normalization
        self.encoder = encoder
        self.heads: dict[str, Head] = {head.name: head for head in heads}
        self.head_modules = nn.ModuleDict({head.name: head.module for head in heads})
        self.term_modules = nn.ModuleList(terms)
        self.target_scales = nn.ModuleDict({head.name: TargetScale() for head in heads if head.standardise})
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.joined: Stack | None = None  # encoder and main head in one piece, see kernels.Fast
        self._check(heads)

    def _check(self, heads: Sequence[Head]) -> None:
        if len(self.heads) < len(heads):
            raise ConfigError(f"two heads have the same name: {[h.name for h in heads]}")
        if all(h.reversal for h in heads):
            raise ConfigError("a network needs a head that is not reversed")
        if any(h.tail for h in heads) and self.main.loss != "binary":
            raise ConfigError(f"a tail needs a main head that is binary; {self.main.name!r} is {self.main.loss}")
        for head in heads:
            read = head.reads
            if read is None:
                continue
            if read not in self.heads or read == head.name:
                raise ConfigError(
                    f"head {head.name!r} reads {head.input!r}, which is no head.{nearest(read, self.heads)}"
                )
            if self.heads[read].reads is not None:
                raise ConfigError(f"head {head.name!r} reads {read!r}, which itself reads another head")

    @property
    def terms(self) -> list[Term]:
        """The alignment terms."""
        return [term for term in self.term_modules if isinstance(term, Term)]

    @property
    def main(self) -> Head:
        """The first head that is not reversed."""
        return next(head for head in self.heads.values() if head.reversal is None)

    def target_scale(self, head: Head) -> TargetScale | None:
        """Return the scale of the target of a head; None if its target is not standardised."""
        scale = self.target_scales[head.name] if head.standardise else None
        return scale if isinstance(scale, TargetScale) else None

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def encode(self, x: Tensor, n_source: int = 0, *, normalized: bool = False, update_stats: bool = True) -> Tensor:
        """Return inputs [n, ...] to features [n, d].

        Args:
            x: rows of both domains, those of the source first.
            n_source: how many of them are source, for layers that treat domains differently (domains.py).
            normalized: whether they are normalized already.
            update_stats: whether running statistics are updated with them; not with changed rows.

        """
        set_domains(self.encoder, n_source, update_stats=update_stats)
        features: Tensor = self.encoder(x if normalized or self.normalization is None else self.normalization(x))
        return features

    def encode_with_output(self, x: Tensor, n_source: int = 0) -> tuple[Tensor, Tensor]:
        """Return features [n, d] and raw outputs [n, k] of the main head; arguments as those of `encode`."""
        if self.joined is None:
            features = self.encode(x, n_source)
            return features, self.head_modules[self.main.name](features)
        rows = x if self.normalization is None else self.normalization(x)
        features, output = self.joined.outputs(rows if rows.dim() == 2 else rows.flatten(1))
        return features, output

    def head_input(self, head: Head, features: Tensor, output: Tensor | None) -> Tensor:
        """Return the input of a head, from the features [n, d] and the raw output of the head that it reads, if any.

        The product of CDAN takes the prediction as given (no gradient through it), as its authors' code does.
        """
        if head.reads is None or output is None:
            return features
        read = self.heads[head.reads]
        if head.input == head.reads:
            return probabilities(output, read.loss)
        prediction = class_probabilities(output.detach(), read.loss)
        return (features.unsqueeze(2) * prediction.unsqueeze(1).to(features.dtype)).flatten(1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the raw outputs [n, k] of every head."""
        features = self.encode(x)
        outputs: dict[str, Tensor] = {}
        for head in sorted(self.heads.values(), key=lambda h: h.reads is not None):
            outputs[head.name] = self._output(head, features, outputs)
        return outputs

    def _output(self, head: Head, features: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        read_output = None
        if head.reads is not None:
            read_output = outputs.get(head.reads)
            if read_output is None:
                read_output = self._output(self.heads[head.reads], features, outputs)
        raw: Tensor = self.head_modules[head.name](self.head_input(head, features, read_output))
        return raw

    def _encoded(self, x: ArrayLike | Tensor | RowSource, domain: str, batch: int | None) -> Iterator[Tensor]:
        """Yield the features of rows of one domain, batch by batch."""
        if domain not in ("source", "target"):
            raise ConfigError(f"rows are of the domain 'source' or 'target', not {domain!r}")
        rows = x if isinstance(x, Tensor | RowSource) else torch.from_numpy(np.ascontiguousarray(x))
        size = batch or rows_per_pass(rows)
        for start in range(0, max(len(rows), 1), size):
            part = rows[start : start + size].to(self.device, next(self.parameters()).dtype)
            yield self.encode(part, len(part) if domain == "source" else 0)

    def predict(
        self,
        x: ArrayLike | Tensor | RowSource,
        head: str | None = None,
        *,
        raw: bool = False,
        domain: str = "target",
        batch: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the predictions of a head for inputs [n, ...], in evaluation mode, batch by batch.

        Args:
            x: inputs of one domain.
            head: its name; None: the main one.
            raw: the outputs before the sigmoid or softmax.
            domain: `source` or `target`; it matters where the encoder treats domains differently (domains.py).
            batch: rows of a batch; None: `rows_per_pass`.

        Returns:
            [n] for one output (the probability of 1 of a binary head; a number in the units of its target, if the head
            standardises it), else [n, k].

        Raises:
            ConfigError: there is no head of that name.

        """
        name = head or self.main.name
        if name not in self.heads:
            names = ", ".join(self.heads)
            raise ConfigError(f"no head {name!r}; the network has {names}.{nearest(name, self.heads)}")
        chosen, parts = self.heads[name], []
        scale = self.target_scale(chosen)
        with self._evaluating():
            for features in self._encoded(x, domain, batch):
                output = self._output(chosen, features, {})
                value = output if raw else probabilities(output, chosen.loss)
                parts.append(value if raw or scale is None else scale(value))
            result = as_array(torch.cat(parts))  # one transfer: a GPU computes the next batch meanwhile
        return result[:, 0] if result.shape[1] == 1 else result

    def embed(
        self, x: ArrayLike | Tensor | RowSource, *, domain: str = "target", batch: int | None = None
    ) -> NDArray[np.float32]:
        """Return the features [n, d] for inputs [n, ...], in evaluation mode; arguments as those of `predict`."""
        with self._evaluating():
            parts = [as_array(features) for features in self._encoded(x, domain, batch)]
        result: NDArray[np.float32] = np.concatenate(parts)
        return result

    def _evaluating(self) -> _Evaluating:
        return _Evaluating(self)

    def save(self, path: str | Path) -> None:
        """Write weights and metadata to a safetensors file, atomically."""
        parts: dict[str, Any] = {
            "format": "hepda.network/1",
            "encoder": _module_spec(self.encoder),
            "normalization": None if self.normalization is None else len(self.normalization.mean),
            "heads": [{**h.spec(), "module": _module_spec(h.module)} for h in self.heads.values()],
            "metadata": self.metadata,
        }
        tensors = {
            k: v.detach().cpu().contiguous() for k, v in self.state_dict().items() if not k.startswith("term_modules.")
        }
        write_tensors(Path(path), tensors, {"network": json.dumps(parts)})

    @classmethod
    def load(
        cls, path: str | Path, *, encoder: nn.Module | None = None, heads: dict[str, nn.Module] | None = None
    ) -> Network:
        """Read a network that `save` wrote. Nothing in the file is run; alignment terms are not saved.

        Args:
            path: the file.
            encoder: needed if the encoder is none of `mlp`, `categorical_encoder` or a `SetEncoder`; its weights are
                filled in.
            heads: the same for the modules of heads.

        Raises:
            SourceError: there is no such file, it is not a saved network, or it needs a module that was not
                given.

        """
        where = Path(path)
        tensors, metadata = read_tensors(where)
        if "network" not in metadata:
            raise SourceError(f"{path}: a safetensors file, but not a network that hepda saved")
        parts = read_description(where, metadata, "network")
        with reading_saved(where):
            # Without memory first: what a file describes may be larger than what it has.
            with torch.device("meta"):
                _fits(cls._from_description(parts, len(tensors), path, encoder, heads), tensors)
            network = cls._from_description(parts, len(tensors), path, encoder, heads)
            network.load_state_dict(tensors)
        return network.eval()

    @classmethod
    def _from_description(
        cls,
        parts: Mapping[str, Any],
        tensors: int,
        path: str | Path,
        encoder: nn.Module | None,
        heads: Mapping[str, nn.Module] | None,
    ) -> Network:
        """Return the network that `parts` describe, with initial weights; tensors: how many the file has."""
        body = encoder or _module_from(parts["encoder"], tensors, "encoder", path)
        described_heads = []
        for spec in parts["heads"]:
            fields = dict(spec)
            built, module_spec = (heads or {}).get(fields["name"]), fields.pop("module")
            module = built or _module_from(module_spec, tensors, f"head {fields['name']!r}", path)
            for name, kind in _NESTED.items():
                fields[name] = None if fields.get(name) is None else kind(**fields[name])
            described_heads.append(Head(module=module, **fields))
        columns = parts["normalization"]
        normalization = None if columns is None else Standardize(columns)
        return cls(body, described_heads, normalization=normalization, metadata=parts["metadata"])


def rows_per_pass(features: Tensor | RowSource) -> int:
    """Return the number of rows [n, ...] in a batch outside of training.

    They have some million numbers, which fit into memory also as the many channels of a convolution.
    """
    return max(64, min(16384, _NUMBERS // max(1, features[:1].numel())))


def as_array(x: Tensor) -> NDArray[np.float32]:
    """Return a tensor as an array; numpy has no bfloat16, in which layers compute during such a training."""
    array: NDArray[np.float32] = (x.float() if x.dtype == torch.bfloat16 else x).cpu().numpy()
    return array


class _Evaluating:
    """Within the block evaluation mode and no gradients; afterwards the mode from before."""

    def __init__(self, network: Network) -> None:
        self.network, self.inference = network, torch.inference_mode()

    def __enter__(self) -> None:
        self.was_training = self.network.training
        self.network.eval()
        self.inference.__enter__()

    def __exit__(self, *what: object) -> None:
        self.inference.__exit__(None, None, None)
        self.network.train(self.was_training)


def _fits(empty: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError if names or shapes of the tensors are not those of the network."""
    expected = {name: tuple(value.shape) for name, value in empty.state_dict().items()}
    present = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in sorted(expected.keys() | present.keys()):
        if expected.get(name) != present.get(name):
            raise ValueError(
                f"the weights do not fit the network that is described: {name} is {present.get(name, 'missing')}, not "
                f"{expected.get(name, 'part of it')}"
            )


def _module_spec(module: nn.Module) -> dict[str, Any] | None:
    return dict(module.spec) if isinstance(module, MLP | SetEncoder | CategoricalEncoder) else None


def _module_from(spec: dict[str, Any] | None, tensors: int, what: str, path: str | Path) -> nn.Module:
    if spec is None:
        raise SourceError(f"{path}: the {what} is not an mlp; build it and give it to Network.load")
    categorical = spec.get("kind") == "categories"
    if "kind" in spec and not categorical:
        return set_encoder(spec, tensors)
    if len(spec["layers"]["widths"] if categorical else spec["widths"]) > tensors:
        raise ValueError(f"the {what} has {len(spec['widths'])} layers, the file {tensors} tensors")
    return CategoricalEncoder(spec) if categorical else MLP(spec)


def check_output(output: Tensor, head: Head) -> None:
    """Raise a `TrainingError` if the raw output of a head does not fit its loss."""
    wrong = output.dim() != 2 or (head.loss == "binary" and output.shape[1] != 1)
    wrong = wrong or (head.loss == "multiclass" and output.shape[1] < 2)
    wrong = wrong or (head.loss == "mixture" and output.shape[1] % 3 != 0)
    if wrong:
        needed = find_loss(head.loss).what
        raise TrainingError(f"head {head.name!r} gives {tuple(output.shape)}; loss {head.loss!r} needs {needed}")
