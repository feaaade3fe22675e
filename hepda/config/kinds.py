"""The kinds of data that an analysis file can have, each with its type; `kind:` selects one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hepda.config.event_generator.analysis import EventGeneratorConfig
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
    | EventGeneratorConfig
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
OF_EVENTS: dict[str, type[AnyConfig]] = {"generator": EventGeneratorConfig}
"""The types of kinds whose rows may be events: those of a file with the key `OF_ANALYSIS`."""
OF_ANALYSIS = "analysis"
_OF_EVENTS = "_of_events"
TYPES: dict[str, type[AnyConfig]] = KINDS | {f"{name}{_OF_EVENTS}": of for name, of in OF_EVENTS.items()}
"""All types of analysis files; one that is of a kind and of events has a name of both."""


def type_name(data: Mapping[str, Any], kind: str) -> str:
    """Return the name in TYPES of an analysis file of a kind."""
    return f"{kind}{_OF_EVENTS}" if kind in OF_EVENTS and OF_ANALYSIS in data else kind


def kind_and_analysis(name: str) -> tuple[str, bool | None]:
    """Return the kind of a type, and whether its files have an analysis of events; None: that tells no types apart."""
    kind = name.removesuffix(_OF_EVENTS)
    return kind, (name != kind if kind in OF_EVENTS else None)


def model_for(data: Mapping[str, Any], where: str) -> type[AnyConfig]:
    """Return the type of an analysis file, by its `kind` (events if it has none).

    Raises:
        ConfigError: the kind is unknown.

    """
    kind = data.get("kind", "events")
    if not isinstance(kind, str) or kind not in KINDS:
        hint = nearest(str(kind), KINDS) or f" There are: {', '.join(KINDS)}."
        raise ConfigError(f"{where}: kind: {kind!r} is no kind of data.{hint}")
    return OF_EVENTS[kind] if kind in OF_EVENTS and OF_ANALYSIS in data else KINDS[kind]
