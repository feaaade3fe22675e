"""hepda: domain-adversarial training for high-energy physics, and the statistics of what it cost and bought.

    import hepda

    run = hepda.load("runs/tth")                        a run that `hepda train` made
    run.scores, run.history, run.metrics                frames, and numbers as objects
    run.plot.roc("third", ax=ax)                        any figure, also on your own axes
    run.models["dann"].predict_proba(frame)             the trained models
    run = hepda.train("tth.yaml", sources={...})        an analysis, of files or of frames
    hepda.DANNClassifier().fit(X, y, X_target=Z)        the method alone, as an estimator of scikit-learn

`dir(hepda)` is the public interface; the packages below have no promise of stability. Names are imported when they are
used, so `import hepda` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hepda.adversarial import DANNClassifier, DANNRegressor, TrainSettings
    from hepda.api.run import Run, load
    from hepda.api.training import train
    from hepda.errors import HepdaError
    from hepda.events.dataset.splits import event_key

__version__ = "0.1.0"
__all__ = [
    "DANNClassifier",
    "DANNRegressor",
    "HepdaError",
    "Run",
    "TrainSettings",
    "event_key",
    "load",
    "train",
]

_MODULES = {
    "DANNClassifier": "adversarial",
    "DANNRegressor": "adversarial",
    "HepdaError": "errors",
    "Run": "api.run",
    "TrainSettings": "adversarial",
    "event_key": "events.dataset.splits",
    "load": "api.run",
    "train": "api.training",
}


def __getattr__(name: str) -> Any:
    """Return a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, "__version__"]
