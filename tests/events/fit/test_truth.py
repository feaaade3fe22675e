"""The truth of pseudo-data: matched by event, opened by the closure alone, and never where data are blinded."""

from typing import Any

import numpy as np
import pytest
import uproot

from hepda.config import load_config, validate
from hepda.errors import ConfigError, DataError, ExpressionError, SourceError
from hepda.events.dataset.splits import event_key
from hepda.events.fit.inputs import PseudoData
from hepda.events.fit.regions import Outputs
from hepda.events.fit.templates import ScoredEvents
from hepda.events.fit.truth import Truth, check_truth
from hepda.events.resolve import dataset_spec, domains_of, systematics_spec
from hepda.events.table.feature_table import FeatureTable
from tests.factory import write_analysis

N = 300


def config(path, **more: Any):
    truth = {"files": str(path), "signal": "kind == 2", "tree": "truth"}
    samples = {
        "signal": {"files": "s.root", "domain": "simulation", "class": "signal"},
        "background": {"files": "b.root", "domain": "simulation", "class": "background"},
        "data": {"files": "d.root", "domain": "data", "truth": truth},
    }
    base = {"name": "toy", "luminosity": 1.0, "samples": samples, "features": ["x"], "models": {"bdt": {"kind": "bdt"}}}
    base["evaluation"] = {"blind": None}
    return validate(base | more)


def write(path, event, kind):
    with uproot.recreate(path) as file:
        file.mktree("truth", {"run": np.dtype("int32"), "event": np.dtype("int64"), "kind": np.dtype("int8")})
        file["truth"].extend({"run": np.full(len(event), 7, np.int32), "event": event, "kind": kind.astype(np.int8)})
    return path


@pytest.fixture
def events(tmp_path):
    """The truth of more events than are selected, in another order; the table; the labels that are right."""
    rng = np.random.default_rng(1)
    event = rng.permutation(2 * N).astype(np.int64)
    kind = rng.integers(0, 3, 2 * N)
    path = write(tmp_path / "truth.root", event, kind)
    right = np.concatenate([np.repeat([1, 0], N), (kind[np.argsort(event)][:N] == 2)]).astype(np.int8)
    numbers = np.arange(N)
    key = event_key(np.full(3 * N, 7), np.concatenate([numbers + 5000, numbers + 9000, numbers]))
    table = FeatureTable(
        features=np.zeros((3 * N, 0), np.float32), names=(), weight=np.ones(3 * N),
        label=np.repeat([1, 0, -1], N).astype(np.int8), domain=np.repeat([0, 0, 1], N).astype(np.int16),
        domain_names=("simulation", "data"), sample=np.repeat([0, 1, 2], N).astype(np.int16),
        sample_names=("signal", "background", "data"), fold=np.zeros(3 * N, np.int8),
        validation=np.arange(3 * N) % 2 == 0, key=key,
    )  # fmt: skip
    return path, table, right


def truth_of(config, table):
    return Truth.read(dataset_spec(config), domains_of(config), table).label


def look_at_truth(config):
    check_truth(dataset_spec(config), domains_of(config))


def test_labels_are_matched_by_event_and_scale_the_signal_of_pseudo_data(events):
    path, table, right = events
    asked = config(path)
    specs = domains_of(asked), systematics_spec(asked)
    result = truth_of(asked, table)
    np.testing.assert_array_equal(result, right)
    score = np.random.default_rng(2).beta(np.where(right == 1, 3, 1), np.where(right == 1, 1, 3)).astype(np.float32)
    data: PseudoData = ScoredEvents(*specs, table, Outputs("bdt", score, {}), {}, {}, result).input().domains["data"]
    np.testing.assert_array_equal(data.at(1.0)[0], data.observed)
    np.testing.assert_array_equal(data.at(2.0)[0] - data.at(1.0)[0], data.signal[0])
    assert data.signal[0].sum() == (right[2 * N :] == 1).sum() and data.at(0.0)[0].sum() == (right[2 * N :] == 0).sum()
    without = ScoredEvents(*specs, table, Outputs("bdt", score, {}), {}, {}).input().domains["data"]
    assert without.at(1.0) is None and without.background is None


def test_files_are_looked_at_before_anything_is_trained(events):
    path, _, _ = events
    look_at_truth(config(path))
    with pytest.raises(ExpressionError, match="Did you mean 'kind'"):
        samples = config(path).model_dump(mode="json", by_alias=True)["samples"]
        samples["data"]["truth"]["signal"] = "kinds == 2"
        look_at_truth(config(path, samples=samples))
    with pytest.raises(SourceError, match="has no branch 'number'"):
        look_at_truth(config(path, split={"key": ["run", "number"]}))
    look_at_truth(config("absent.root", evaluation={"blind": "score > 0.5"}))


