"""`hepda.load`: what a stored run gives as frames, types, figures and estimators."""

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import pytest
import uproot
from matplotlib.figure import Figure
from sklearn.base import clone, is_classifier
from sklearn.metrics import roc_auc_score

import hepda
from hepda.errors import ConfigError, DataError, SourceError
from tests.factory import write_sample

N = 300


@pytest.fixture
def run(stored):
    return hepda.load(stored)


@pytest.fixture(scope="module")
def signal(tmp_path_factory):
    """The signal of the stored run, made again."""
    return write_sample(tmp_path_factory.mktemp("s") / "signal.root", N, 1, signal=True, cross_section=0.5)


def test_scores_are_a_frame_with_sample_fold_weight_and_every_model(run):
    scores = run.scores
    assert list(scores)[:8] == ["key", "sample", "domain", "fold", "weight", "label", "network", "dann"]
    assert isinstance(scores["sample"].dtype, pd.CategoricalDtype)
    selected = {name: sample.selected for name, sample in run.metrics.samples.items()}
    assert scores.groupby("sample", observed=True).size().to_dict() == selected
    assert np.array_equal(scores["fold"], (scores["key"] % np.uint64(2)).astype(int))
    nominal = scores[scores["domain"] == "simulation"]
    auc = roc_auc_score(nominal["label"], nominal["dann"], sample_weight=nominal["weight"].abs())
    assert auc == pytest.approx(run.metrics.models["dann"].auc["simulation"].value, abs=0.1)  # signs of the weights


def test_history_has_a_row_for_each_epoch_of_each_training(run):
    history = run.history
    assert list(history)[:4] == ["model", "fold", "member", "epoch"]
    assert history.groupby(["model", "fold"]).size().to_dict() == {
        (m, f): 2 for m in ("network", "dann") for f in (0, 1)
    }
    assert history.loc[history["model"] == "network", "domain_loss"].isna().all() if "domain_loss" in history else True
    assert history["class_loss"].notna().all()


def test_numbers_are_typed_and_tables_are_frames(run):
    content = json.loads((run.path / "metrics.json").read_text())
    assert run.metrics.to_json() == content and run.fit is None
    assert list(run.summary.index) == ["network", "dann"]
    assert list(run.tables["summary"].index) == ["network", "dann"]
    assert run.config.models["dann"].domain.method_name == "dann"
    assert run.conclusions and run.report == run.path / "report.html"
    assert run.manifest["format"] == 2


def test_a_run_shows_itself(run):
    assert repr(run).startswith("<Run 'small' of events in ") and "dann" in repr(run)
    assert "<table" in run._repr_html_() and "plot." in run.plot._repr_html_()


def test_figures_are_drawn_anew_or_on_axes_of_the_caller(run):
    drawn = run.plot.roc()
    assert isinstance(drawn, Figure) and len(drawn.axes) == 2
    own, (left, right) = _axes(1, 2)
    assert run.plot.roc("simulation", ax=left) is left and run.plot.score("dann", ax=right) is right
    assert left.get_legend().get_texts() and left.get_xlabel() == drawn.axes[1].get_xlabel() != ""
    reference = {line.get_label(): line.get_ydata() for line in drawn.axes[0].get_lines()}
    assert {line.get_label(): line.get_ydata() for line in left.get_lines()}.keys() == reference.keys()
    for line in left.get_lines():
        assert np.array_equal(line.get_ydata(), reference[line.get_label()])
    assert own.axes == [left, right]  # the ratio panel is not drawn anywhere in it
    _, pair = _axes(2, 1)
    run.plot.roc(ax=pair)
    assert pair[1].get_ylabel() == drawn.axes[1].get_ylabel()


def test_every_figure_draws_on_axes_or_says_that_it_cannot(run):
    hosted = []
    for name, figure in run.plot.items():
        own, axes = _axes(1, 1)
        size = tuple(own.get_size_inches())
        try:
            figure(ax=axes)
            hosted.append(name)
        except DataError as error:
            assert "draw it without `ax`" in str(error) and name in str(error)
        assert own.axes == [axes] and tuple(own.get_size_inches()) == size
    assert {"roc_simulation", "score_dann", "ks", "significance", "tradeoff", "calibration_simulation"} <= set(hosted)


def test_a_number_of_axes_that_does_not_fit_is_refused(run):
    _, axes = _axes(1, 3)
    with pytest.raises(DataError, match=r"roc_simulation: the figure has 2 panels.*`ax` has 3 axes"):
        run.plot.roc(ax=axes)


def test_figures_are_found_by_name_group_and_completion(run):
    names = dir(run.plot)
    assert {"roc", "score", "roc_simulation", "score_dann"} <= set(names)
    assert list(run.plot.score) == [n.removeprefix("score_") for n in run.plot if n.startswith("score_")]
    assert run.plot["roc_simulation"].title == run.plot.roc_simulation.title
    with pytest.raises(AttributeError, match=r"no figure 'rok'. Did you mean 'roc'\? There are: .*roc_simulation"):
        run.plot.rok  # noqa: B018
    with pytest.raises(ConfigError, match=r"plot.roc: there is no 'simulatio'. Did you mean 'simulation'"):
        run.plot.roc("simulatio")
    assert set(run.plot.roc_simulation.data()) >= {"bands", "reference"}


def test_a_figure_is_saved_in_the_format_of_its_suffix_and_shown_in_a_notebook(run, tmp_path):
    assert run.plot.ks.save(tmp_path / "ks.pdf").read_bytes().startswith(b"%PDF")
    assert run.plot.ks._repr_png_().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["ks.pdf"]


