"""The kinds of data that an analysis file can have, each with its type; `kind:` selects one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hepda.config.events.analysis import AnalysisConfig
from hepda.config.generators.analysis import GeneratorConfig
from hepda.config.generators.frames import FramePredictionConfig
from hepda.config.images import ImagesConfig
from hepda.config.refinement.analysis import RefinementConfig
from hepda.config.speech.conversion import ConversionConfig
from hepda.config.speech.enhancement import EnhancementConfig
from hepda.config.speech.recognition import SpeechConfig
from hepda.config.tabular import TabularConfig
from hepda.errors import ConfigError, nearest

AnyConfig = (
    AnalysisConfig
    | ConversionConfig
    | EnhancementConfig
    | FramePredictionConfig
    | GeneratorConfig
    | ImagesConfig
    | RefinementConfig
    | SpeechConfig
    | TabularConfig
)
"""The type of an analysis file of any kind."""

KINDS: dict[str, type[AnyConfig]] = {
    "conversion": ConversionConfig,
    "enhancement": EnhancementConfig,
    "events": AnalysisConfig,
    "frames": FramePredictionConfig,
    "generator": GeneratorConfig,
    "images": ImagesConfig,
    "refinement": RefinementConfig,
    "speech": SpeechConfig,
    "tabular": TabularConfig,
}


def model_for(data: Mapping[str, Any], where: str) -> type[AnyConfig]:
    """Return the type of an analysis file, by its `kind` (events if it has none).

    Raises:
        ConfigError: the kind is unknown.

    """
    kind = data.get("kind", "events")
    if not isinstance(kind, str) or kind not in KINDS:
        hint = nearest(str(kind), KINDS) or f" There are: {', '.join(KINDS)}."
        raise ConfigError(f"{where}: kind: {kind!r} is no kind of data.{hint}")
    return KINDS[kind]
