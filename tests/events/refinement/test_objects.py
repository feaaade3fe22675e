"""Objects as tensors and as columns again: what follows pt follows, and noise belongs to the event."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hepda.config.refinement.objects import ObjectsConfig
from hepda.errors import DataError
from hepda.events.dataset.splits import event_key
from hepda.events.expressions.columns import Column
from hepda.events.refinement.objects import event_noise, jet_tensors, with_changes

OFFSETS = np.array([0, 2, 2, 5])
OBJECTS = ObjectsConfig.model_validate({
    "jets": {"tag": "jet_b", "tag_bins": 3, "known": "jet_flavour", "with_pt": ["jet_pt_up"]},
    "met": {"variations": {"met_up": "met_phi_up"}},
})  # fmt: skip


def columns() -> dict[str, Column]:
    lists = {
        "jet_pt": [50.0, 40.0, 90.0, 60.0, 30.0], "jet_eta": [0.1, 0.2, 0.3, 0.4, 0.5],
        "jet_phi": [0.0, np.pi, 0.0, np.pi / 2, 1.0], "jet_mass": [5.0, 4.0, 9.0, 6.0, 3.0],
        "jet_b": [2, 0, 1, 0, 2], "jet_flavour": [5, 0, 4, 0, 5], "jet_pt_up": [51.0, 41.0, 91.0, 61.0, 31.0],
        "other": [1, 2, 3, 4, 5],
    }  # fmt: skip
    flat = {"met": [10.0, 20.0, 30.0], "met_phi": [0.0, 0.0, 0.0], "met_up": [11.0, 21.0, 31.0],
            "met_phi_up": [0.0, 0.0, 0.0], "w": [1.0, -1.0, 2.0]}  # fmt: skip
    return {n: Column(np.array(v), OFFSETS) for n, v in lists.items()} | {
        n: Column(np.array(v)) for n, v in flat.items()
    }


def test_objects_become_tensors_with_padding() -> None:
    jets = jet_tensors(columns(), OBJECTS, "file")
    assert jets.present.tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
    assert jets.pt.tolist() == [[50, 40, 1], [1, 1, 1], [90, 60, 30]]
    assert jets.tag.argmax(-1)[2].tolist() == [1, 0, 2] and jets.known[2].tolist() == [4, 0, 5]
    assert jets.met[:, 0].tolist() == [10.0, 20.0, 30.0]
    assert jet_tensors(columns(), OBJECTS, "file", np.array([2])).pt.tolist() == [[90, 60, 30]]


def test_what_follows_from_objects_changes_with_them_and_nothing_else() -> None:
    before = columns()
    jets = jet_tensors(before, OBJECTS, "file")
    pt = jets.pt.clone()
    pt[2] = torch.tensor([45.0, 66.0, 30.0])  # the second jet of the third event becomes the first
    after = with_changes(before, OBJECTS, replace(jets, pt=pt))
    assert after["jet_pt"].values.tolist() == [50, 40, 66, 45, 30]
    assert after["jet_pt_up"].values.tolist() == pytest.approx([51, 41, 67.1, 45.5, 31])
    for name, values in {"jet_b": [2, 0, 0, 1, 2], "jet_flavour": [5, 0, 0, 4, 5], "other": [1, 2, 4, 3, 5]}.items():
        assert after[name].values.tolist() == values
    # the first jet, along x, loses 45 GeV; the second one, along y, gains 6
    assert after["met"].values == pytest.approx([10.0, 20.0, np.hypot(75.0, -6.0)])
    assert after["met_up"].values[2] == pytest.approx(np.hypot(76.0, -6.0))
    assert after["met_phi"].values[2] == pytest.approx(np.arctan2(-6.0, 75.0))
    assert after["w"] is before["w"]


def test_lists_that_do_not_fall_in_pt_keep_their_order() -> None:
    before = columns() | {"jet_pt": Column(np.array([40.0, 50.0, 60.0, 90.0, 30.0]), OFFSETS)}
    jets = jet_tensors(before, OBJECTS, "file")
    assert with_changes(before, OBJECTS, jets)["jet_pt"].values.tolist() == before["jet_pt"].values.tolist()


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("jet_pt", Column(np.ones(3)), "holds one number per event"),
        ("jet_eta", Column(np.ones(3), np.array([0, 1, 2, 3])), "different lengths"),
        ("jet_mass", Column(np.array([1, 1, np.nan, 1, 1]), OFFSETS), "without a finite value"),
        ("jet_pt", Column(np.array([1.0, 1.0, 0.0, 1.0, 1.0]), OFFSETS), "not above 0"),
        ("jet_b", Column(np.array([0, 1, 2, 3, 0]), OFFSETS), "other values than the tag bins 0 to 2"),
    ],
)
def test_objects_that_cannot_be_refined_are_told(name: str, column: Column, message: str) -> None:
    with pytest.raises(DataError, match=message):
        jet_tensors(columns() | {name: column}, OBJECTS, "file")


def test_noise_belongs_to_event_and_jet() -> None:
    key = event_key(np.arange(5000), np.arange(5000))
    noise = event_noise(key, 6, seed=3)
    part = event_noise(key[100:200], 4, seed=3)
    assert torch.equal(part.normal, noise.normal[100:200, :4]) and torch.equal(part.uniform, noise.uniform[100:200, :4])
    assert not torch.equal(event_noise(key, 6, seed=4).normal, noise.normal)
    assert float(noise.normal.mean()) == pytest.approx(0.0, abs=0.03) and float(noise.normal.std()) == pytest.approx(
        1.0, abs=0.03
    )
    assert float(noise.uniform.mean()) == pytest.approx(0.5, abs=0.01)
    both = torch.corrcoef(
        torch.stack([noise.normal.flatten(), noise.uniform.flatten(), noise.normal.roll(1, 1).flatten()])
    )
    assert float((both - torch.eye(3)).abs().max()) < 0.03
