"""The adversarial core: an encoder, named heads, some of them reversed, and terms that align domains.

The input is tensors, the result a trained network; nothing here depends on ROOT files, images or sound. Names are
loaded on demand: reading the fields of a method does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hepda.adversarial.classifier import DANNClassifier, DANNRegressor
    from hepda.adversarial.data.batches import DomainRows, Transform
    from hepda.adversarial.data.weights import NegativeWeights, class_weights, negative_weights
    from hepda.adversarial.networks.domains import DomainBatchNorm, DomainLayer
    from hepda.adversarial.networks.layers import (
        MLP,
        CategoricalEncoder,
        Standardize,
        categorical_encoder,
        mlp,
        seeded,
    )
    from hepda.adversarial.networks.network import Head, Network
    from hepda.adversarial.networks.reversal import GradientReversal, Reversal, gradient_reversal
    from hepda.adversarial.networks.sets import DeepSets, DeepSetsSettings, SetTransformer, TransformerSettings
    from hepda.adversarial.networks.sets_inputs import Collection, SetLayout
    from hepda.adversarial.training.history import History
    from hepda.adversarial.training.settings import TrainSettings
    from hepda.adversarial.training.trainer import Trainer

_MODULES = {
    "classifier": ("DANNClassifier", "DANNRegressor"),
    "data.batches": ("DomainRows", "Transform"),
    "data.weights": ("NegativeWeights", "class_weights", "negative_weights"),
    "networks.domains": ("DomainBatchNorm", "DomainLayer"),
    "networks.layers": ("MLP", "CategoricalEncoder", "Standardize", "categorical_encoder", "mlp", "seeded"),
    "networks.network": ("Head", "Network"),
    "networks.reversal": ("GradientReversal", "Reversal", "gradient_reversal"),
    "networks.sets": ("DeepSets", "DeepSetsSettings", "SetTransformer", "TransformerSettings"),
    "networks.sets_inputs": ("Collection", "SetLayout"),
    "training.history": ("History",),
    "training.settings": ("TrainSettings",),
    "training.trainer": ("Trainer",),
}

__all__ = [
    "MLP",
    "CategoricalEncoder",
    "Collection",
    "DANNClassifier",
    "DANNRegressor",
    "DeepSets",
    "DeepSetsSettings",
    "DomainBatchNorm",
    "DomainLayer",
    "DomainRows",
    "GradientReversal",
    "Head",
    "History",
    "NegativeWeights",
    "Network",
    "Reversal",
    "SetLayout",
    "SetTransformer",
    "Standardize",
    "TrainSettings",
    "Trainer",
    "Transform",
    "TransformerSettings",
    "categorical_encoder",
    "class_weights",
    "gradient_reversal",
    "mlp",
    "negative_weights",
    "seeded",
]


def __getattr__(name: str) -> Any:
    """Return a public name from its module."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"hepda.adversarial.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
