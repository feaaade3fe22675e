"""The files of trained models against the analysis file: is every training there, and is it one of this analysis?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from hepda.baselines.fusion import fusion_file
from hepda.config import BdtConfig, NetworkConfig
from hepda.errors import HepdaError
from hepda.events.specs import ModelSpec
from hepda.events.training.fusion import read_fusion
from hepda.runtime.run_directory import MODELS


def check_models(models: Mapping[str, ModelSpec], features: Sequence[str], run: Path) -> dict[str, str]:
    """Compare the files of all trainings with the models that the analysis file describes.

    Args:
        models: the models by name.
        features: names of the features of the table.
        run: the run directory.

    Returns:
        By path within the run, what is wrong with the file of a training: it is missing, cannot be read, reads other
        inputs, predicts other classes, has parameters of other shapes, or some that are not finite; or with that of a
        fusion: it is missing, damaged or of other models; "" for nothing.

    """
    found: dict[str, str] = {}
    for model in models.values():
        for fold in range(model.folds if model.fused else 0):
            name = f"{MODELS}/{model.name}/{fusion_file(run / MODELS, model.name, fold).name}"
            try:
                read_fusion(model, run / MODELS, fold)
                found[name] = ""
            except HepdaError as error:
                found[name] = str(error)
        for fold in range(0 if model.fused else model.folds):
            for member in range(model.members):
                stem = f"fold{fold}-member{member}"
                trees = isinstance(model.section, BdtConfig)
                name = f"{MODELS}/{model.name}/{stem}{'.metadata.json' if trees else '.safetensors'}"
                try:
                    found[name] = _problem(model, features, run / MODELS / model.name, stem)
                except HepdaError as error:
                    found[name] = str(error)
    return found


def _problem(model: ModelSpec, features: Sequence[str], folder: Path, stem: str) -> str:
    """Return what is wrong with a training. Raises HepdaError for a file that is missing or damaged."""
    from hepda.events.training.scoring import check_inputs

    if isinstance(model.section, BdtConfig):
        from hepda.baselines import bdt

        _, about = bdt.load(folder, stem)
        check_inputs(folder / stem, about, features, model)
        return _classes(about.get("classes", []), model)
    from hepda.adversarial import Network

    path = folder / f"{stem}.safetensors"
    network = Network.load(path)
    check_inputs(path, network.metadata, features, model)
    labels = network.metadata.get("labels", [])
    if list(labels) != list(model.event_labels):
        first, second = (", ".join(names) or "no labels" for names in (labels, model.event_labels))
        return f"predicts the labels {first}; the analysis file gives {second}"
    return _classes(network.metadata.get("classes", []), model) or _shapes(network, model, features)


def _classes(saved: Sequence[str], model: ModelSpec) -> str:
    if list(saved) == list(model.classes):
        return ""
    first, second = (", ".join(names) or "signal against background" for names in (saved, model.classes))
    return f"predicts the classes {first}; the analysis file gives {second}"


def _shapes(network: object, model: ModelSpec, features: Sequence[str]) -> str:
    """Return how the parameters of a network differ from those that the analysis file describes, "" for not at all."""
    from hepda.adversarial import Network
    from hepda.events.training.jobs import build_network
    from hepda.events.training.objects import set_encoder

    if not isinstance(network, Network) or not isinstance(model.section, NetworkConfig):
        raise TypeError(f"{model.name} is not a network")
    flat = len(features if model.features is None else model.features) + (model.parameter is not None)
    inputs = partial(set_encoder, model, model.section) if model.collections else flat
    expected = {
        name: tuple(value.shape)
        for name, value in build_network(inputs, model, 0, {}).state_dict().items()
        if not name.startswith("term_modules.")
    }
    saved = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    for name in sorted(expected.keys() | saved.keys()):
        if expected.get(name) != saved.get(name):
            here, there = (_shape(shapes.get(name)) for shapes in (saved, expected))
            return f"has {here} as parameters of {name}; the analysis file gives {there}"
    spoiled = [name for name, value in network.state_dict().items() if not value.isfinite().all()]
    return f"has parameters of {spoiled[0]} that are not finite" if spoiled else ""


def _shape(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else "×".join(map(str, shape)) or "one number"
