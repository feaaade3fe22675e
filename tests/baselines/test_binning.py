import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting import gradient_boosting

from hepda.baselines import bdt, binning, inputs
from hepda.baselines.binning import BINS, Bins, thresholds_of
from hepda.baselines.inputs import StoredFeatures, TrainingEvents
from tests.baselines.test_bdt import events, settings


def plain(train, validation, iterations=12):
    """Trees that scikit-learn makes of the features themselves."""
    model = HistGradientBoostingClassifier(
        max_iter=iterations, max_leaf_nodes=8, early_stopping=True, n_iter_no_change=5, tol=0.0, random_state=1
    )
    held_out = {"X_val": validation.features, "y_val": validation.label, "sample_weight_val": validation.weight}
    return model.fit(train.features, train.label, sample_weight=train.weight, **held_out)


def with_few_values(part):
    """The same events with a feature of three values, one of a single value, and one with ties at its ends."""
    features = part.features.copy()
    features[:, 1] = np.round(features[:, 1]).clip(-1, 1)
    features[:, 2] = 7.0
    features[:, 3] = features[:, 3].clip(-0.5, 0.5)
    return TrainingEvents(features, part.label, part.weight)


@pytest.mark.parametrize("sampled", [binning.SAMPLED, 900])
def test_trees_are_those_of_scikit_learn_itself(sampled, monkeypatch):
    monkeypatch.setattr(binning, "SAMPLED", sampled)
    sample_in_scikit_learn(sampled, monkeypatch)
    train, validation = with_few_values(events()), with_few_values(events(seed=3))
    ours = bdt.fit(settings("sklearn", iterations=12, patience=5, min_samples=20), train, validation, seed=1)
    theirs = plain(train, validation)
    mappers = [model._bin_mapper for model in (ours.model, theirs)]
    for own, its in zip(*(mapper.bin_thresholds_ for mapper in mappers), strict=True):
        assert np.array_equal(own, its)
    assert np.array_equal(ours.model.validation_score_, theirs.validation_score_)
    best = max(1, int(np.argmax(theirs.validation_score_)))
    theirs._predictors = theirs._predictors[:best]
    test = with_few_values(events(seed=9)).features
    assert np.array_equal(ours.predict(test), theirs.predict_proba(test)[:, 1].astype(np.float32))
    assert vars(ours.model).keys() == vars(theirs).keys()  # nothing of ours is in the file of the model


def sample_in_scikit_learn(sampled, monkeypatch):
    """Give scikit-learn the same number of events whose quantiles it uses."""
    original = gradient_boosting._BinMapper
    monkeypatch.setattr(gradient_boosting, "_BinMapper", lambda **options: original(subsample=sampled, **options))


def test_weighted_quantiles_are_those_of_repeated_events():
    generator = np.random.default_rng(2)
    values, count = generator.normal(size=2000), generator.integers(1, 4, 2000)
    by_weight = thresholds_of(values, count.astype(np.float64))
    assert by_weight == pytest.approx(thresholds_of(np.repeat(values, count), None))
    assert len(by_weight) == BINS - 1


def test_missing_values_have_a_bin_of_their_own():
    column = np.r_[np.nan, np.arange(1000.0)].astype(np.float32)[:, None]
    bins = Bins.of(column, np.ones(1001), 0)
    binned = bins.apply(column)[:, 0]
    assert binned[0] == BINS and binned[1:].max() == BINS - 1
    assert np.ptp(np.bincount(binned[1:])) <= 1  # about equal shares


def test_features_of_a_table_are_read_in_blocks_and_give_the_same_trees(monkeypatch):
    part = events(3000)
    index = np.flatnonzero(np.random.default_rng(1).random(3000) < 0.6).astype(np.int32)
    memory = TrainingEvents(part.features[index], part.label[index], part.weight[index])
    stored = TrainingEvents(StoredFeatures(part.features, index), memory.label, memory.weight)
    largest = []
    original = StoredFeatures.__getitem__
    monkeypatch.setattr(
        StoredFeatures,
        "__getitem__",
        lambda self, rows: largest.append(len(original(self, rows))) or original(self, rows),
    )
    monkeypatch.setattr(inputs.blocks, "__defaults__", (200,))
    monkeypatch.setattr(binning, "SAMPLED", 500)
    keys = {"iterations": 10, "patience": None}
    first, second = (bdt.fit(settings("sklearn", **keys), train, None, seed=4) for train in (memory, stored))
    assert np.array_equal(first.predict(part.features), second.predict(part.features))
    assert max(largest) <= 500


def test_a_scikit_learn_that_does_not_take_bins_is_given_the_features(monkeypatch):
    """Another version may call other methods: the trees are then those of its own bins, not of bins of bins."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    from hepda.baselines import bdt, libraries
    from hepda.baselines.inputs import TrainingEvents, TreeTraining
    from hepda.config import BdtConfig

    rng = np.random.default_rng(3)
    x = rng.normal(size=(600, 2)).astype(np.float32) * 50
    events = TrainingEvents(x, (x[:, 0] + rng.normal(size=600) > 0).astype(np.int8), np.ones(600))
    section = BdtConfig(kind="bdt", iterations=4, min_samples=5)
    expected = bdt.fit(section, events, events, seed=1).predict(x)

    class Other(HistGradientBoostingClassifier):
        """Keeps its own methods whatever is set on it."""

        def __setattr__(self, name, value):
            if name not in ("_preprocess_X", "_bin_data"):
                super().__setattr__(name, value)

        def __delattr__(self, name):
            if name not in ("_preprocess_X", "_bin_data"):
                super().__delattr__(name)

    monkeypatch.setattr("sklearn.ensemble.HistGradientBoostingClassifier", Other)
    model, _ = libraries.fit_sklearn(TreeTraining(section, events, events, seed=1))
    np.testing.assert_array_equal(model.predict_proba(x)[:, 1].astype(np.float32), expected)
