"""Audio and image of the same digit: the corruption, the gates and the tables, on numbers that are drawn here."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import log_softmax

from analyses.pairs import gates, pairs


def drawn(strings: int, seed: int = 0) -> gates.Reading:
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
    return gates.Reading(logs, said, np.zeros((strings, 4, 3)))


def test_edit_distance_counts_replaced_left_out_and_added_digits() -> None:
    read = np.array([[1, 2, 3, 4], [1, 2, 3, 5], [2, 3, 4, 9], [5, 6, 7, 8]])
    said = np.tile([1, 2, 3, 4], (4, 1))
    assert gates.edit_distance(read, said).tolist() == [0, 1, 2, 4]
    assert gates.edit_distance(read[:1, :2], said[:1]).tolist() == [2]


def test_gate_of_zero_is_equal_fusion_and_a_strong_one_takes_one_stream() -> None:
    logs = drawn(20).logs
    seen = gates.certainty(logs)
    np.testing.assert_allclose(gates.gated(logs, np.zeros(5), seen), logs["audio"] + logs["image"])
    np.testing.assert_allclose(gates.gated(logs, np.array([0, 0, 0, 0, 80.0]), seen), 2 * logs["audio"])
    np.testing.assert_allclose(gates.gated(logs, np.array([0, 0, 0, 0, -80.0]), seen), 2 * logs["image"], atol=1e-9)


def test_gates_beat_equal_fusion_where_certainty_tells_the_bad_stream() -> None:
    combinations = gates.learned(drawn(200), 200, 1)
    fresh = drawn(500, seed=1)
    networks = dict.fromkeys(("concatenation", "modality dropout"), fresh.logs["audio"])
    found = pairs.errors(gates.Reading({**fresh.logs, **networks}, fresh.said, fresh.quality), combinations)
    assert tuple(found) == (*pairs.METHODS, pairs.BEST)
    assert found["concatenation"] == found["audio"]
    others = ("audio", "image", "mean of probabilities", "mean of logits")
    best = min(found[name] for name in others)
    assert max(found[name] for name in ("supervised gate", "REINFORCE gate", "quality gate")) < best
    assert found[pairs.BEST] < min(found[name] for name in pairs.METHODS)  # no gate is better, though some may be equal


def test_a_temperature_finds_the_factor_that_made_a_stream_too_sure() -> None:
    generator = np.random.default_rng(3)
    logits = 2.0 * generator.standard_normal((2000, 4, 10))
    shares = np.exp(log_softmax(logits, axis=-1)).reshape(-1, 10)
    said = np.array([generator.choice(10, p=share) for share in shares]).reshape(2000, 4)
    assert abs(gates.temperature(log_softmax(2.5 * logits, axis=-1), said) - 2.5) < 0.15


def test_calibration_trusts_the_stream_less_that_was_too_sure() -> None:
    """Two equally good streams, of which one says everything eight times as loudly, are equally trusted again."""
    generator = np.random.default_rng(4)
    said = generator.integers(10, size=(1500, 4))
    first, second = (1.5 * np.eye(10)[said] + generator.standard_normal((1500, 4, 10)) for _ in range(2))
    logs = {"audio": log_softmax(1.5 * first, axis=-1), "image": log_softmax(12.0 * second, axis=-1)}
    both = gates.Reading(logs, said, np.zeros((1500, 4, 3)))
    wrong = {
        "calibrated": (gates.learned(both, 10, 1)["calibrated logits"](both).argmax(axis=-1) != said).mean(),
        "equal": ((logs["audio"] + logs["image"]).argmax(axis=-1) != said).mean(),
        "right": ((first + second).argmax(axis=-1) != said).mean(),
    }
    assert wrong["equal"] > wrong["right"] + 0.05 and abs(wrong["calibrated"] - wrong["right"]) < 0.01


def test_the_quality_gate_uses_what_certainty_does_not_say() -> None:
    """The image is as sure of a random digit as of the right one, and only the estimate of its cover tells which."""
    generator = np.random.default_rng(5)

    def reading(strings: int) -> gates.Reading:
        said = generator.integers(10, size=(strings, 4))
        covered = generator.random((strings, 4)) < 0.5
        seen = np.where(covered, generator.integers(10, size=said.shape), said)
        logs = {
            "audio": log_softmax(2.5 * np.eye(10)[said] + generator.standard_normal((strings, 4, 10)), axis=-1),
            "image": log_softmax(6.0 * np.eye(10)[seen], axis=-1),
        }
        quality = np.stack([np.zeros(said.shape), covered + 0.1 * generator.standard_normal(said.shape)], axis=-1)
        return gates.Reading(logs, said, np.concatenate([quality, quality[..., :1]], axis=-1))

    combinations, fresh = gates.learned(reading(300), 10, 1), reading(500)
    wrong = {
        name: float((combine(fresh).argmax(axis=-1) != fresh.said).mean()) for name, combine in combinations.items()
    }
    assert wrong["quality gate"] < 0.8 * min(wrong["supervised gate"], wrong["calibrated logits"])


def test_the_damage_of_both_streams_is_estimated_from_features() -> None:
    train, _, test = pairs.load("tones", "digits", 1)
    torch.manual_seed(1)
    readers = {"audio": pairs.Reader([0]).eval(), "image": pairs.Reader([1]).eval()}
    meter = pairs.QualityMeter.fitted(readers, train, 1)
    rows = np.arange(len(test.corpus))
    snr = torch.linspace(-10.0, 20.0, len(rows))
    inputs, damage = pairs.drawn(test, rows, snr, torch.Generator().manual_seed(2), np.random.default_rng(2))
    found = meter(inputs)
    truth = np.column_stack([snr.numpy(), damage.numpy()])
    correlation = [np.corrcoef(found[:, i], truth[:, i])[0, 1] for i in range(3)]
    # an image of width 1 does not show the strength of its noise to a network without training as well as its cover
    assert correlation[0] > 0.6 and correlation[1] > 0.6 and correlation[2] > 0.2


def test_images_are_covered_and_noisy_to_different_degrees() -> None:
    seen, damage = pairs.shown(torch.zeros(200, 1, 24, 24), torch.Generator().manual_seed(1))
    covered = (seen == 128.0).flatten(1).float().mean(dim=1)
    torch.testing.assert_close(covered, damage[:, 0])
    assert float(covered.min()) < 0.05 and float(covered.max()) > 0.8
    open_pixels = torch.tensor([float(image[image != 128.0].std()) for image in seen[covered < 0.8]])
    assert float(open_pixels.min()) < 30.0 and float(open_pixels.max()) > 120.0
    torch.testing.assert_close(open_pixels, damage[covered < 0.8, 1], rtol=0.4, atol=2.0)


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
    results = {name: common + number for number, name in enumerate((*pairs.METHODS, pairs.BEST))}
    text = pairs.table(results)
    row = next(line for line in text.splitlines() if line.startswith("| supervised gate"))
    assert row.endswith("| +4.0 (+4.0 to +4.0) | +3.0 (+3.0 to +3.0) |")  # the common spread of seeds cancels
    assert "REINFORCE gate minus supervised gate at 0 dB: +1.0 (+1.0 to +1.0) points." in text
    assert text.endswith("chosen with the answer, 30.0 % would be wrong at 0 dB.")
    legend = pairs.error_figure(results).axes[0].get_legend()
    assert tuple(entry.get_text() for entry in legend.get_texts()) == pairs.METHODS
