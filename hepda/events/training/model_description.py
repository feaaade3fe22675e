"""A description of each model as text, for readers of the report."""

from __future__ import annotations

from typing import Any

from hepda.config import DomainConfig, EventFusionConfig, NetworkConfig
from hepda.events.specs import ModelSpec

FUSIONS = {
    "mean": "mean of the logits",
    "isotonic": "mean of the calibrated probabilities",
    "logistic": "logistic stacking",
}
"""What a fusion is, by its method."""
READS = {"features": "features", "score": "score", "features*score": "features × score"}


def setup_of(model: ModelSpec) -> dict[str, Any]:
    """Return models.<model>.setup of metrics.json.

    It has the kind, the samples of the class loss, the adaptation, and the number of networks averaged in a fold.
    """
    section = model.section
    learns = not (isinstance(section, EventFusionConfig) and section.method == "mean")
    setup: dict[str, Any] = {
        "kind": _kind(model),
        "class_loss": list(model.samples) if learns else [],
    }
    if model.classes:
        setup["classes"] = list(model.classes)
    adaptation = []
    if isinstance(section, NetworkConfig):
        setup["members"] = section.ensemble
        if section.domain is not None:
            setup |= {"strength": section.domain.strength}
            adaptation.append(_domain(model, section.domain))
        if section.parameter is not None:
            values = ", ".join(f"{domain} {value:g}" for domain, value in section.parameter.items())
            adaptation.append(f"reads its domain ({values}), scored at 0")
    adaptation += [f"of {part.name}" for part in model.fused if part.is_adapted]
    if section.reweight is not None:
        adaptation.append(f"{' + '.join(section.reweight.source)} weighted as {' + '.join(section.reweight.target)}")
    return setup | {"adaptation": "; ".join(adaptation)}


def _kind(model: ModelSpec) -> str:
    """Return the layers or the library, and the classes and the score of a model of several classes."""
    section = model.section
    if isinstance(section, EventFusionConfig):
        words = [f"{FUSIONS[section.method]} of {' + '.join(section.of)}"]
    else:
        words = [_network(section) if isinstance(section, NetworkConfig) else f"trees, {section.library}"]
    words += [f"{len(model.classes)} classes"] if model.classes else []
    words += [f"predicts {model.regression.plain}, {model.regression.loss} loss"] if model.predicts == "number" else []
    words += [f"labels {', '.join(model.event_labels)}"] if model.event_labels else []
    words += [f"score {section.score}"] if section.score is not None else []
    return ", ".join(words)


def _network(section: NetworkConfig) -> str:
    """Return the kind of a network: its widths, or its set encoder and what that reads."""
    if isinstance(section.encoder, tuple):
        return f"network {'-'.join(map(str, section.encoder))}"
    encoder = section.encoder
    flat = f" and {len(encoder.features)} features" if encoder.features else ""
    name = "deep sets" if encoder.kind == "deepsets" else "transformer"
    return f"{name} {encoder.layers} x {encoder.width} of {', '.join(encoder.collections)}{flat}"


def _domain(model: ModelSpec, domain: DomainConfig) -> str:
    rows = "all events" if domain.rows == "all" else domain.rows
    targets = ", ".join(" + ".join(samples) for samples in domain.targets.values())
    if model.variations:
        targets = f"its variations {', '.join(variation.name for variation in model.variations)}"
    by_class = ", class by class" if model.domain_classes else ""
    what = f"{' + '.join(domain.source)} against {targets}, {rows}{by_class}"
    words = [domain.method_name]
    if domain.method_name in ("dann", "vada"):
        words.append(f"on {READS[domain.input]}")
    if domain.tail is not None:
        words.append(f"above the cut of {100 * domain.tail:g} % signal efficiency")
    if domain.reweight is not None:
        words.append("after reweighting")
    return f"{' '.join(words)}: {what}"
