"""The adversarial core: an encoder, named heads, some of them reversed, and terms that align domains.

Tensors in, a trained network out; it knows no ROOT file, image or sound.
"""

from typing import TYPE_CHECKING, Any

from hepda.adversarial.data.batches import DomainRows, Transform
from hepda.adversarial.data.weights import NegativeWeights, class_weights, negative_weights
from hepda.adversarial.networks.domains import DomainBatchNorm, DomainLayer
from hepda.adversarial.networks.layers import MLP, Standardize, mlp, seeded
from hepda.adversarial.networks.network import Head, Network
from hepda.adversarial.networks.reversal import GradientReversal, Reversal, gradient_reversal
from hepda.adversarial.training.history import History
from hepda.adversarial.training.settings import TrainSettings
from hepda.adversarial.training.trainer import Trainer

if TYPE_CHECKING:
    from hepda.adversarial.classifier import DANNClassifier, DANNRegressor

__all__ = [
    "MLP",
    "DANNClassifier",
    "DANNRegressor",
    "DomainBatchNorm",
    "DomainLayer",
    "DomainRows",
    "GradientReversal",
    "Head",
    "History",
    "NegativeWeights",
    "Network",
    "Reversal",
    "Standardize",
    "TrainSettings",
    "Trainer",
    "Transform",
    "class_weights",
    "gradient_reversal",
    "mlp",
    "negative_weights",
    "seeded",
]


def __getattr__(name: str) -> Any:
    """Return the estimators, on demand: scikit-learn is only loaded by those who use them."""
    if name in ("DANNClassifier", "DANNRegressor"):
        from hepda.adversarial import classifier

        return getattr(classifier, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
