"""Strings in effects: who speaks, in which room; all pairs of rooms of the tests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from hepda.errors import ConfigError
from hepda.speech.conversion.effects import LEVEL, ConversionSounds, load_sounds, read_sounds, write_sounds
from hepda.speech.sounds.audio import level
from hepda.speech.sounds.mixing import convolved, direct_first
from tests.speech.conversion.analysis import small


@pytest.fixture(scope="module")
def sounds() -> ConversionSounds:
    return load_sounds(small())


def test_every_test_string_goes_from_every_effect_to_every_other_one(sounds: ConversionSounds) -> None:
    tests = sounds.tests(small())
    names = sounds.effects.names
    assert names == ("dry", "room 0.2 s", "room 0.5 s", "room 1.5 s")
    assert sounds.effects.seen == (0, 1, 3) and sounds.effects.unseen == (2,)
    rows = Counter(zip(tests.string.tolist(), tests.effect.tolist(), tests.wanted.tolist(), strict=True))
    for string in range(4):
        for first in (0, 1, 3):
            for second in (0, 1, 3):
                assert rows[string, first, second] == (first != second)
        assert sum(rows[string, first, 2] for first in (0, 1, 3)) == 1
    assert len(tests) == 4 * 7
    speakers = sounds.corpus.speakers
    assert {speakers[n] for n in tests.speaker.tolist()} == {"tones-1", "tones-4"}


def test_all_recordings_have_one_level(sounds: ConversionSounds) -> None:
    tape = sounds.corpus.tape
    torch.testing.assert_close(torch.stack([level(tape.utterance(n)) for n in range(len(tape))]).flatten(),
                               torch.full((len(tape),), LEVEL))  # fmt: skip


def test_strings_to_train_on_have_the_speeds_of_the_analysis_and_tests_have_none(sounds: ConversionSounds) -> None:
    """With the same random numbers, strings at twice the speed have half of the samples."""
    plain, fast = (small(strings={"speeds": [speed]}) for speed in (1.0, 2.0))
    slow, quick = (sounds.takes(config, sounds.training, 0, 1) for config in (plain, fast))
    assert [(n + 1) // 2 for n in slow.source.length.tolist()] == quick.source.length.tolist()
    assert torch.equal(sounds.tests(plain).strings.tape.samples, sounds.tests(fast).strings.tape.samples)


def test_training_tests_and_judges_share_no_recording_of_a_test_speaker(sounds: ConversionSounds) -> None:
    corpus = sounds.corpus
    of_test_speakers = torch.tensor([corpus.speakers[n] in ("tones-1", "tones-4") for n in corpus.speaker.tolist()])
    training, test, judging = (set(part.tolist()) for part in (sounds.training, sounds.test, sounds.judging))
    tested = set(torch.nonzero(of_test_speakers).flatten().tolist())
    assert not training & tested and test <= tested and not test & judging
    assert (test | judging) & tested == tested


def test_source_and_target_are_one_string_in_two_effects(sounds: ConversionSounds) -> None:
    config = small()
    takes, again = (sounds.takes(config, sounds.training, 3, 5) for _ in range(2))
    assert torch.equal(takes.source.samples, again.source.samples)
    assert bool((takes.effect != takes.wanted).all()) and set(takes.wanted.tolist()) <= {0, 1, 3}
    assert takes.source.length.tolist() == takes.target.length.tolist()
    for number in range(len(takes.effect)):
        if int(takes.effect[number]) == 0:  # dry: the target is its convolution
            dry, target = takes.source.utterance(number), takes.target.utterance(number)
            wet = convolved(dry, direct_first(sounds.effects.responses[int(takes.wanted[number]) - 1]))
            wet = wet * (dry.square().sum() / wet.square().sum()).sqrt()
            torch.testing.assert_close(target, wet, atol=1e-4, rtol=1e-3)
    assert not torch.equal(sounds.takes(config, sounds.training, 4, 5).wanted, takes.wanted)


def test_sounds_are_written_and_read(sounds: ConversionSounds, tmp_path: Path) -> None:
    write_sounds(sounds, tmp_path)
    read = read_sounds(tmp_path)
    assert read.effects.names == sounds.effects.names and read.effects.seen == sounds.effects.seen
    assert torch.equal(read.tests(small()).reference.samples, sounds.tests(small()).reference.samples)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rooms": {"unseen": ["room 9 s"]}}, r"rooms\.unseen: 'room 9 s' is not there"),
        ({"rooms": {"synthetic": [0.2], "unseen": ["room 0.2 s"]}}, r"rooms\.unseen: names every room"),
        ({"rooms": {"share": 0.3}}, r"rooms\.share: has no effect"),
        ({"training": {"scorer": "probe-auc"}}, r"training\.scorer: has no effect"),
        ({"evaluation": {"baseline": "copi"}}, r"evaluation\.baseline: 'copi' is not a model.*copy"),
        ({"speech": {"data": "recordings", "folder": "x"}}, "the words of `recordings` are not known"),
    ],
)
def test_an_analysis_that_cannot_be_is_told(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_sounds(small(**changes))
