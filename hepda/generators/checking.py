"""`hepda check RUN`: are the models of a run those that its analysis file describes? Nothing of them is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepda.errors import SourceError
from hepda.generators.model import load_model, model_class
from hepda.runtime.run_directory import MODELS

if TYPE_CHECKING:
    from hepda.config import GeneratorConfig


def check_models(config: GeneratorConfig, run: Path) -> dict[str, str]:
    """Return what is wrong with the file of each model, by path within the run; "" for nothing.

    A file with another kind, other settings, or more tensors than its model has, such as a branch that somebody added,
    is wrong even if all its checksums were written again.
    """
    paths = {
        f"{MODELS}/{name}/fold0-member{member}.safetensors": section
        for name, section in config.models.items()
        for member in range(config.seeds)
    }
    return {name: _problem(config, section, run / name) for name, section in paths.items()}


def _problem(config: GeneratorConfig, section: Any, path: Path) -> str:
    try:
        model, about = load_model(path)
    except SourceError as error:
        return str(error)
    if model.kind != section.kind:
        return f"is a model of the kind {model.kind}; config.yaml says {section.kind}"
    shape = (config.pixels.channels, config.pixels.size, config.pixels.size)
    expected = model_class(section.kind).describe(section, shape, len(about["classes"]))
    saved = model.description
    other = [key for key in expected.keys() | saved.keys() if expected.get(key) != saved.get(key)]
    if other:
        key = min(other)
        return f"has `{key}` {saved.get(key)}; config.yaml says {expected.get(key)}"
    return ""
