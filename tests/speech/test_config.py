from __future__ import annotations

import pytest

from hepda.config import SpeechConfig, load_any, resolved_yaml
from hepda.errors import ConfigError
from tests.speech.analysis import small


def test_the_analysis_files_of_speech_load_and_a_resolved_one_says_the_same(tmp_path):
    for name in ("tones", "noise", "few_noises", "adapt", "speakers", "rooms"):
        config = load_any(f"speech_{name}.yaml")
        assert isinstance(config, SpeechConfig)
        path = tmp_path / f"{name}.yaml"
        path.write_text(resolved_yaml(config))
        assert load_any(path) == config


def test_folders_are_relative_to_the_analysis_file_and_published_sets_are_names(tmp_path):
    text = (
        "{name: t, kind: speech, speech: {data: folder, folder: digits}, noise: {recordings: cafes}, "
        "rooms: {recordings: measured}, models: {m: {}}}"
    )
    (tmp_path / "a.yaml").write_text(text)
    config = load_any(tmp_path / "a.yaml")
    assert config.speech.folder == str(tmp_path / "digits")
    assert config.noise.recordings == str(tmp_path / "cafes")
    assert config.rooms.recordings == "measured"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": {"m": {"domain": {"of": "noise"}}}}, r"models\.m\.domain\.alpha: is required"),
        ({"models": {"m": {"domain": {"of": "target", "alpha": 1.0}}}}, r"for `of: target` give `strength`"),
        ({"models": {"m": {"domain": {"of": "noise", "alpha": 1.0, "strength": 2.0}}}}, r"only with `of: target`"),
        ({"models": {"m": {"domain": {"of": "target", "method": "dan"}}}}, r"Did you mean 'dann'"),
        ({"models": {"m": {"domain": {"of": "room", "alpha": 1.0}}}}, r"there are no rooms"),
        ({"models": {"m": {"train_on": ["clean"], "domain": {"of": "pair", "alpha": 1.0}}}}, r"has no pair"),
        ({"models": {"m": {"train_on": ["target"]}}}, r"split\.unlabelled"),
        ({"models": {"m": {"train_on": ["noisy", "noisy"]}}}, r"listed twice"),
        ({"noise": {"synthetic": []}}, r"names no noise"),
        ({"noise": {"snr": [10, 0]}}, r"the lower ratio comes first"),
        ({"rooms": {}}, r"names no room"),
        ({"frames": {"context": {"left": 5, "right": 4, "step": 2}}}, r"no multiples of the step"),
        ({"evaluation": {"quoted": 3.0}}, r"3 dB is not among"),
        ({"evaluation": {"baseline": "cleen"}}, r"Did you mean 'clean'"),
        ({"speech": {"data": "tones", "folder": "x"}}, r"`data: folder` and `data: recordings`, and only there"),
        ({"states": {"states": 2}}, r"greater than or equal to 3"),
        ({"noise": {"unsen": ["pink"]}}, r"Did you mean 'unseen'"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is_read(changes, message):
    with pytest.raises(ConfigError, match=message):
        small(**changes)
