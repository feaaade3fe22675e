"""The analysis file: load, check, resolve, JSON schema. Imports no package heavier than pydantic and yaml."""

from hepda.config.event_generator.analysis import EventGeneratorConfig
from hepda.config.events.analysis import (
    AnalysisConfig,
    BiasConfig,
    EvaluationConfig,
    PlotConfig,
    SampleConfig,
    SignificanceConfig,
    SplitConfig,
)
from hepda.config.events.reading import NormalisationConfig, ReadingConfig
from hepda.config.generators.analysis import GeneratorConfig
from hepda.config.generators.frames import FramePredictionConfig
from hepda.config.kinds import AnyConfig
from hepda.config.loading import find_config, json_schema, load_any, load_config, resolved_yaml, validate, validate_any
from hepda.config.models import (
    BdtConfig,
    DomainConfig,
    EventFusionConfig,
    ModelConfig,
    NetworkConfig,
    RatioConfig,
    ReweightConfig,
    TrainingConfig,
)
from hepda.config.refinement.analysis import RefinementConfig
from hepda.config.speech.conversion import ConversionConfig
from hepda.config.speech.enhancement import EnhancementConfig
from hepda.config.speech.recognition import SpeechConfig, SpeechModelConfig

__all__ = [
    "AnalysisConfig",
    "AnyConfig",
    "BdtConfig",
    "BiasConfig",
    "ConversionConfig",
    "DomainConfig",
    "EnhancementConfig",
    "EvaluationConfig",
    "EventFusionConfig",
    "EventGeneratorConfig",
    "FramePredictionConfig",
    "GeneratorConfig",
    "ModelConfig",
    "NetworkConfig",
    "NormalisationConfig",
    "PlotConfig",
    "RatioConfig",
    "ReadingConfig",
    "RefinementConfig",
    "ReweightConfig",
    "SampleConfig",
    "SignificanceConfig",
    "SpeechConfig",
    "SpeechModelConfig",
    "SplitConfig",
    "TrainingConfig",
    "find_config",
    "json_schema",
    "load_any",
    "load_config",
    "resolved_yaml",
    "validate",
    "validate_any",
]
