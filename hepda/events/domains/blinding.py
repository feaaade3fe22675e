"""Blinding of data by the config's `evaluation.blind`: scores in a range, and numbers that would reveal them."""

from __future__ import annotations

from collections.abc import Mapping

from hepda.config import ModelConfig, NetworkConfig, SampleConfig
from hepda.events.domains.hidden_scores import hidden_scores

BLINDED = "blinded: `evaluation.blind` hides scores of these data, so no number is taken from them"


def hidden_range(blind: str | None, samples: Mapping[str, SampleConfig]) -> tuple[float, float] | None:
    """Return the range low <= score < high in which data are hidden; None without blinding, or without data.

    Args:
        blind: the condition over `score` of `evaluation.blind`.
        samples: the samples of the analysis.

    Raises:
        ConfigError: the condition is not one range of the score (`hidden_scores`).

    """
    if blind is None:
        return None
    hidden = hidden_scores(blind)
    return hidden if any(sample.is_data for sample in samples.values()) else None


def uncontrolled(models: Mapping[str, ModelConfig], samples: Mapping[str, SampleConfig]) -> list[str]:
    """Return a line for each model whose domain loss uses data of every region.

    The data in which a signal is fitted have then shaped the score.
    """
    lines = []
    for model, section in models.items():
        domain = section.domain if isinstance(section, NetworkConfig) else None
        if domain is None or domain.selection is not None or domain.method_name == "none":
            continue
        data = [name for name in (*domain.source, *domain.target_samples) if samples[name].is_data]
        if data:
            lines.append(
                f"{model}: its domain loss sees all selected events of {', '.join(data)}, those of the signal region "
                f"too; keep it to a control region by `models.{model}.domain.selection`"
            )
    return lines
