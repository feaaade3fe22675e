"""Objects as rows of numbers: there and back, thresholds and order for any row, mirror images."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hepda.config.event_generator.objects import EventObjectsConfig, GeneratedJets
from hepda.errors import DataError
from hepda.events.expressions.columns import Column
from hepda.events.generation.objects import (
    OF_EVENT,
    OF_JET,
    columns_of,
    events_of,
    joined,
    nearest_distance,
)

CONFIG = EventObjectsConfig(jets=GeneratedJets(tag="jet_tag", tag_bins=5, flavour="jet_flavour"))
PATH = "toy.root"


def columns() -> dict[str, Column]:
    """Return three events with 3, 2 and 4 jets, of which one is below the threshold."""
    offsets = np.array([0, 3, 5, 9])
    lists = {
        "jet_pt": [90.0, 50.0, 30.0, 70.0, 26.0, 120.0, 60.0, 40.0, 21.0],
        "jet_eta": [0.1, -1.0, 2.0, 0.5, -0.5, 1.0, -2.0, 0.0, 0.3],
        "jet_phi": [0.0, 3.1, -3.1, 1.0, -1.0, 2.0, -2.0, 0.5, 0.1],
        "jet_mass": [9.0, 5.0, 3.0, 7.0, 2.0, 12.0, 6.0, 4.0, 2.0],
        "jet_tag": [4, 0, 2, 1, 0, 3, 0, 0, 4],
        "jet_flavour": [5, 0, 4, 0, 0, 5, 21, 0, 0],
    }
    single = {
        "lepton_pt": [30.0, 80.0, 26.0], "lepton_eta": [0.2, -1.4, 2.1], "lepton_phi": [1.0, -3.0, 3.0],
        "met": [40.0, 5.0, 90.0], "met_phi": [-2.0, 0.0, 3.1],
    }  # fmt: skip
    return {name: Column(np.array(values), offsets) for name, values in lists.items()} | {
        name: Column(np.array(values)) for name, values in single.items()
    }


def test_branches_return_and_soft_jets_are_left_out() -> None:
    given, events = columns(), events_of(columns(), CONFIG, np.arange(3), PATH)
    made = columns_of(events, CONFIG)
    assert events.present.sum(axis=1).tolist() == [3, 2, 3]
    hard = given["jet_pt"].values > 25.0
    for name, column in made.items():
        expected = given[name].values[hard] if column.offsets is not None else given[name].values
        np.testing.assert_allclose(column.values, expected, atol=1e-12, err_msg=name)
    assert made["jet_pt"].offsets is not None and made["jet_pt"].offsets.tolist() == [0, 3, 5, 8]


def test_any_row_is_an_event_above_the_thresholds_with_jets_in_order() -> None:
    events = events_of(columns(), CONFIG, np.arange(3), PATH)
    random = np.random.default_rng(1)
    coordinates = random.normal(size=events.coordinates.shape) * events.mask
    coordinates[:, 0] = np.abs(coordinates[:, 0])
    spacing = coordinates[:, OF_EVENT::OF_JET]
    coordinates[:, OF_EVENT::OF_JET] = np.abs(spacing)
    made = columns_of(replace(events, coordinates=coordinates), CONFIG)
    pt, offsets = made["jet_pt"].values, made["jet_pt"].offsets
    assert offsets is not None and (pt >= 25.0).all() and (made["lepton_pt"].values >= 25.0).all()
    for start, stop in itertools.pairwise(offsets):
        assert (np.diff(pt[start:stop]) <= 0.0).all()
    assert (np.abs(made["jet_phi"].values) <= np.pi).all()


def test_mirror_images_keep_masses_and_distances() -> None:
    events = events_of(columns(), CONFIG, np.arange(3), PATH)
    for beam, transverse in ((True, False), (False, True), (True, True)):
        mirrored = events.mirrored(beam=beam, transverse=transverse)
        np.testing.assert_allclose(nearest_distance(mirrored), nearest_distance(events))
        made, given = columns_of(mirrored, CONFIG), columns_of(events, CONFIG)
        np.testing.assert_allclose(made["met"].values, given["met"].values)
        np.testing.assert_allclose(made["jet_eta"].values, (-1.0 if beam else 1.0) * given["jet_eta"].values)
        angle = made["met_phi"].values - made["lepton_phi"].values
        before = given["met_phi"].values - given["lepton_phi"].values
        np.testing.assert_allclose(np.cos(angle), np.cos(before), atol=1e-12)
        np.testing.assert_allclose(np.sin(angle), (-1.0 if transverse else 1.0) * np.sin(before), atol=1e-12)


def test_the_nearest_pair_is_that_of_a_loop() -> None:
    events = events_of(columns(), CONFIG, np.arange(3), PATH)
    made = columns_of(events, CONFIG)
    offsets = made["jet_pt"].offsets
    assert offsets is not None
    for number, found in enumerate(nearest_distance(events)):
        part = slice(offsets[number], offsets[number + 1])
        eta = [made["lepton_eta"].values[number], *made["jet_eta"].values[part]]
        phi = [made["lepton_phi"].values[number], *made["jet_phi"].values[part]]
        distances = [
            np.hypot(eta[i] - eta[j], (phi[i] - phi[j] + np.pi) % (2 * np.pi) - np.pi)
            for i in range(len(eta)) for j in range(i)
        ]  # fmt: skip
        assert found == pytest.approx(min(distances))


def test_events_of_several_files_are_padded_to_the_same_width() -> None:
    parts = [events_of(columns(), CONFIG, np.array(rows), PATH) for rows in ([1], [0, 2])]
    both = joined(parts)
    assert both.present.shape == (3, 3) and len(both) == 3
    np.testing.assert_allclose(both.coordinates[1:, : OF_EVENT + 3 * OF_JET], parts[1].coordinates)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("jet_pt", [50.0, 90.0, 30.0, 70.0, 26.0, 120.0, 60.0, 40.0, 21.0], "does not fall"),
        ("jet_eta", [np.nan] * 9, "without a finite value"),
        ("lepton_pt", [30.0, 0.0, 26.0], "not finite or below"),
    ],
)
def test_what_is_no_event_is_told(name: str, values: list[float], message: str) -> None:
    given = columns()
    given[name] = replace(given[name], values=np.array(values))
    with np.errstate(divide="ignore"), pytest.raises(DataError, match=message):
        events_of(given, CONFIG, np.arange(3), PATH)


def test_lists_of_one_length_are_needed(tmp_path: Path) -> None:
    given = columns()
    given["jet_mass"] = Column(np.ones(8), np.array([0, 3, 5, 8]))
    with pytest.raises(DataError, match="different lengths"):
        events_of(given, CONFIG, np.arange(3), PATH)
    given["jet_pt"] = Column(np.ones(3))
    with pytest.raises(DataError, match="one number per event"):
        events_of(given, CONFIG, np.arange(3), PATH)
