"""Models of sets from the table to scores: what they read, on the disk and in memory, saved, applied, probed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hepda.adversarial import DeepSets, Network, SetTransformer
from hepda.adversarial.data.stored import JoinedRows
from hepda.config import load_config
from hepda.errors import ConfigError
from hepda.events.dataset.load import load_table
from hepda.events.dataset.variations import Reading, read_varied
from hepda.events.kind import combine
from hepda.events.resolve import dataset_spec, model_specs
from hepda.events.results.embeddings.probes import load_network
from hepda.events.table.store import open_table, write_table
from hepda.events.training import friends, tensors
from hepda.events.training.jobs import jobs_of
from hepda.events.training.model_description import setup_of
from hepda.events.training.objects import layout_of
from hepda.events.training.scoring import score_table
from hepda.events.training.tensors import model_features, network_part
from hepda.runtime.jobs import run_jobs
from tests.factory import write_analysis

COLLECTIONS = {
    "jets": {
        "max": 5,
        "features": {"pt": "jet_pt", "eta": "jet_eta", "phi": "jet_phi", "mass": "jet_mass", "tag": "jet_b"},
        "four_momentum": ["pt", "eta", "phi", "mass"],
    },
    "unread": {"features": {"charge": "lepton_charge"}},
    "lepton": {"features": {"pt": "lepton_pt", "eta": "lepton_eta"}, "four_momentum": ["pt", "eta", 0, 0]},
}
DOMAIN = {"source": ["background"], "target": ["background_alt"], "head": [8]}
MODELS = {
    "flat": {"kind": "network", "encoder": [8]},
    "deep": {
        "kind": "network",
        "ensemble": 2,
        "encoder": {"kind": "deepsets", "collections": ["lepton", "jets"], "features": ["met", "ht"], "width": 8},
    },
    "transformer": {
        "kind": "network",
        "encoder": {"kind": "transformer", "collections": ["jets", "lepton"], "width": 8, "layers": 2, "heads": 2},
        "domain": DOMAIN,
    },
}
SYSTEMATICS = {"jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "down": {"jet_pt": "jet_pt_jes_down"}}}


def silent(*_):
    pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of an analysis with its run, config, table, and the scores of the training."""
    folder = tmp_path_factory.mktemp("sets")
    short = {"epochs": 1, "batch_size": 128, "patience": None}
    path = write_analysis(
        folder, n=300, collections=COLLECTIONS, models=MODELS, systematics=SYSTEMATICS, training=short
    )
    config = load_config(path)
    table = load_table(dataset_spec(config)).table
    write_table(table, folder / "table")
    (folder / "work").mkdir()
    results = run_jobs(jobs_of(model_specs(config), folder / "table", folder, folder / "work", "cpu"), 1, silent)
    return folder, config, table, combine(config, table, results), results


def test_a_model_reads_its_collections_then_its_features(trained):
    _, config, table, *_ = trained
    specs = model_specs(config)
    deep = model_features(specs["deep"], table)
    lepton, jets = table.collections["lepton"], table.collections["jets"]
    flat = table.features[:, [table.names.index("met"), table.names.index("ht")]]
    assert np.array_equal(deep, np.concatenate([lepton, jets, flat], axis=1))
    layout = layout_of(specs["deep"])
    assert [c.name for c in layout.collections] == ["lepton", "jets"]
    assert (layout.columns, layout.flat) == (deep.shape[1], 2)
    objects, rest = layout.split(torch.from_numpy(deep))
    assert np.array_equal(rest.numpy(), flat)
    assert np.array_equal(objects[1].values[:, 0, 4].numpy(), jets[:, 5])
    assert np.array_equal(objects[1].real.sum(1).numpy(), np.minimum(jets[:, 0], 5))
    assert np.array_equal(model_features(specs["flat"], table), table.features)
    assert model_features(specs["transformer"], table).shape[1] == layout_of(specs["transformer"]).columns


