"""A whole analysis of generators that needs no file and trains in seconds."""

from __future__ import annotations

from typing import Any

from hepda.config import GeneratorConfig, validate_any

SMALL: dict[str, Any] = {
    "name": "small",
    "kind": "generator",
    "source": {"data": "all_digits", "name": "digits"},
    "pixels": {"size": 8, "channels": 1},
    "judge": {"epochs": 25, "width": 8},
    "models": {
        "mixture": {"kind": "mixture", "components": 2, "dimensions": 20, "iterations": 10},
        "gan": {"kind": "gan", "title": "DCGAN", "width": 8, "latent": 8},
        "conditional": {"kind": "gan", "conditional": True, "width": 8, "latent": 8},
        "diffusion": {"kind": "diffusion", "width": 8, "steps": 5},
    },
    "training": {"epochs": 1, "processes": 1},
    "seeds": 2,
    "evaluation": {"samples": 100},
}


def small(**changes: Any) -> GeneratorConfig:
    """The analysis with sections replaced key by key; `models` is replaced whole."""
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in SMALL.items()}
    for key, value in changes.items():
        data[key] = data[key] | value if isinstance(value, dict) and key != "models" and key in data else value
    config = validate_any(data, "test")
    assert isinstance(config, GeneratorConfig)
    return config
