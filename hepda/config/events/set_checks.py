"""Checks of the collections of an analysis, and of the set encoders that read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hepda.config.events.model_checks import MOST_WEIGHTS, methods_of
from hepda.config.models import NetworkConfig
from hepda.config.problems import duplicates, no_feature, unknown
from hepda.config.sets import SetEncoder, TransformerConfig

if TYPE_CHECKING:
    from hepda.config.events.analysis import AnalysisConfig

_MOVES_INPUTS = ("vat", "vada")
"""Methods that move every input by a small step: also the places without an object, and numbers of objects."""


def collections(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for each component of a four-momentum that is no feature of its collection."""
    for name, section in config.collections.items():
        for feature in section.four_momentum or ():
            if feature != 0 and feature not in section.features:
                where = f"collections.{name}.four_momentum"
                yield unknown(where, str(feature), f"feature of {name}", section.features)


def encoders(config: AnalysisConfig) -> Iterator[str]:
    """Yield the problems of the set encoders of all models."""
    for model, section in config.models.items():
        encoder = section.set_encoder if isinstance(section, NetworkConfig) else None
        if encoder is None or not isinstance(section, NetworkConfig):
            continue
        path = f"models.{model}.encoder"
        yield from _inputs(config, path, encoder)
        yield from _shape(path, encoder)
        if isinstance(encoder, TransformerConfig) and encoder.pair_features:
            yield from _pairs(config, path, encoder)
        if section.domain is not None:
            for method in methods_of(section.domain):
                if method in _MOVES_INPUTS:
                    yield (
                        f"models.{model}.domain.method: {method!r} moves every input a little, which sets of objects "
                        "do not allow (their number, tags); take another method, or flat features."
                    )


def _inputs(config: AnalysisConfig, path: str, encoder: SetEncoder) -> Iterator[str]:
    yield from duplicates(f"{path}.collections", encoder.collections)
    for name in encoder.collections:
        if name not in config.collections:
            yield unknown(f"{path}.collections", name, "collection", config.collections)
    yield from duplicates(f"{path}.features", encoder.features)
    for name in encoder.features:
        if name not in config.features:
            yield no_feature(f"{path}.features", name, config.features, config.variables, "feature of this analysis")


def _shape(path: str, encoder: SetEncoder) -> Iterator[str]:
    width, parts = encoder.width, len(encoder.collections)
    if isinstance(encoder, TransformerConfig):
        if width % encoder.heads:
            yield f"{path}.heads: the width, {width}, cannot be divided among {encoder.heads} heads; change one."
        weights = width**2 * (encoder.layers * (4 + 2 * encoder.feed_forward) + 2 * parts)
    else:
        weights = width**2 * (encoder.layers * (1 + parts) + parts)
    if weights > MOST_WEIGHTS:
        yield f"{path}: has {weights:.3g} weights, and at most {MOST_WEIGHTS:.3g} are trained; take narrower layers."


def _pairs(config: AnalysisConfig, path: str, encoder: TransformerConfig) -> Iterator[str]:
    read = [(name, config.collections[name]) for name in encoder.collections if name in config.collections]
    without = [name for name, section in read if section.four_momentum is None]
    for name in without:
        yield (
            f"{path}.pairwise: needs `four_momentum` of the collection {name!r} (0 stands for a component that is 0); "
            "give it, or set `pairwise: false`."
        )
    if not without and len(read) == len(encoder.collections) and sum(section.size for _, section in read) < 2:
        yield f"{path}.pairwise: an event has one object only, so no pairs; set `pairwise: false`."
    if encoder.layers < 2:
        yield f"{path}.layers: pairs bias the blocks before the last; take 2 or more, or `pairwise: false`."


def categories(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for each categorical feature that is none of the features, or that a model cannot take."""
    for name, values in config.categories.items():
        if name not in config.features:
            yield no_feature("categories", name, config.features, config.variables, "feature of this analysis")
        for value in sorted({value for value in values if values.count(value) > 1}):
            yield f"categories.{name}: {value} is listed twice."
    for model, section in config.models.items():
        if not isinstance(section, NetworkConfig) or not config.categories:
            continue
        read = () if section.set_encoder is None else section.set_encoder.features
        for name in (name for name in read if name in config.categories):
            yield (
                f"models.{model}.encoder.features: {name!r} is a category, and an encoder of sets takes flat features "
                "as numbers; leave it out, or take `encoder: [widths]`."
            )
        for method in () if section.domain is None else methods_of(section.domain):
            if section.set_encoder is None and method in _MOVES_INPUTS:
                yield (
                    f"models.{model}.domain.method: {method!r} moves every input a little, which categories do not "
                    "allow; take another method, or remove `categories`."
                )


CHECKS = (categories, collections, encoders)
