"""The variations of a scan: `--vary key=values` as typed values, checked against the analysis file."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hepda.adversarial.methods import METHODS
from hepda.config.differences import value_at
from hepda.config.events.analysis import AnalysisConfig
from hepda.config.events.model_checks import methods_of, without_effect
from hepda.config.models import DomainConfig, EventFusionConfig, NetworkConfig
from hepda.config.yaml_text import parse
from hepda.errors import ConfigError, nearest

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"^\s*({_NUMBER}):({_NUMBER})(?::(\w+))?\s*$")


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from low to high, uniform in the value or its logarithm; integers if both ends are integers."""

    low: float
    high: float
    log: bool = False

    @property
    def integer(self) -> bool:
        """Whether only integers are allowed."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}{':log' if self.log else ''}"


@dataclass(frozen=True, slots=True)
class Vary:
    """A key and its values: those of a grid, or a range for a guided search."""

    key: str
    values: tuple[Any, ...] = ()
    range: Range | None = None

    @property
    def model(self) -> str | None:
        """The model that the key belongs to, None for a key of the analysis."""
        parts = self.key.split(".")
        return parts[1] if parts[0] == "models" and len(parts) > 2 else None

    @property
    def option(self) -> str:
        """The name of the option in messages."""
        return f"--vary {self.key}"

    def ends(self) -> tuple[Any, ...]:
        """Return values that the config has to accept: all of a grid, both ends of a range."""
        return self.values if self.range is None else (self.range.low, self.range.high)


def parse_vary(text: str) -> Vary:
    """Parse `key=v1,v2,...` with YAML values, or `key=low:high[:log]`.

    Raises:
        ConfigError: the text has neither form, or contains a value twice.

    """
    key, equals, values = text.partition("=")
    key = key.strip()
    if not equals or not values.strip() or not all(key.split(".")):
        raise ConfigError(f"--vary {text}: is not of the form key.key=value,value,... or key.key=low:high[:log].")
    match = _RANGE.match(values)
    if match:
        return Vary(key, range=_range(text, *match.groups()))
    listed, _ = parse(f"[{values}]", f"--vary {text}")
    texts = [json.dumps(value) for value in listed]
    for value in texts:
        if texts.count(value) > 1:
            raise ConfigError(f"--vary {text}: {value} is listed twice.")
    return Vary(key, tuple(listed))


def _range(text: str, low: str, high: str, scale: str | None) -> Range:
    if scale not in (None, "log", "linear"):
        raise ConfigError(f"--vary {text}: the scale of a range is log or linear, not {scale!r}.")
    first, last = (int(end) if re.fullmatch(r"[-+]?\d+", end) else float(end) for end in (low, high))
    if not first < last or (scale == "log" and first <= 0) or not math.isfinite(last):
        raise ConfigError(f"--vary {text}: a range goes from a smaller to a larger number, above 0 for log.")
    return Range(first, last, scale == "log")


def overrides(values: Mapping[str, Any]) -> list[str]:
    """Return values by key as texts for `--set` (JSON is YAML)."""
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def check_vary(config: AnalysisConfig, varied: Sequence[Vary], *, guided: bool) -> None:
    """Check the varied keys against the analysis.

    Args:
        config: the analysis.
        varied: the varied keys.
        guided: whether the scan is a guided search, which ranges need.

    Raises:
        ConfigError: a key does not exist or is given twice, or there is a range without a guided search.

    """
    for vary in varied:
        value_at(config, vary.key, vary.option)
        if sum(other.key == vary.key for other in varied) > 1:
            raise ConfigError(f"{vary.option}: is given twice; list all values in one.")
        if vary.range is not None and not guided:
            raise ConfigError(
                f"{vary.option}={vary.range}: a range is for a guided search (--guided N); list values, or give the "
                "number of trials."
            )


def scanned_models(
    config: AnalysisConfig, varied: Sequence[Vary], named: Sequence[str] | None, methods: Sequence[str]
) -> list[str]:
    """Return the models that a scan trains.

    They are those named; or those whose keys are varied; or, with methods, those with a domain section; or all. A
    fusion, which has no trainings, is none of them.

    Args:
        config: the analysis.
        varied: the varied keys.
        named: names of `--models`, None if the option is not given.
        methods: names of `--methods`.

    Raises:
        ConfigError: a name is not that of a model, a model is a fusion, a model has no domain that methods could act
            on, or a model has a varied key but is not scanned.

    """
    known = [name for name, section in config.models.items() if section.kind != "fusion"]
    for name in (*(named or ()), *(vary.model for vary in varied if vary.model is not None)):
        if isinstance(section := config.models.get(name), EventFusionConfig):
            raise ConfigError(
                f"--models: {name!r} is a fusion, which has no trainings; scan the models that it fuses: "
                f"{', '.join(section.of)}."
            )
    for name in named or ():
        if name not in known:
            hint = nearest(name, known) or f" There are: {', '.join(known)}."
            raise ConfigError(f"--models: there is no model {name!r}.{hint}")
    varied_models = list(dict.fromkeys(vary.model for vary in varied if vary.model is not None))
    for name in (*(named or ()), *varied_models):
        if name in known and name not in config.classifiers:
            raise ConfigError(
                f"models.{name}: predicts a number (`regress`), and a scan chooses by the AUC and the differences of "
                "scores; scan models that predict classes."
            )
    known = list(config.classifiers)
    if not known:
        raise ConfigError("models: all predict a number (`regress`), and a scan chooses by the AUC of scores.")
    with_domain = [
        name
        for name, section in config.models.items()
        if isinstance(section, NetworkConfig) and section.domain is not None and section.regress is None
    ]
    models = list(named or varied_models or (with_domain if methods else known))
    for vary in varied:
        if vary.model is not None and vary.model not in models:
            raise ConfigError(f"{vary.option}: {vary.model} is not among --models {','.join(models)}.")
    for name in models:
        if methods and name not in with_domain:
            hint = f"; name models that have one with --models: {', '.join(with_domain)}" if with_domain else ""
            raise ConfigError(f"--methods: the model {name!r} has no `domain:` that a method could act on{hint}.")
    return models


def grid(varied: Sequence[Vary], model: str, methods: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the values by key of every point of a model.

    The keys are its own and those of the whole analysis; methods vary slowest.
    """
    keys = [vary for vary in varied if vary.model in (None, model)]
    lists: list[Sequence[Any]] = [vary.values for vary in keys]
    names = [vary.key for vary in keys]
    if methods:
        names, lists = [method_key(model), *names], [list(methods), *lists]
    for chosen in itertools.product(*lists):
        yield dict(zip(names, chosen, strict=True))


def left_out(config: AnalysisConfig, model: str, method: str) -> dict[str, Any]:
    """Return the keys of a model's domain section that another method does not read, with their defaults.

    For `mdd`, which reads a single width, `head` is cut to its first width.

    Args:
        config: the analysis.
        model: the name of the model.
        method: the other method, or several joined by commas.

    Returns:
        Values by dotted key; empty for a model without a domain section and for an unknown method.

    """
    section = config.models[model]
    domain = section.domain if isinstance(section, NetworkConfig) else None
    if domain is None or not set(methods_of(domain.model_copy(update={"method": method}))) <= set(METHODS):
        return {}  # loading the config reports the unknown method
    defaults = DomainConfig.model_fields
    values = {key: defaults[key].default for key in without_effect(domain, method)}
    if method == "mdd" and len(domain.head) != 1 and "head" in domain.model_fields_set:
        values["head"] = domain.head[:1]
    return {f"models.{model}.domain.{key}": value for key, value in values.items()}


def method_key(model: str) -> str:
    """Return the key of the method in the domain section of a model."""
    return f"models.{model}.domain.method"


def strength_key(model: str) -> str:
    """Return the key of the strength of adaptation, along which curves are drawn."""
    return f"models.{model}.domain.strength"
