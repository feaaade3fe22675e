from __future__ import annotations

import pytest
import torch

from hepda.config import SpeechConfig
from hepda.errors import ConfigError
from hepda.speech.recognition.hmm import Lexicon
from hepda.speech.recognition.transcripts import Transcripts, transcribed
from hepda.speech.sounds.features import Frames
from tests.speech.analysis import small


def frames_that_say(words: list[list[int]], senones: int, sure: list[float]) -> tuple[torch.Tensor, Frames]:
    """Log likelihoods of frames that are in these senones, each utterance as sure of it as said."""
    frames = Frames.laid_out(torch.tensor([len(states) for states in words]))
    likelihood = torch.zeros(len(frames), senones)
    for number, state in enumerate(state for states in words for state in states):
        likelihood[number, state] = sure[int(frames.utterance[number])]
    return likelihood, frames


def test_an_utterance_is_transcribed_by_its_best_path_and_the_margin_says_how_sure_that_is():
    lexicon = Lexicon.of_words(("a", "b"), 3)  # senones 0 to 2, 3 to 5, silence 6
    paths = [[6, 3, 3, 4, 5, 6], [0, 1, 1, 2, 2], [0, 0, 1, 2, 2]]
    likelihood, frames = frames_that_say(paths, 7, [4.0, 4.0, 0.5])
    transcripts = transcribed(likelihood, frames, lexicon, torch.full((7,), 0.5, dtype=torch.float64))
    assert transcripts.word.tolist() == [1, 0, 0]
    assert transcripts.senone.tolist() == [state for states in paths for state in states]
    assert float(transcripts.margin[1]) > float(transcripts.margin[2]) > 0.0
    # the other word explains none of the 5 frames: 4 less for each, but the same arcs
    assert float(transcripts.margin[1]) == pytest.approx(4.0, rel=1e-5)


def test_the_surest_of_each_word_are_taken_and_of_no_word_more_than_are_said():
    transcripts = Transcripts(
        torch.tensor([0, 0, 0, 0, 0, 0, 1, 1]), torch.tensor([1.0, 5, 3, 2, 6, 4, 1, 2]), torch.empty(0)
    )
    half = transcripts.surest(0.5, torch.tensor([0.5, 0.5]))
    assert half.tolist() == [False, True, False, False, True, False, True, True]
    assert (
        int(transcripts.surest(1.0, torch.tensor([0.5, 0.5])).sum()) == 6
    )  # 4 of the first word, and both of the other


def test_rounds_are_for_single_words_and_for_a_target():
    target = {"of": "target", "method": "none", "rounds": 2}
    models = {"m": {"train_on": ["clean"], "domain": target}}
    assert isinstance(small(models=models, evaluation={"baseline": None}), SpeechConfig)
    with pytest.raises(ConfigError, match=r"models\.m\.domain\.rounds: transcribes single words"):
        small(models=models, evaluation={"baseline": None, "grammar": "loop"})
    with pytest.raises(ConfigError, match=r"models\.m\.domain\.rounds: has an effect only with `of: target`"):
        small(models={"m": {"domain": {"of": "noise", "alpha": 0.3, "rounds": 2}}}, evaluation={"baseline": None})
