"""The public interface of hepda: names and signatures that a user may rely on. Changes here break promises."""

import inspect
import subprocess
import sys

import pytest

import hepda
from hepda.api.figures import FigureGroup, RunFigure
from hepda.api.models import RunModel

NAMES = [
    "DANNClassifier", "DANNRegressor", "HepdaError", "Run", "TrainSettings", "__version__", "event_key", "load",
    "train",
]  # fmt: skip
RUN = [
    "conclusions", "config", "features", "fit", "history", "join", "kind", "manifest", "metrics", "models", "name",
    "passes", "report", "score", "scores", "summary", "tables", "working_points",
]  # fmt: skip
ESTIMATOR = (
    "encoder, class_head, domain_head, *, strength, schedule, warmup, method, batch_size, epochs, learning_rate, "
    "dropout, activation, training, negative_weights, validation_fraction, random_state, device"
)
FIT = "X, y, *, X_target, sample_weight, target_weight, domain_mask, domain_weight, sample_domain"
SIGNATURES = {
    "load": "run",
    "train": "config, output, *, sources, overrides, existing, plots, device, progress",
    "event_key": "*parts",
    "Run": "path",
    "Run.features": "events, sample",
    "Run.score": "events, sample",
    "Run.join": "frame, sample, on",
    "DANNClassifier": ESTIMATOR,
    "DANNRegressor": ESTIMATOR,
    "DANNClassifier.fit": FIT,
    "DANNClassifier.predict_proba": "X",
}


def signature(thing):
    """The names of the arguments, with the star of those that have no position."""
    words, starred = [], False
    for name, parameter in inspect.signature(thing).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        if name != "self":
            words.append(f"*{name}" if parameter.kind is parameter.VAR_POSITIONAL else name)
    return ", ".join(words)


def test_the_names_are_frozen():
    assert dir(hepda) == NAMES
    assert sorted(hepda.__all__) == sorted(set(NAMES) - {"__version__"})
    assert [name for name in dir(hepda.Run) if not name.startswith("_")] == RUN


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_signatures_are_frozen(name):
    first, _, rest = name.partition(".")
    thing = getattr(hepda, first)
    assert signature(getattr(thing, rest) if rest else thing) == SIGNATURES[name]


def test_figures_and_models_have_frozen_signatures():
    assert signature(RunFigure.__call__) == "ax"
    assert signature(FigureGroup.__call__) == "which, ax"
    assert [signature(getattr(RunModel, name)) for name in ("predict_proba", "predict", "scores")] == ["X, key"] * 3


def test_everything_public_says_what_it_does():
    for name in (set(NAMES) - {"__version__"}) | {f"Run.{name}" for name in RUN}:
        first, _, rest = name.partition(".")
        thing = getattr(getattr(hepda, first), rest) if rest else getattr(hepda, first)
        assert (inspect.getdoc(thing) or "").strip(), name


def test_the_import_loads_no_library_and_a_wrong_name_lists_the_right_ones():
    code = "import sys, hepda; print(*[m for m in ('numpy', 'torch', 'pandas', 'pydantic') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
    with pytest.raises(AttributeError, match="no attribute 'lod'; it has DANNClassifier"):
        hepda.lod  # noqa: B018
    from hepda import errors  # a package below is still one

    assert hepda.HepdaError is errors.HepdaError
