"""Bins of features for scikit-learn's histogram trees: one byte for each number, made in blocks of rows.

HistGradientBoostingClassifier makes the same bins, but copies all features to float64 before, and scikit-learn 1.9
sorts a feature again for each of its 254 weighted quantiles: on 30,000 events with 34 features this takes five times as
long as 200 trees. Here a feature is sorted once, and the numbers in memory are bytes. The trees are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.baselines.inputs import Features, blocks

Array = NDArray[np.float64]
BINS = 255
"""Largest number of bins of a feature; one more is kept for missing values."""
SAMPLED = 200_000
"""Number of events from which the quantiles are computed on as many, drawn with replacement in proportion to their
weights."""

_LARGEST = 1e300
"""Largest threshold: scikit-learn uses infinity to separate missing values."""


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Bins of k features: bin i has the values above threshold i - 1 up to threshold i.

    Attributes:
        thresholds: the ascending thresholds of each feature, one less than its bins.
        categories: how many values categorical features have, by column: their bins are their codes.

    """

    thresholds: Sequence[Array]
    categories: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, features: Features, weight: Array, seed: int, categories: Mapping[int, int] | None = None) -> Bins:
        """Return bins with about equal sums of weights, at most BINS for each feature.

        Args:
            features: of the training events [n, k].
            weight: weights [n], > 0.
            seed: that of scikit-learn's fit; it determines the sample of more than SAMPLED events.
            categories: how many values categorical features have, by column; None for no such features.

        """
        of = dict(categories or {})
        if len(features) <= SAMPLED:
            return cls([thresholds_of(column.astype(np.float64), weight) for column in features[:].T], of)
        # As scikit-learn does, so that the trees are the same: the fit draws the seed of the sample.
        own_seed = np.random.RandomState(seed).randint(np.iinfo(np.uint32).max, dtype="u8")
        chosen = np.random.RandomState(own_seed).choice(len(features), SAMPLED, p=weight / np.sum(weight), replace=True)
        sample = features[np.sort(chosen)]
        return cls([thresholds_of(column.astype(np.float64), None) for column in sample.T], of)

    @property
    def is_categorical(self) -> NDArray[np.bool_]:
        """Return which features are categories [k]."""
        return np.isin(np.arange(len(self.thresholds)), list(self.categories))

    def apply(self, features: Features) -> NDArray[np.uint8]:
        """Return the bins of features [n, k], column by column (Fortran order); NaN is in the last bin, BINS."""
        binned = np.empty(features.shape, dtype=np.uint8, order="F")
        mapper = self.mapper()
        for rows, block in blocks(features):
            binned[rows] = mapper.transform(block)
        return binned

    def mapper(self) -> Any:
        """Return scikit-learn's object that applies the bins."""
        from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper

        return self.describe(_BinMapper(n_bins=BINS + 1))

    def describe(self, mapper: Any) -> Any:
        """Give these bins to an object of scikit-learn that has none yet, and return it."""
        # scikit-learn has the categories themselves in the place of thresholds.
        codes = {column: np.arange(number, dtype=np.float64) for column, number in self.categories.items()}
        numbers = [self.categories.get(i, len(column) + 1) for i, column in enumerate(self.thresholds)]
        mapper.bin_thresholds_ = [codes.get(i, column) for i, column in enumerate(self.thresholds)]
        mapper.n_bins_non_missing_ = np.array(numbers, dtype=np.uint32)
        mapper.is_categorical_ = self.is_categorical.astype(np.uint8)
        mapper.missing_values_bin_idx_ = BINS
        return mapper


def thresholds_of(values: Array, weight: Array | None) -> Array:
    """Return the thresholds between the bins of a feature, as scikit-learn chooses them.

    These are the means of neighbouring values where there are at most BINS of them, else weighted quantiles (of the
    averaged inverse of the distribution: Hyndman & Fan, Am. Stat. 50 (1996) 361).

    Args:
        values: of the feature [n]; NaN are left out.
        weight: weights [n], > 0; None for 1.

    """
    known = ~np.isnan(values)
    order = np.argsort(values[known])
    ordered = values[known][order]
    distinct = np.unique(ordered)
    if len(distinct) <= BINS:
        return (distinct[:-1] + distinct[1:]) / 2
    share = np.linspace(0, 100, BINS + 1)[1:-1]
    if weight is None:
        quantiles = np.percentile(ordered, share, method="averaged_inverted_cdf")
    else:
        quantiles = _weighted_quantiles(ordered, np.cumsum(weight[known][order]), share)
    return np.minimum(np.unique(quantiles), _LARGEST)


def _weighted_quantiles(ordered: Array, sums: Array, percent: Array) -> Array:
    """Return quantiles of ascending values [n]; sums: of the weights up to each value [n]."""
    wanted = percent / 100 * sums[-1]
    index = np.minimum(np.searchsorted(sums, wanted), len(ordered) - 1)
    value, following = ordered[index], ordered[np.minimum(index + 1, len(ordered) - 1)]
    between = sums[index] - wanted <= np.finfo(np.float64).eps
    return np.asarray(np.where(between, (value + following) / 2, value))
