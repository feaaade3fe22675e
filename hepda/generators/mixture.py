"""Mixtures of normal distributions, one for each class, fitted by expectation maximisation with scikit-learn."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.adversarial import History
from hepda.errors import DataError
from hepda.generators.model import Examples, Fitting, GenerativeModel

if TYPE_CHECKING:
    from hepda.config.generators.models import MixtureConfig

Floats = NDArray[np.float64]


class GaussianMixtures(GenerativeModel):
    """Mixtures in the space of the principal components of the rows.

    A row is `mean + axes^T (m_k + L_k z)` with z normal and a component k, drawn with its weight; L_k is the Cholesky
    factor of the covariance of the component.

    Args:
        description: `classes`, of the mixtures (1 of a model that is not conditional); `components`; `dimensions`, of
            the space; `shape`, of a row.
        shares: as of `GenerativeModel`.

    """

    kind: ClassVar[str] = "mixture"
    mean: Tensor
    axes: Tensor
    weight: Tensor
    centre: Tensor
    factor: Tensor

    def __init__(self, description: Mapping[str, Any], shares: Tensor | None) -> None:
        super().__init__(description, shares)
        classes, k, d = (description[name] for name in ("classes", "components", "dimensions"))
        values = int(np.prod(description["shape"]))
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("axes", torch.zeros(d, values))
        self.register_buffer("weight", torch.zeros(classes, k))
        self.register_buffer("centre", torch.zeros(classes, k, d))
        self.register_buffer("factor", torch.zeros(classes, k, d, d))

    @classmethod
    def describe(cls, section: MixtureConfig, shape: Sequence[int], classes: int) -> dict[str, Any]:
        """Return the description of mixtures; see `GenerativeModel.describe`."""
        values = int(np.prod(shape))
        return {
            "classes": classes if section.conditional else 1, "components": section.components,
            "dimensions": min(section.dimensions or values, values), "shape": list(shape),
        }  # fmt: skip

    @classmethod
    def fit(cls, section: MixtureConfig, examples: Examples, fitting: Fitting) -> tuple[Self, History]:
        """Fit a mixture to the rows of each class, or one to all rows.

        Raises:
            DataError: a class has fewer rows than components, or there are fewer rows than dimensions.

        """
        from sklearn.decomposition import PCA

        begin = time.perf_counter()
        rows = examples.rows.flatten(1).double().numpy()
        label = examples.condition.numpy() if section.conditional else np.zeros(len(rows), np.int64)
        description = cls.describe(section, examples.rows.shape[1:], examples.classes)
        classes, dimensions = description["classes"], description["dimensions"]
        if len(rows) < dimensions:
            raise DataError(f"{len(rows)} rows have no {dimensions} principal components; lower `dimensions`")
        space = PCA(dimensions, random_state=fitting.seed % 2**32).fit(rows)
        places = space.transform(rows)
        smallest = section.floor * float(places.var(axis=0).mean())
        model = cls(description, examples.shares if section.conditional else None)
        model.mean.copy_(torch.from_numpy(space.mean_))
        model.axes.copy_(torch.from_numpy(space.components_))
        unfinished = 0
        for number in range(classes):
            found, converged = _mixture(places[label == number], section, smallest, fitting.seed, number)
            for name, values in found.items():
                model.get_buffer(name)[number].copy_(torch.from_numpy(values))
            unfinished += not converged
        history = History(rows=len(rows))
        seconds = time.perf_counter() - begin
        history.add({"seconds": seconds})
        if unfinished:
            history.warnings.append(
                f"mixture: {unfinished} of {classes} did not converge in {section.iterations} steps; raise `iterations`"
            )
        return model.eval(), history

    @classmethod
    def described(cls, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Return an empty model of a description."""
        return cls(description, tensors["shares"] if len(tensors["shares"]) else None)

    def drawn(self, number: int, condition: Tensor | None, random: torch.Generator) -> Tensor:
        """Return new rows; see `GenerativeModel.drawn`."""
        which = torch.zeros(number, dtype=torch.long, device=self.device) if condition is None else condition
        component = torch.multinomial(self.weight[which], 1, generator=random)[:, 0]
        noise = torch.randn(number, self.axes.shape[0], 1, generator=random, device=self.device)
        places = self.centre[which, component] + (self.factor[which, component] @ noise)[:, :, 0]
        rows: Tensor = self.mean + places @ self.axes
        return rows.reshape(number, *self.description["shape"])


def _mixture(
    places: Floats, section: MixtureConfig, smallest: float, seed: int, number: int
) -> tuple[dict[str, Floats], bool]:
    """Return weights, centres and Cholesky factors of a mixture of places [n, d], and whether the fit converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if len(places) < section.components:
        raise DataError(
            f"class {number} has {len(places)} rows for {section.components} components; lower `components`, or read "
            "more rows"
        )
    mixture = GaussianMixture(
        section.components, covariance_type=section.covariance, reg_covar=smallest, max_iter=section.iterations,
        random_state=(seed + number) % 2**32,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the history says it
        mixture.fit(places)
    d, covariances = places.shape[1], mixture.covariances_
    if section.covariance == "full":
        factors = np.linalg.cholesky(covariances)
    else:  # variances [k, d] or [k]
        widths = np.sqrt(covariances if covariances.ndim == 2 else np.repeat(covariances[:, None], d, axis=1))
        factors = widths[:, :, None] * np.eye(d)
    return {"weight": mixture.weights_, "centre": mixture.means_, "factor": factors}, bool(mixture.converged_)
