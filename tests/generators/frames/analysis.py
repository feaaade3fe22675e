"""A whole analysis of frame prediction that needs no file and trains in seconds."""

from __future__ import annotations

from typing import Any

from hepda.config import FramePredictionConfig, validate_any

SMALL: dict[str, Any] = {
    "name": "small",
    "kind": "frames",
    "source": {"data": "all_digits", "name": "digits"},
    "sequences": {"size": 16, "digit": 8, "inputs": 3, "speed": 1, "train": 96, "test": 20},
    "models": {
        "last": {"kind": "last_frame", "title": "last frame"},
        "l2": {"kind": "network", "title": "L2", "width": 4},
        "adversary": {"kind": "network", "width": 4, "losses": {"gradient": 1.0, "adversary": 0.1}},
    },
    "training": {"epochs": 2, "batch_size": 16, "processes": 1, "average": 0.5},
    "seeds": 2,
}


def small(**changes: Any) -> FramePredictionConfig:
    """The analysis with sections replaced key by key; `models` is replaced whole."""
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in SMALL.items()}
    for key, value in changes.items():
        data[key] = data[key] | value if isinstance(value, dict) and key != "models" and key in data else value
    config = validate_any(data, "test")
    assert isinstance(config, FramePredictionConfig)
    return config
