"""A whole analysis of conversion that needs no file and trains in seconds."""

from __future__ import annotations

from typing import Any

from hepda.config import ConversionConfig, validate_any

SMALL: dict[str, Any] = {
    "name": "small",
    "kind": "conversion",
    "speech": {"data": "tones", "recordings": 4},
    "split": {"test": ["tones-1", "tones-4"]},
    "rooms": {"synthetic": [0.2, 0.5, 1.5], "unseen": ["room 0.5 s"]},
    "strings": {"recordings": [2, 3], "number": 12},
    "models": {
        "copy": {"kind": "copy"},
        "mean": {"kind": "spectrum", "title": "mean spectrum"},
        "truth": {"kind": "truth"},
        "network": {"kind": "network", "width": 12, "blocks": 2, "content": 4, "effect": 4},
        "free": {"kind": "network", "width": 12, "blocks": 2, "parallel": False, "reversal": 0.0},
    },
    "training": {"epochs": 2, "turns": 4, "batch_size": 4, "seconds": 0.4, "processes": 1},
    "seeds": 2,
    "evaluation": {"strings": 4, "judges": 6},
}


def small(**changes: Any) -> ConversionConfig:
    """The analysis with sections replaced key by key; `models` is replaced whole."""
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in SMALL.items()}
    for key, value in changes.items():
        data[key] = data[key] | value if isinstance(value, dict) and key != "models" and key in data else value
    config = validate_any(data, "test")
    assert isinstance(config, ConversionConfig)
    return config
