from __future__ import annotations

import pytest
import torch

from hepda.adversarial import seeded
from hepda.errors import ConfigError
from hepda.speech.training.encoders import Convolutional, FeedForward, Recurrent


@pytest.mark.parametrize(
    "make",
    [
        lambda: FeedForward(21, 10, [32, 16]),
        lambda: Convolutional(21, 10, 8, 16),
        lambda: Recurrent(21, 10, 16, 10),
    ],
)
def test_windows_become_features_and_all_of_a_window_counts(make):
    with seeded(1):
        encoder = make().eval()
    windows = torch.randn(5, 21, 10, generator=torch.Generator().manual_seed(1), requires_grad=True)
    features = encoder(windows)
    assert features.shape == (5, 16)
    features[2].sum().backward()
    reached = windows.grad.abs().sum(dim=(1, 2)) > 0
    assert reached.tolist() == [False, False, True, False, False]
    ends = windows.grad[2].abs().sum(dim=1)
    assert float(ends[0]) > 0.0
    assert float(ends[-1]) > 0.0


def test_a_window_that_is_too_short_for_convolutions_is_refused():
    Convolutional(17, 10, 8, 16)
    with pytest.raises(ConfigError, match="17 steps or more, not 16"):
        Convolutional(16, 10, 8, 16)
    with pytest.raises(ConfigError, match="multiple of 4"):
        Recurrent(21, 10, 18, 10)
