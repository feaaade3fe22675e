"""Audio and image of the same digit: the corruption, the gates and the tables, on numbers that are drawn here."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax

from analyses.pairs import pairs


def drawn(strings: int, seed: int = 0) -> tuple[dict[str, Any], Any]:
    """Return streams that are as sure of a wrong digit as of the right one, the image of the wrong one at random."""
    generator = np.random.default_rng(seed)
    said = generator.integers(10, size=(strings, 4))
    answer = np.eye(10)[said]
    bad = generator.random((strings, 4, 1)) < 0.5
    noise = 3.0 * generator.standard_normal((strings, 4, 10))
    logs = {
        "audio": log_softmax(2.0 * answer + generator.standard_normal((strings, 4, 10)), axis=-1),
        "image": log_softmax(np.where(bad, noise, 8.0 * answer), axis=-1),
    }
    return logs, said


def test_edit_distance_counts_replaced_left_out_and_added_digits() -> None:
    read = np.array([[1, 2, 3, 4], [1, 2, 3, 5], [2, 3, 4, 9], [5, 6, 7, 8]])
    said = np.tile([1, 2, 3, 4], (4, 1))
    assert pairs.edit_distance(read, said).tolist() == [0, 1, 2, 4]
    assert pairs.edit_distance(read[:1, :2], said[:1]).tolist() == [2]


def test_gate_of_zero_is_equal_fusion_and_a_strong_one_takes_one_stream() -> None:
    logs, _ = drawn(20)
    np.testing.assert_allclose(pairs.gated(logs, np.zeros(5)), logs["audio"] + logs["image"])
    np.testing.assert_allclose(pairs.gated(logs, [0, 0, 0, 0, 80.0]), 2 * logs["audio"])
    np.testing.assert_allclose(pairs.gated(logs, [0, 0, 0, 0, -80.0]), 2 * logs["image"], atol=1e-9)


def test_both_gates_beat_equal_fusion_where_certainty_tells_the_bad_stream() -> None:
    logs, said = drawn(200)
    gates = {"supervised gate": pairs.supervised(logs, said), "REINFORCE gate": pairs.by_reward(logs, said, 200, 1)}
    fresh, answer = drawn(500, seed=1)
    networks = dict.fromkeys(("concatenation", "modality dropout"), fresh["audio"])
    found = pairs.errors({**fresh, **networks}, answer, gates)
    assert tuple(found) == pairs.METHODS
    assert found["concatenation"] == found["audio"]
    others = ("audio", "image", "mean of probabilities", "mean of logits")
    assert max(found["supervised gate"], found["REINFORCE gate"]) < min(found[name] for name in others)


def test_images_are_covered_and_noisy_to_different_degrees() -> None:
    seen = pairs.shown(torch.zeros(200, 1, 24, 24), torch.Generator().manual_seed(1))
    covered = (seen == 128.0).flatten(1).float().mean(dim=1)
    assert float(covered.min()) < 0.05 and float(covered.max()) > 0.8
    open_pixels = torch.tensor([float(image[image != 128.0].std()) for image in seen[covered < 0.8]])
    assert float(open_pixels.min()) < 30.0 and float(open_pixels.max()) > 120.0


def test_a_reader_loses_either_stream_only_in_training() -> None:
    torch.manual_seed(1)
    reader = pairs.Reader([0, 1], dropped=1.0)
    inputs = [torch.rand(64, 1, 24, 24), torch.rand(64, 1, 24, 24)]
    reader.head.weight.data[:, :64], reader.head.weight.data[:, 64:] = 1.0, -1.0
    reader.head.bias.data.zero_()
    lost = reader(inputs)[:, 0]
    assert bool((lost > 0).any()) and bool((lost < 0).any())  # of each row only one stream is left
    reader.eval()
    assert torch.equal(reader(inputs), reader(inputs))


def test_table_pairs_by_seed_and_the_figure_has_every_method() -> None:
    common = np.array([[10.0] * 5, [20.0] * 5, [30.0] * 5])
    results = {name: common + number for number, name in enumerate(pairs.METHODS)}
    text = pairs.table(results)
    row = next(line for line in text.splitlines() if line.startswith("| supervised gate"))
    assert row.endswith("| +4.0 (+4.0 to +4.0) | +3.0 (+3.0 to +3.0) |")  # the common spread of seeds cancels
    assert text.endswith("REINFORCE gate minus supervised gate at 0 dB: +1.0 (+1.0 to +1.0) points.")
    legend = pairs.error_figure(results).axes[0].get_legend()
    assert tuple(entry.get_text() for entry in legend.get_texts()) == pairs.METHODS