def test_blinded_data_and_other_kinds_of_samples_have_no_truth(events, tmp_path):
    _, table, _ = events
    blind = config(tmp_path / "absent.root", evaluation={"blind": "score > 0.5"})
    np.testing.assert_array_equal(truth_of(blind, table), table.label)  # the file is not even there
    with pytest.raises(SourceError, match="absent"):
        truth_of(config(tmp_path / "absent.root"), table)
    samples = config("truth.root").model_dump(mode="json", by_alias=True)["samples"]
    samples["signal"]["truth"] = samples["data"]["truth"]
    with pytest.raises(ConfigError, match=r"samples\.signal\.truth: the class of its events is known already"):
        config("truth.root", samples=samples)


def test_events_that_are_not_told_of_once_are_an_error(events, tmp_path):
    _, table, _ = events
    some = write(tmp_path / "some.root", np.arange(N - 3), np.zeros(N - 3))
    with pytest.raises(DataError, match=f"3 of {N} selected events"):
        truth_of(config(some), table)
    twice = write(tmp_path / "twice.root", np.arange(2 * N) % N, np.zeros(2 * N))
    with pytest.raises(DataError, match="more than once"):
        truth_of(config(twice), table)


def test_the_files_of_the_truth_are_relative_to_the_analysis_file(tmp_path):
    page = write_analysis(tmp_path, n=10)
    page.write_text(page.read_text().replace("  data:\n", "  data:\n    truth: {files: truth.root, signal: s == 1}\n"))
    assert load_config(page).samples["data"].truth.files == (str(tmp_path / "truth.root"),)


def with_classes(path, **classes: str):
    """Three classes, of which the truth of the pseudo-data is given; `kind` is 0 for calm, 1 for busy, 2 for ttH."""
    conditions = {"calm": "kind == 0", "ttH": "kind == 2", "busy": "kind == 1"} | classes
    samples = {
        "signal": {"files": "s.root", "domain": "simulation", "class": "ttH"},
        "background": {"files": "b.root", "domain": "simulation", "class": "busy"},
        "further": {"files": "b.root", "domain": "simulation", "class": "calm"},
        "data": {
            "files": "d.root",
            "domain": "data",
            "truth": {"files": str(path), "classes": conditions, "tree": "truth"},
        },
    }
    return config(path, samples=samples, signal="ttH")


def test_classes_of_pseudo_data_are_matched_by_event(events):
    path, table, right = events
    asked = with_classes(path)
    np.testing.assert_array_equal(truth_of(asked, table), right)
    with uproot.open(path) as file:
        kind = file["truth"].arrays(["event", "kind"], library="np")
    of_event = dict(zip(kind["event"].tolist(), kind["kind"].tolist(), strict=True))
    expected = [{2: 0, 1: 1, 0: 2}[of_event[number]] for number in range(N)]  # ttH, busy, calm
    index = Truth.read(dataset_spec(asked), domains_of(asked), table).class_index
    np.testing.assert_array_equal(index, [0] * N + [1] * N + expected)
    blinded = with_classes(path).model_copy(
        update={"evaluation": asked.evaluation.model_copy(update={"blind": "score > 0.5"})}
    )
    hidden = Truth.read(dataset_spec(blinded), domains_of(blinded), table).class_index
    np.testing.assert_array_equal(hidden[2 * N :], -1)


def test_an_event_of_two_classes_or_none_is_refused(events):
    path, table, _ = events
    asked = with_classes(path, busy="kind >= 1")
    with pytest.raises(
        DataError, match=r"truth.classes: \d+ events are of no class or of several.* 2 of the 3 conditions"
    ):
        truth_of(asked, table)
    look_at_truth(asked)
    with pytest.raises(ExpressionError, match="'kinds' is neither"):
        look_at_truth(with_classes(path, busy="kinds == 1"))


def test_a_truth_says_the_class_of_every_event(events):
    path, _, _ = events
    with pytest.raises(ConfigError, match="has no condition for busy"):
        config_of_truth(path, {"ttH": "kind == 2", "calm": "kind < 2"})
    with pytest.raises(ConfigError, match="'tth' is not a class of the samples"):
        config_of_truth(path, {"ttH": "kind == 2", "tth": "kind == 2", "busy": "kind == 1", "calm": "kind == 0"})
    with pytest.raises(ConfigError, match=r"truth.signal: is missing"):
        config_of_truth(path, {})


def config_of_truth(path, classes):
    samples = {name: {"files": "s.root", "domain": "simulation", "class": name} for name in ("ttH", "busy", "calm")} | {
        "data": {"files": "d.root", "domain": "data", "truth": {"files": str(path), "classes": classes}}
    }
    return config(path, samples=samples, signal="ttH")
