"""A whole analysis of enhancement that needs no file and trains in seconds."""

from __future__ import annotations

from typing import Any

from hepda.config import EnhancementConfig, validate_any

SMALL: dict[str, Any] = {
    "name": "small",
    "kind": "enhancement",
    "speech": {"data": "tones", "recordings": 4},
    "split": {"test": ["tones-2"]},
    "noise": {"synthetic": ["white", "hum", "brown"], "unseen": ["brown"], "snr": [0, 10]},
    "strings": {"recordings": [4, 5], "number": 12, "speeds": [0.9, 1.0, 1.1]},
    "models": {
        "noisy": {"kind": "noisy"},
        "wiener": {"kind": "wiener", "title": "Wiener filter"},
        "ideal": {"kind": "ideal_mask"},
        "plain": {"kind": "mask", "width": 8, "blocks": 2},
        "judged": {
            "kind": "mask", "width": 8, "blocks": 2, "adversary": {"metric": "si_sdr", "steps": 2, "warmup": 0.5},
        },
    },
    "training": {"epochs": 2, "turns": 4, "batch_size": 4, "seconds": 0.25, "processes": 1},
    "seeds": 2,
    "evaluation": {"snr": [10, 0], "strings": 3, "metrics": ["segmental_snr", "si_sdr"], "baseline": "noisy"},
}  # fmt: skip


def small(**changes: Any) -> EnhancementConfig:
    """The analysis with sections replaced key by key; `models` is replaced whole."""
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in SMALL.items()}
    for key, value in changes.items():
        data[key] = data[key] | value if isinstance(value, dict) and key != "models" and key in data else value
    config = validate_any(data, "test")
    assert isinstance(config, EnhancementConfig)
    return config
