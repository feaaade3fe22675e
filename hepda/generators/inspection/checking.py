"""`hepda check RUN`: are the models of a run those that its analysis file describes? Nothing of them is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hepda.errors import SourceError
from hepda.generators.inspection.parameters import parameter_problem
from hepda.generators.model import model_class, read_model
from hepda.runtime.run_directory import MODELS

if TYPE_CHECKING:
    from hepda.config import GeneratorConfig


def check_models(config: GeneratorConfig, run: Path) -> dict[str, str]:
    """Return what is wrong with the file of each model, by path within the run; "" for nothing.

    A file with another kind, other settings, other tensors than its model has, such as a branch that somebody added, or
    numbers that are not finite is wrong even if all its checksums were written again.
    """
    paths = {
        f"{MODELS}/{name}/fold0-member{member}.safetensors": section
        for name, section in config.models.items()
        for member in range(config.seeds)
    }
    return {name: _problem(config, section, run / name) for name, section in paths.items()}


def _problem(config: GeneratorConfig, section: Any, path: Path) -> str:
    try:
        saved = read_model(path)
    except SourceError as error:
        return str(error)
    if saved.kind != section.kind:
        return f"is a model of the kind {saved.kind}; config.yaml says {section.kind}"
    shape, classes = (config.pixels.channels, config.pixels.size, config.pixels.size), len(saved.about["classes"])
    expected = model_class(section.kind).describe(section, shape, classes)
    other = [key for key in expected.keys() | saved.description.keys() if _differ(key, expected, saved.description)]
    if other:
        key = min(other)
        return f"has `{key}` {saved.description.get(key)}; config.yaml says {expected.get(key)}"
    with torch.device("meta"):  # names, shapes and types alone
        shares = torch.empty(classes if section.conditional else 0)
        model = model_class(section.kind).described(expected, {"shares": shares})
    return parameter_problem(model.state_dict(), saved.tensors)


def _differ(key: str, expected: dict[str, Any], saved: dict[str, Any]) -> bool:
    return bool(expected.get(key) != saved.get(key))
