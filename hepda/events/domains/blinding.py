"""Blinding of data by the config's `evaluation.blind`: scores in a range, and numbers that would reveal them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hepda.config import ModelConfig, NetworkConfig, SampleConfig
from hepda.errors import ConfigError
from hepda.events.expressions.columns import Column
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import parse

BLINDED = "blinded: `evaluation.blind` hides scores of these data, so no number is taken from them"


def hidden_range(blind: str | None, samples: Mapping[str, SampleConfig]) -> tuple[float, float] | None:
    """Return the range (low, high) of the score in which data are hidden; None without blinding, or without data.

    Args:
        blind: the condition over `score` of `evaluation.blind`.
        samples: the samples of the analysis.

    Raises:
        ConfigError: the condition is not one range of the score.

    """
    if blind is None:
        return None
    score = np.linspace(0.0, 1.0, 10_001)
    expression = parse(blind, "evaluation.blind")
    hidden = np.flatnonzero(Evaluator({"score": Column(score)}, {}, len(score)).condition(expression))
    if len(hidden) == 0 or not any(sample.is_data for sample in samples.values()):
        return None
    if len(hidden) != hidden[-1] - hidden[0] + 1:
        raise ConfigError(f"evaluation.blind: {blind!r} hides more than one range of the score; give one")
    return float(score[hidden[0]]), float(score[hidden[-1]]) if hidden[-1] < len(score) - 1 else np.inf


def uncontrolled(models: Mapping[str, ModelConfig], samples: Mapping[str, SampleConfig]) -> list[str]:
    """Return a line for each model whose domain loss uses data of every region.

    The data in which a signal is fitted have then shaped the score.
    """
    lines = []
    for model, section in models.items():
        domain = section.domain if isinstance(section, NetworkConfig) else None
        if domain is None or domain.selection is not None or domain.method_name == "none":
            continue
        data = [name for name in (*domain.source, *domain.target) if samples[name].is_data]
        if data:
            lines.append(
                f"{model}: its domain loss sees all selected events of {', '.join(data)}, those of the signal region "
                f"too; keep it to a control region by `models.{model}.domain.selection`"
            )
    return lines
