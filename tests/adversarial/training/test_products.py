"""The matrix products of a training are those that its layers need."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from hepda import timing
from hepda.adversarial import DomainRows, Head, Network, Trainer, mlp
from hepda.adversarial.training.products import counted


def test_products_of_layers_and_convolutions_are_counted_forward_and_backward() -> None:
    counts: Counter[timing.MatrixShape] = Counter()
    layer, x = torch.nn.Linear(5, 3), torch.ones(8, 5, requires_grad=True)
    convolution, images = torch.nn.Conv2d(2, 4, 3), torch.ones(2, 2, 6, 6)
    with counted(counts):
        layer(x).sum().backward()
        convolution(images).sum().backward()
        torch.bmm(torch.ones(7, 3, 4), torch.ones(7, 4, 6))
    # output, gradient of the input, gradient of the weight; a convolution of 2 x 4 x 4 places has windows of 2 x 3 x 3,
    # and no gradient of its input is asked for
    assert counts == {(8, 5, 3): 1, (8, 3, 5): 1, (3, 8, 5): 1, (32, 18, 4): 1, (18, 32, 4): 1, (3, 4, 6): 7}


def test_a_training_adds_the_products_of_all_its_epochs_to_a_profile() -> None:
    generator = np.random.default_rng(1)
    label = (generator.random(64) < 0.5).astype(np.float32)
    rows = DomainRows(generator.normal(size=(64, 6)).astype(np.float32), {"class": label}, {"class": np.ones(64, "f4")})
    network = Network(mlp(6, [16]), [Head("class", mlp(16, [], 1), weight="class")])
    sums = timing.Sums()
    with timing.measured(("train", "network"), sums):
        Trainer(epochs=5, batch_size=32, device="cpu", seed=1).fit(network, rows)
    products = sums.products["train", "network"]
    assert products[32, 6, 16] == 5 * 2  # one forward a step: 2 steps an epoch
    operations = sum(2.0 * m * k * n * count for (m, k, n), count in products.items())
    needed = 5 * 2 * 2.0 * 32 * (2 * 6 * 16 + 2 * 16 * 1)
    # no gradient of the features; that of a head's only output is an outer product, which is none of matrices
    # the norms of gradients of the second epoch need further passes
    assert needed <= operations <= 3 * needed
    for part in ("batches", "forward", "backward", "optimizer"):
        assert sums.parts["train", "network", part].calls == 10, part
