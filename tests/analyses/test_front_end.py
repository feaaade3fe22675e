"""Word errors with and without enhancement: rates, and the difference paired by utterance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analyses.speech.front_end import _errors, enhanced_tape
from hepda.speech.sounds.audio import on_tape


def test_the_difference_is_paired_by_utterance() -> None:
    wrong = np.array([[1.0, 0.0, 1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]])
    errors = _errors("multi", "unseen, 0 dB", wrong, [(1,), (2, 3), (4,)], torch.tensor([0, 1, 1]))
    assert errors.without.value == pytest.approx(3.0 / 8.0) and errors.enhanced.value == pytest.approx(2.0 / 8.0)
    assert errors.difference.value == pytest.approx(-1.0 / 8.0)
    assert errors.line().startswith("| multi | unseen, 0 dB | 37.5 (") and "| -12.5 (" in errors.line()


def test_every_utterance_of_a_tape_is_enhanced() -> None:
    tape = on_tape([torch.ones(5), torch.arange(3.0)], 8000)
    halved = enhanced_tape(tape, lambda noisy, clean: 0.5 * noisy)
    assert halved.length.tolist() == [5, 3] and torch.equal(halved.samples, 0.5 * tape.samples)