def test_a_run_without_the_data_of_its_figures_names_the_reason(copied):
    (copied / "plots" / "data" / "ks.json").unlink()
    with pytest.raises(ConfigError, match=r"no data of the figure .*earlier hepda kept no data"):
        hepda.load(copied).plot.ks()


def test_models_give_the_scores_of_the_run_for_its_own_events(run, signal):
    """Features formed from the file, by the trainings of the fold of the event: the numbers of scores.parquet."""
    features = run.features(signal)
    expected = run.scores[run.scores["sample"] == "signal"]
    assert len(features) == len(expected)
    model = run.models["dann"]
    shuffled = features.sample(frac=1, random_state=1)[[*reversed(list(features))]]
    probability = model.predict_proba(shuffled)
    assert probability.shape == (len(features), 2) and np.allclose(probability.sum(axis=1), 1, atol=1e-6)
    joined = run.join(shuffled.assign(mine=probability[:, 1]), sample="signal")
    assert np.allclose(joined["mine"], joined["dann"], atol=1e-6) and joined.index.equals(shuffled.index)
    assert joined["fold"].isin([0, 1]).all() and joined["sample"].eq("signal").all()
    assert np.allclose(model.scores(shuffled)["dann"], joined["dann"], atol=1e-6)
    key = hepda.event_key(features["run"].to_numpy(), features["event"].to_numpy())
    by_key = model.predict_proba(features[list(model.feature_names_in_)].to_numpy(), key=key)
    assert np.allclose(by_key, model.predict_proba(features), atol=0)


def test_events_of_no_training_get_the_mean_over_the_folds(run, signal):
    features = run.features(signal)
    model = run.models["network"]
    names = list(model.feature_names_in_)
    new = model.predict_proba(features[names])[:, 1]
    folds = [model.predict_proba(features[names], key=np.full(len(features), fold))[:, 1] for fold in (0, 1)]
    assert np.allclose(new, np.mean(folds, axis=0), atol=1e-6) and not np.allclose(folds[0], folds[1])
    assert set(model.predict(features[names])) <= {"signal", "background"} and is_classifier(model)
    assert np.array_equal(clone(model).predict_proba(features[names])[:, 1], new)
    assert model.fit(features, None) is model and model.n_features_in_ == 3 and (model.folds, model.members) == (2, 1)


def test_a_missing_value_is_that_of_the_training_and_a_wrong_frame_is_refused(run, signal):
    features, model = run.features(signal), run.models["network"]
    gone = features.assign(m_bb=np.nan)
    assert np.array_equal(model.predict_proba(gone), model.predict_proba(features.assign(m_bb=run.config.missing)))
    with pytest.raises(DataError, match=r"no column 'm_bb', which the model reads. Did you mean 'm_b'"):
        model.predict_proba(features.rename(columns={"m_bb": "m_b"}))
    with pytest.raises(DataError, match=r"'ht' is infinite"):
        model.predict_proba(features.assign(ht=np.inf))
    with pytest.raises(DataError, match=r"reads 3 features, and X has the shape \(4, 2\)"):
        model.predict_proba(np.zeros((4, 2)))
    with pytest.raises(DataError, match=r"key has the shape"):
        model.predict_proba(np.zeros((4, 3)), key=[1, 2])
    with pytest.raises(KeyError, match=r"no model 'dan'. Did you mean 'dann'"):
        run.models["dan"]


def test_events_in_files_and_in_memory_are_scored_alike(run, signal):
    """A file, an awkward array and a frame with lists have one result, the one that the run has kept."""
    expected = run.scores[run.scores["sample"] == "signal"].set_index("key")
    from_file = run.score(signal)
    key = hepda.event_key(from_file["run"].to_numpy(), from_file["event"].to_numpy())
    for model in ("network", "dann"):
        assert np.allclose(from_file[model], expected.loc[key, model], atol=1e-6)
    with uproot.open(signal) as file:
        array = file["events"].arrays()
    wanted = ["run", "event", "jet_pt", "jet_eta", "jet_phi", "jet_mass", "jet_b"]
    columns = {name: array[name] for name in wanted}
    frame = pd.DataFrame(
        {name: ak.to_list(values) if values.ndim > 1 else values.to_numpy() for name, values in columns.items()}
    )
    for events in (array[wanted], columns, frame, frame.set_index(["run", "event"])):
        pd.testing.assert_frame_equal(run.score(events), from_file)
    with pytest.raises(hepda.HepdaError, match=r"jet_b"):
        run.score(frame.drop(columns="jet_b"))
    with pytest.raises(SourceError, match=r"does not exist"):
        run.score("nowhere.root")


def test_join_says_what_is_missing(run):
    with pytest.raises(DataError, match=r"no column 'run', which identifies events"):
        run.join(pd.DataFrame({"event": [1]}))
    with pytest.raises(ConfigError, match=r"made by an earlier hepda, which kept only the hash of run, event"):
        run.join(pd.DataFrame({"event": [1]}), on=["event"])
    outside = run.join(pd.DataFrame({"run": [9], "event": [9]}), sample="signal")
    assert outside["dann"].isna().all()
    with pytest.raises(ConfigError, match=r"no sample 'sgnal'. Did you mean 'signal'"):
        run.join(pd.DataFrame({"run": [1], "event": [1]}), sample="sgnal")


def test_a_path_that_is_no_run_is_refused(tmp_path: Path, stored):
    with pytest.raises(ConfigError, match=r"there is no such run directory. Did you mean 'run_format_2'"):
        hepda.load(stored.parent / "run_format_3")
    with pytest.raises(ConfigError, match=r"is not the directory of a finished run"):
        hepda.load(tmp_path)


def _axes(rows, columns):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = Figure(figsize=(6, 5))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)
