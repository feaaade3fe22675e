"""The kinds of data that an analysis file may be of, each with its type: `kind:` tells them apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hepda.config.events.analysis import AnalysisConfig
from hepda.config.images import ImagesConfig
from hepda.config.speech import SpeechConfig
from hepda.errors import ConfigError, nearest

AnyConfig = AnalysisConfig | ImagesConfig | SpeechConfig
"""The type of an analysis file of any kind."""

KINDS: dict[str, type[AnyConfig]] = {"events": AnalysisConfig, "images": ImagesConfig, "speech": SpeechConfig}


def model_for(data: Mapping[str, Any], where: str) -> type[AnyConfig]:
    """The type of an analysis file, by its `kind` (events if it says none). Raises ConfigError for an unknown one."""
    kind = data.get("kind", "events")
    if not isinstance(kind, str) or kind not in KINDS:
        hint = nearest(str(kind), KINDS) or f" There are: {', '.join(KINDS)}."
        raise ConfigError(f"{where}: kind: {kind!r} is no kind of data.{hint}")
    return KINDS[kind]
