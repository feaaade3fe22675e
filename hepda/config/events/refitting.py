"""Another `fit:` and other `systematics:` for a finished run: the analysis files may differ in nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hepda.config.events.analysis import AnalysisConfig
from hepda.errors import ConfigError

OF_FIT = ("fit", "systematics")
"""Sections that a fit alone uses."""
_LOOKS = ("plots", "luminosity_label", "energy", "experiment_label")
_LOOKS_OF_SAMPLES = ("label", "color")
_OF_A_RUN = ("seed",)
"""Usually given with `--set` of the training; the fit uses those of the run."""
_OF_A_MACHINE = ("processes",)
"""Keys of `training` that change no number."""


def with_fit_of(trained: AnalysisConfig, other: AnalysisConfig) -> AnalysisConfig:
    """Return the analysis of a run with the fit and the systematics of another analysis file.

    Args:
        trained: the analysis file of the run.
        other: the other analysis file. Its labels, colours, `plots`, `seed` and `processes` are not used.

    Raises:
        ConfigError: the files differ in a key that scores or numbers of the run depend on.

    """
    first = next(_differences(_compared(trained), _compared(other)), None)
    if first is not None:
        path, before, now = first
        raise ConfigError(
            f"--config: {path} is {_text(now)}, and the run was trained with {_text(before)}: a fit may have another "
            "`fit` and other `systematics` only. Take them over from the run's config.yaml (`include:` it), or train "
            "again."
        )
    return trained.model_copy(update={key: getattr(other, key) for key in OF_FIT})


def _compared(config: AnalysisConfig) -> dict[str, Any]:
    content = config.model_dump(mode="json", by_alias=True, exclude={*OF_FIT, *_LOOKS, *_OF_A_RUN})
    for training in (content["training"], *(model.get("training") for model in content["models"].values())):
        for key in _OF_A_MACHINE:
            (training or {}).pop(key, None)
    for sample in content["samples"].values():
        for key in _LOOKS_OF_SAMPLES:
            sample.pop(key, None)
    return content


_ABSENT = object()


def _differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the keys with different values, with both values; the order of names counts."""
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        if before != now:
            yield path, before, now
        return
    for key in dict.fromkeys([*before, *now]):
        inner = f"{path}.{key}" if path else str(key)
        yield from _differences(before.get(key, _ABSENT), now.get(key, _ABSENT), inner)
    if list(before) != list(now):
        yield path, list(before), list(now)


def _text(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
