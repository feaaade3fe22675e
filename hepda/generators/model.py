"""What every generative model is: fitted to rows of known conditions, saved, and asked for new rows.

Rows are tensors of about -1 to 1: an image, or the columns of a table. A condition is a class number; a model that is
not conditional knows none. A model is a class with `fit`, and a line of MODELS.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from hepda.adversarial import History
from hepda.adversarial.tensor_files import read_description, read_tensors, reading_saved, write_tensors
from hepda.errors import DataError, SourceError

FORMAT = "hepda.generator/1"
_BATCH = 500  # rows that are drawn at once; with another number the same seed would give other rows

MODELS = {
    "mixture": "hepda.generators.mixture:GaussianMixtures",
    "gan": "hepda.generators.gan:ImageGenerator",
    "diffusion": "hepda.generators.diffusion:ImageDiffusion",
}
"""The kinds of models, `module:class`."""


@dataclass(frozen=True, slots=True)
class Examples:
    """The rows that a model is fitted to.

    Attributes:
        rows: float32 [n, ...], of about -1 to 1.
        condition: class numbers [n], int64.
        classes: number of classes.

    """

    rows: Tensor
    condition: Tensor
    classes: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shares(self) -> Tensor:
        """The share of each class [classes]."""
        return torch.bincount(self.condition, minlength=self.classes).float() / len(self)

    def on(self, device: torch.device) -> Examples:
        """Return the same rows on a device."""
        return Examples(self.rows.to(device), self.condition.to(device), self.classes)


@dataclass(frozen=True, slots=True)
class Fitting:
    """How a fit runs: the seed of all its random numbers, its device, its checkpoint, and who hears of its epochs."""

    seed: int
    device: torch.device
    checkpoint: Path | None = None
    on_epoch: Callable[[History], None] | None = None


class GenerativeModel(nn.Module, ABC):
    """A model that draws rows; all that it needs for it are its parameters, its buffers and its description.

    Args:
        description: the arguments of the class, which are saved with the weights.
        shares: the share of each class [classes] among the examples; None for a model that is not conditional.

    """

    kind: ClassVar[str]
    """Its name in MODELS."""
    shares: Tensor

    def __init__(self, description: Mapping[str, Any], shares: Tensor | None) -> None:
        super().__init__()
        self.description = dict(description)
        self.register_buffer("shares", torch.empty(0) if shares is None else shares)

    @classmethod
    @abstractmethod
    def describe(cls, section: Any, shape: Sequence[int], classes: int) -> dict[str, Any]:
        """Return the description of the model of a section.

        Args:
            section: the section of the model in the analysis file.
            shape: of a row.
            classes: number of classes of the examples.

        """

    @classmethod
    @abstractmethod
    def fit(cls, section: Any, examples: Examples, fitting: Fitting) -> tuple[Self, History]:
        """Fit a model to examples, from the checkpoint if there is one.

        Args:
            section: the section of the model in the analysis file.
            examples: the rows.
            fitting: seed, device and checkpoint.

        Returns:
            The model, in evaluation mode, and the history of its training.

        """

    @classmethod
    @abstractmethod
    def described(cls, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Return a model of a description that the tensors of `save` can be loaded into."""

    @abstractmethod
    def drawn(self, number: int, condition: Tensor | None, random: torch.Generator) -> Tensor:
        """Return new rows [n, ...].

        Args:
            number: n.
            condition: the class of each row [n]; None for a model that is not conditional.
            random: all random numbers, on the device of the model.

        """

    @property
    def conditional(self) -> bool:
        """Whether a class can be asked for."""
        return len(self.shares) > 0

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return self.shares.device

    def classes_of(self, number: int, seed: int) -> Tensor | None:
        """Return classes [n] in the shares of the examples; None for a model that is not conditional."""
        if not self.conditional:
            return None
        random = torch.Generator().manual_seed(seed)
        return torch.multinomial(self.shares.cpu().double(), number, replacement=True, generator=random)

    @torch.no_grad()
    def sample(self, number: int, condition: Tensor | None, seed: int) -> Tensor:
        """Return new rows [n, ...] on the CPU, limited to -1 to 1: the same ones for the same arguments and device.

        Args:
            number: n.
            condition: the class of each row [n]; of no effect on a model that is not conditional, which None is for.
            seed: of all random numbers.

        Raises:
            DataError: a conditional model is not told the classes, or there are no such classes.

        """
        asked = self._checked(condition, number)
        was_training = self.training
        self.eval()
        random = torch.Generator(self.device).manual_seed(seed)
        parts = []
        for first in range(0, number, _BATCH):
            last = min(first + _BATCH, number)
            rows = self.drawn(last - first, None if asked is None else asked[first:last], random)
            parts.append(rows.clamp(-1.0, 1.0).cpu())
        self.train(was_training)
        return torch.cat(parts)

    def _checked(self, condition: Tensor | None, number: int) -> Tensor | None:
        """Return the classes that are asked for on the device of the model; None if it is not conditional."""
        if not self.conditional:
            return None
        if condition is None or len(condition) != number:
            raise DataError(f"{number} classes are needed for {number} rows of a conditional model")
        if not 0 <= int(condition.min()) <= int(condition.max()) < len(self.shares):
            raise DataError(f"classes are {int(condition.min())} to {int(condition.max())}, of {len(self.shares)}")
        return condition.to(self.device)

    def save(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write the model to a safetensors file.

        Args:
            path: the file.
            about: what a user of the rows needs, such as how they become images; `load` returns it.

        """
        content = {"format": FORMAT, "kind": self.kind, "description": self.description, "about": dict(about)}
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        write_tensors(path, tensors, {"generator": json.dumps(content)})


def model_class(kind: str) -> type[GenerativeModel]:
    """Return the class of a kind of model, a key of MODELS."""
    module, name = MODELS[kind].split(":")
    found: type[GenerativeModel] = getattr(import_module(module), name)
    return found


@dataclass(frozen=True, slots=True)
class SavedModel:
    """The content of a file of `GenerativeModel.save`, of which nothing is run yet.

    Attributes:
        kind: a key of MODELS.
        description: the arguments of its class.
        about: what `save` was told about its rows.
        tensors: parameters and buffers by name.

    """

    kind: str
    description: dict[str, Any]
    about: dict[str, Any]
    tensors: dict[str, Tensor]


def read_model(path: Path) -> SavedModel:
    """Read a file of `GenerativeModel.save` without making a model of it.

    Raises:
        SourceError: the file is missing, or is no such file.

    """
    tensors, metadata = read_tensors(path)
    if "generator" not in metadata:
        raise SourceError(f"{path}: a safetensors file, but not a generative model that hepda saved")
    content = read_description(path, metadata, "generator")
    with reading_saved(path):
        if content["format"] != FORMAT:
            raise SourceError(f"{path}: is of the format {content['format']}, which this hepda does not read")
        if content["kind"] not in MODELS:
            raise SourceError(f"{path}: is a model of the kind {content['kind']}, which this hepda does not know")
        return SavedModel(content["kind"], dict(content["description"]), dict(content["about"]), tensors)


def load_model(path: Path) -> tuple[GenerativeModel, dict[str, Any]]:
    """Read a file of `GenerativeModel.save`; nothing in it is run.

    Returns:
        The model, in evaluation mode, and what `save` was told about its rows.

    Raises:
        SourceError: the file is missing, or is no such file.

    """
    saved = read_model(path)
    with reading_saved(path):
        model = model_class(saved.kind).described(saved.description, saved.tensors)
        model.load_state_dict(saved.tensors)
    return model.eval(), saved.about