def test_rows_on_the_disk_are_those_in_memory(trained, monkeypatch):
    folder, config, table, *_ = trained
    monkeypatch.setattr(tensors, "LARGE", 0)
    mapped = open_table(folder / "table")
    for name, spec in model_specs(config).items():
        whole, rows = model_features(spec, table), np.arange(len(table)) % 3 == 0
        stored = model_features(spec, mapped, rows=rows)
        assert isinstance(stored, JoinedRows) == (name != "flat")
        assert np.array_equal(np.asarray(stored), whole[rows])
        assert np.array_equal(np.asarray(stored.select(np.arange(5))), whole[rows][:5])
        part = network_part(spec, mapped, 0)
        in_memory = network_part(spec, table, 0)
        assert part.source.features.shape[1:] == in_memory.source.features.shape[1:]


def test_a_parameter_is_one_more_column(trained):
    _, config, table, *_ = trained
    section = config.models["deep"].model_copy(update={"parameter": {"simulation": 0.0, "alternative": 1.0}})
    spec = replace(model_specs(config)["deep"], section=section)
    values = model_features(spec, table, 1.0)
    assert values.shape[1] == layout_of(spec).columns
    assert np.all(values[:, -1] == 1.0)


def test_saved_models_score_as_in_the_training(trained):
    folder, config, table, scores, _ = trained
    again = score_table(model_specs(config).values(), folder / "models", table)
    for name in MODELS:
        np.testing.assert_allclose(again[name], scores[name], atol=2e-6)
        assert np.std(again[name]) > 1e-3


def test_the_files_say_what_the_models_read(trained):
    folder, config, table, *_ = trained
    specs = model_specs(config)
    deep = Network.load(folder / "models" / "deep" / "fold0-member1.safetensors")
    assert isinstance(deep.encoder, DeepSets)
    assert deep.metadata["features"] == ["met", "ht"]
    assert deep.metadata["collections"]["lepton"] == {"max": 1, "features": ["pt", "eta"]}
    path = folder / "models" / "transformer" / "fold0-member0.safetensors"
    assert isinstance(load_network(path, table.names, specs["transformer"]).encoder, SetTransformer)
    assert load_network(path, table.names, specs["transformer"]).embed(
        model_features(specs["transformer"], table)
    ).shape == (len(table), 8)
    jets = config.collections["jets"].model_copy(update={"max": 4})
    other = replace(specs["transformer"], collections={**specs["transformer"].collections, "jets": jets})
    with pytest.raises(ConfigError, match=r"reads the collections jets .5 x pt, eta, phi, mass, tag.* gives jets .4 x"):
        load_network(path, table.names, other)
    section = config.models["deep"]
    fewer = section.model_copy(update={"encoder": section.encoder.model_copy(update={"features": ("met",)})})
    with pytest.raises(ConfigError, match="reads the features met, ht; the analysis file gives met"):
        score_table([replace(specs["deep"], section=fewer)], folder / "models", table)


def test_files_are_scored_as_the_table_also_varied(trained):
    folder, config, table, scores, _ = trained
    spec, specs = dataset_spec(config), model_specs(config)
    file = friends.inspect_file(spec, str(folder / "background.root"), "background")
    (span,) = friends.spans(spec, file)
    rows = table.sample == table.sample_names.index("background")
    assert np.array_equal(span.parts[""].table.collections["jets"], table.collections["jets"][rows])
    found = score_table(specs.values(), folder / "models", span.parts[""].table)
    np.testing.assert_allclose(found["transformer"], scores["transformer"][rows], atol=2e-6)
    varied = read_varied(spec, Reading("background", "jes", "up"), silent)
    up = span.parts["jes_up"].table
    assert np.array_equal(up.collections["jets"], varied.collections["jets"])
    shifted = score_table(specs.values(), folder / "models", up)["deep"]
    assert np.abs(shifted - found["deep"])[: len(shifted)].max() > 1e-5


def test_trainings_are_resumed_and_record_their_processor_time(trained):
    folder, config, table, scores, results = trained
    again = run_jobs(jobs_of(model_specs(config), folder / "table", folder, folder / "work", "cpu"), 1, silent)
    assert np.array_equal(combine(config, table, again)["deep"], scores["deep"])
    assert all(result.about["cpu_seconds"] > 0 for result in results)


def test_models_are_described(trained):
    _, config, *_ = trained
    kinds = {name: setup_of(spec)["kind"] for name, spec in model_specs(config).items()}
    assert kinds == {
        "flat": "network 8",
        "deep": "deep sets 2 x 8 of lepton, jets and 2 features",
        "transformer": "transformer 2 x 8 of jets, lepton",
    }
