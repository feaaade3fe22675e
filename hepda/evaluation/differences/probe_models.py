"""The two classifiers that probe a representation. Each fit returns a function from features to a score."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from hepda.errors import DataError
from hepda.evaluation.arrays import Labels, Matrix, Scorer
from hepda.results.evaluation import FloatArray

_BINS = 63
_QUANTILES = np.arange(1, _BINS) / _BINS
_TREES, _LEAVES, _SHRINKAGE = 40, 6, 0.1
_EPOCHS, _STEPS, _HIDDEN, _RATE = 8, 5, 32, 1e-2  # epochs of at least _STEPS steps
_BATCHES = (128, 2048)  # rows of a batch, at least and at most


def fit_bdt(features: Matrix, label: Labels, weight: FloatArray, seed: int) -> Scorer:
    """Fit histogram gradient boosting that is small enough not to learn the noise of some thousand events.

    Args:
        features: inputs [n, k].
        label: labels [n].
        weight: weights [n], >= 0.
        seed: seed of the fit.

    Returns:
        A function from features to the log odds.

    """
    leaf = max(20, len(label) // 200)
    # Binned beforehand: scikit-learn would bin by weighted quantiles, which takes ten times as long as the trees.
    ordered = np.sort(features, axis=0)[(_QUANTILES * (len(features) - 1)).astype(np.intp)]
    edges = [np.unique(column) for column in ordered.T]

    def binned(x: Matrix) -> Matrix:
        columns = [np.searchsorted(cuts, column) for cuts, column in zip(edges, x.T, strict=True)]
        return np.stack(columns, axis=1).astype(np.float32)

    model = HistGradientBoostingClassifier(
        max_iter=_TREES,
        max_leaf_nodes=_LEAVES,
        max_bins=_BINS,
        learning_rate=_SHRINKAGE,
        min_samples_leaf=leaf,
        early_stopping=False,  # its internal split would ignore the signs of the weights
        random_state=seed,
    )
    model.fit(binned(features), label, sample_weight=weight)
    return lambda x: np.asarray(model.decision_function(binned(x)), dtype=np.float64)


def fit_mlp(features: Matrix, label: Labels, weight: FloatArray, seed: int) -> Scorer:
    """Fit a network with two hidden layers of 32 nodes, AdamW and a one-cycle rate.

    The inputs are standardised and limited to five widths. The seed does not change torch's global generator.

    Args:
        features: inputs [n, k].
        label: labels [n].
        weight: weights [n], >= 0.
        seed: seed of initial weights and batches.

    """
    centre = np.average(features, axis=0, weights=weight)
    width = np.sqrt(np.average((features - centre) ** 2, axis=0, weights=weight))
    width = np.where(width > 0, width, 1.0)

    def prepare(x: Matrix) -> torch.Tensor:
        return torch.from_numpy(np.clip((x - centre) / width, -5, 5).astype(np.float32))

    generator = torch.Generator().manual_seed(seed)
    network = _network(features.shape[1], generator)
    x, y = prepare(features), torch.from_numpy(label.astype(np.float32))
    w = torch.from_numpy(weight.astype(np.float32))
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-2)
    batch = int(np.clip(len(y) // _STEPS, *_BATCHES))
    batches = -(-len(y) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=_RATE, total_steps=_EPOCHS * batches)
    loss_of = torch.nn.BCEWithLogitsLoss(reduction="none")
    for _ in range(_EPOCHS):
        for rows in torch.split(torch.randperm(len(y), generator=generator), batch):
            loss = (loss_of(network(x[rows])[:, 0], y[rows]) * w[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    if not torch.isfinite(loss):
        raise DataError("the probe's loss is not finite; look for extreme weights or inputs")

    def score(values: Matrix) -> FloatArray:
        with torch.inference_mode():
            return np.asarray(network(prepare(values))[:, 0].numpy(), dtype=np.float64)

    return score


def _network(columns: int, generator: torch.Generator) -> torch.nn.Sequential:
    """Return a small network whose initial weights depend only on `generator`."""
    sizes = [columns, _HIDDEN, _HIDDEN, 1]
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = torch.nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")  # draws no random numbers
        bound = inputs**-0.5
        with torch.no_grad():
            linear.weight.uniform_(-bound * 3**0.5, bound * 3**0.5, generator=generator)
            linear.bias.zero_()
        layers += [linear, torch.nn.SiLU()]
    return torch.nn.Sequential(*layers[:-1])
