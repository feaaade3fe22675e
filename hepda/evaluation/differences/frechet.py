"""The Frechet distance between two samples, each described by its mean and its covariance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import finite_rows
from hepda.results.evaluation import FloatArray


def frechet_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Return `|m1 - m2|^2 + Tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2)`, in the squared unit of the features.

    It is the squared Wasserstein distance between the two normal distributions with these means and covariances (Dowson
    and Landau, J. Multivariate Anal. 12 (1982) 450); on features of a network it is the "Frechet inception distance" of
    Heusel et al. (NeurIPS 2017). Its expectation between two samples of the same distribution is above 0, and falls
    with their sizes: compare distances between samples of the same sizes only, or their ratios.

    Args:
        first: features of the rows of one sample [n, d].
        second: features of the rows of the other sample [m, d].

    Raises:
        DataError: the samples have different features, fewer than two rows, or values that are not finite.

    """
    samples = [finite_rows(values, 2) for values in (first, second)]
    if samples[0].shape[1] != samples[1].shape[1]:
        raise DataError(f"samples of {samples[0].shape[1]} and {samples[1].shape[1]} features; give the same features")
    means = [sample.mean(axis=0) for sample in samples]
    covariances = [np.cov(sample, rowvar=False).reshape(sample.shape[1], -1) for sample in samples]
    root = _square_root(covariances[0])
    overlap = np.sqrt(np.linalg.eigvalsh(root @ covariances[1] @ root).clip(0.0)).sum()
    shift = float(np.square(means[0] - means[1]).sum())
    return shift + float(sum(np.trace(covariance) for covariance in covariances) - 2.0 * overlap)


def _square_root(covariance: FloatArray) -> FloatArray:
    """Return the symmetric square root of a covariance; rounding may make eigenvalues slightly negative."""
    values, vectors = np.linalg.eigh(covariance)
    root: FloatArray = (vectors * np.sqrt(values.clip(0.0))) @ vectors.T
    return root
