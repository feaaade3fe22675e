"""The optimizer of a player of a game."""

from __future__ import annotations

import torch
from torch import nn

from hepda.adversarial.training.optimizers import optimizer_for
from hepda.config.speech.conversion import ConversionTrainingConfig


class Two(nn.Module):
    """Two layers and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 1)
        self.scale = nn.Parameter(torch.ones(()))


def test_every_parameter_is_stepped_once_at_its_rate_and_vectors_do_not_decay() -> None:
    module = Two()
    keys = ConversionTrainingConfig(learning_rate=0.01, weight_decay=0.1)
    optimizer = optimizer_for(module, keys, {"second": 5.0})
    settings = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert len(settings) == sum(len(g["params"]) for g in optimizer.param_groups) == 5
    named = {name: settings[id(p)] for name, p in module.named_parameters()}
    assert named == {
        "scale": (0.01, 0.0), "first.weight": (0.01, 0.1), "first.bias": (0.01, 0.0), "second.weight": (0.05, 0.1),
        "second.bias": (0.05, 0.0),
    }  # fmt: skip
