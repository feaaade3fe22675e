"""A whole analysis of speech that needs no file and trains in seconds."""

from __future__ import annotations

from typing import Any

from hepda.config import SpeechConfig, validate_any

SMALL: dict[str, Any] = {
    "name": "small",
    "kind": "speech",
    "speech": {"data": "tones", "recordings": 5},
    "split": {"test": 1, "validation": 1},
    "noise": {"synthetic": ["white", "pink", "hum"], "unseen": ["pink"], "snr": [0, 20]},
    "frames": {"bands": 20, "context": {"left": 12, "right": 12, "step": 4}},
    "states": {"states": 3, "mixtures": 1, "iterations": 6},
    "voice": {"speeds": [0.95, 1.05], "tracts": [1.0], "masks": [0, 0]},
    "models": {
        "clean": {"train_on": ["clean"], "encoder": "feedforward", "layers": [64, 64], "voice": False},
        "adversarial": {"encoder": "feedforward", "layers": [64, 64], "domain": {"of": "noise", "alpha": 0.5}},
    },
    "training": {"epochs": 2, "copies": 1, "every": 2, "batch_size": 128, "processes": 1},
    "seeds": 2,
    "evaluation": {"snr": [10, -5], "quoted": -5, "repeats": 1, "probe": 400},
}


def small(**changes: Any) -> SpeechConfig:
    """The analysis with sections replaced key by key; `models` is replaced whole."""
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in SMALL.items()}
    for key, value in changes.items():
        data[key] = data[key] | value if isinstance(value, dict) and key != "models" and key in data else value
    config = validate_any(data, "test")
    assert isinstance(config, SpeechConfig)
    return config
