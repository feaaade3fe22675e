"""A flow: events of the origin return at s = 0, guidance is a straight line of velocities, and files are complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hepda.config.event_generator.models import EventTrainingConfig, FlowConfig
from hepda.errors import SourceError
from hepda.events.generation.flows import ORIGIN, TARGET, EventFlow, LabelledEvents, structure_of
from hepda.events.generation.objects import OF_EVENT, OF_JET, EventObjects

SHIFT = 0.8
"""Of the logarithm of the pt of the lepton of generator B, in widths of that of A."""


def events(n: int, seed: int) -> LabelledEvents:
    """Return events of two jets; B has harder leptons, and nothing else differs."""
    random = np.random.default_rng(seed)
    generator = random.integers(0, 2, n)
    coordinates = random.normal(size=(n, OF_EVENT + 2 * OF_JET))
    coordinates[:, 0] += SHIFT * generator
    objects = EventObjects(
        np.ones((n, 2), dtype=bool), random.integers(0, 2, (n, 2)), np.full((n, 2), 5), coordinates, np.zeros(n)
    )
    return LabelledEvents(objects, np.column_stack([np.zeros(n, int), random.integers(0, 2, n), generator]), np.ones(n))


@pytest.fixture(scope="module")
def flow() -> EventFlow:
    training = EventTrainingConfig(
        epochs=3, turns=100, batch_size=256, learning_rate=5.0e-3, average=0.98, schedule="cosine"
    )
    section = FlowConfig(kind="flow", width=32, blocks=1, training=training)
    made, history = EventFlow.fit(section, events(4000, 1), 2, [1, 2, 2], seed=3)
    assert history.epochs == 3 and history.to_dict()["columns"]["flow_loss"][-1] < 2.0
    return made


def mean_at(flow: EventFlow, scale: float, noise: torch.Tensor | None) -> float:
    given = events(2000, 7)
    of_origin = given.of(np.flatnonzero(given.label[:, 2] == ORIGIN))
    start = flow.encoded(of_origin.objects, of_origin.label, 8) if noise is None else noise[: len(of_origin.label)]
    drawn = flow.drawn(of_origin.objects, of_origin.label, scale, start, 8)
    return float(drawn.coordinates[:, 0].mean() - of_origin.objects.coordinates[:, 0].mean())


def test_events_of_the_origin_return_at_0(flow: EventFlow) -> None:
    given = events(500, 9)
    start = flow.encoded(given.objects, given.label, 16)
    drawn = flow.drawn(given.objects, given.label, float(ORIGIN), start, 16)
    inner = np.abs(given.objects.coordinates) < 2.5
    np.testing.assert_allclose(drawn.coordinates[inner], given.objects.coordinates[inner], atol=0.03)
    assert (drawn.tag == given.objects.tag).all()


@pytest.mark.parametrize("start", ["events", "noise"])
def test_guidance_goes_from_a_to_b_and_on(flow: EventFlow, start: str) -> None:
    random = torch.Generator().manual_seed(2)
    noise = None if start == "events" else torch.randn(2000, flow.columns, generator=random)
    shifts = [mean_at(flow, scale, noise) for scale in (0.0, 0.5, float(TARGET), 1.5)]
    assert shifts == sorted(shifts)
    assert abs(shifts[0]) < 0.12 and shifts[1] == pytest.approx(0.5 * SHIFT, abs=0.2)
    assert shifts[2] == pytest.approx(SHIFT, abs=0.2) and shifts[3] > shifts[2] + 0.15


def test_a_file_has_all_of_a_flow(flow: EventFlow, tmp_path: Path) -> None:
    flow.save(tmp_path / "flow.safetensors")
    read, given = EventFlow.load(tmp_path / "flow.safetensors"), events(50, 4)
    noise = torch.randn(50, flow.columns, generator=torch.Generator().manual_seed(1))
    one, two = (of.drawn(given.objects, given.label, 0.7, noise, 3).coordinates for of in (flow, read))
    np.testing.assert_array_equal(one, two)
    with pytest.raises(SourceError):
        EventFlow.load(tmp_path / "other.safetensors")


def test_structures_are_numbers_of_jets_that_are_there() -> None:
    given = events(3, 1).objects
    given.present[0, 1] = False
    numbers = structure_of(given, 2).reshape(3, 2, 5).numpy()
    assert (numbers[0, 1] == 0.0).all() and (numbers[1, :, :2] == 1.0).all() and (numbers[:, :, 2] == 0.0).all()
    np.testing.assert_array_equal(numbers[1, :, 3:].argmax(axis=1), given.tag[1])
