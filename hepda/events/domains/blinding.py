"""Blinding of data by the config's `evaluation.blind`: scores in a range, and numbers that would reveal them."""

from __future__ import annotations

import numpy as np

from hepda.config import AnalysisConfig, NetworkConfig
from hepda.events.domains.hidden_scores import hidden_scores
from hepda.events.table.feature_table import FeatureTable

BLINDED = "blinded: `evaluation.blind` hides scores of these data, so no number is taken from them"


def hidden_range(config: AnalysisConfig) -> tuple[float, float] | None:
    """Return the range low <= score < high in which data are hidden; None without blinding, or without data.

    Raises:
        ConfigError: the condition is not one range of the score (`hidden_scores`).

    """
    if config.evaluation.blind is None:
        return None
    hidden = hidden_scores(config.evaluation.blind)
    return hidden if any(sample.is_data for sample in config.samples.values()) else None


def uncontrolled(config: AnalysisConfig) -> list[str]:
    """Return a line for each model whose domain loss uses data of every region.

    The data in which a signal is fitted have then shaped the score.
    """
    said = []
    for model, section in config.models.items():
        domain = section.domain if isinstance(section, NetworkConfig) else None
        if domain is None or domain.selection is not None or domain.method_name == "none":
            continue
        data = [name for name in (*domain.source, *domain.target) if config.samples[name].is_data]
        if data:
            said.append(
                f"{model}: its domain loss sees all selected events of {', '.join(data)}, those of the signal region "
                f"too; keep it to a control region by `models.{model}.domain.selection`"
            )
    return said


def blinded_domains(config: AnalysisConfig, table: FeatureTable) -> tuple[str, ...]:
    """Return domains of data whose scores are hidden in a range: no number is taken from their scores or embeddings."""
    if hidden_range(config) is None:
        return ()
    return tuple(name for name in table.domain_names if np.all(table.label[table.of_domain(name)] < 0))
