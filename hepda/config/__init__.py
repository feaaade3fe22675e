"""The analysis file: load, check, resolve, JSON schema. Imports pydantic and yaml, nothing heavier."""

from hepda.config.analysis import (
    AnalysisConfig,
    BiasConfig,
    EvaluationConfig,
    NormalisationConfig,
    PlotConfig,
    SampleConfig,
    SignificanceConfig,
    SplitConfig,
)
from hepda.config.loading import find_config, json_schema, load_config, resolved_yaml, validate
from hepda.config.models import (
    BdtConfig,
    DomainConfig,
    ModelConfig,
    NetworkConfig,
    RatioConfig,
    ReweightConfig,
    TrainingConfig,
)

__all__ = [
    "AnalysisConfig",
    "BdtConfig",
    "BiasConfig",
    "DomainConfig",
    "EvaluationConfig",
    "ModelConfig",
    "NetworkConfig",
    "NormalisationConfig",
    "PlotConfig",
    "RatioConfig",
    "ReweightConfig",
    "SampleConfig",
    "SignificanceConfig",
    "SplitConfig",
    "TrainingConfig",
    "find_config",
    "json_schema",
    "load_config",
    "resolved_yaml",
    "validate",
]
