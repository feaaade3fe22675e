"""Systematic variations that are named by `<systematic>_up`, `<systematic>_down`, or `<systematic>` for both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hepda.config.events.systematics import ShapeSystematic, SystematicConfig, WeightSystematic
from hepda.config.problems import unknown

SIDES = ("up", "down")


@dataclass(frozen=True, slots=True)
class Variation:
    """One side of a systematic that varies events: `up` or `down`."""

    systematic: str
    side: str

    @property
    def name(self) -> str:
        """The name of the variation: `jes_up`."""
        return f"{self.systematic}_{self.side}"


def variations_of(systematics: Mapping[str, SystematicConfig], names: Iterable[str]) -> tuple[Variation, ...]:
    """Return the variations of these names that change events; others are left out (`problems_of_variations`)."""
    return tuple(
        variation
        for name in names
        for variation in _named(systematics, name)
        if _given(systematics[variation.systematic], variation.side)
    )


def _named(systematics: Mapping[str, SystematicConfig], name: str) -> tuple[Variation, ...]:
    if name in systematics:
        section = systematics[name]
        return tuple(Variation(name, side) for side in SIDES if _given(section, side))
    systematic, _, side = name.rpartition("_")
    return (Variation(systematic, side),) if systematic in systematics and side in SIDES else ()


def _given(section: SystematicConfig, side: str) -> bool:
    return isinstance(section, ShapeSystematic | WeightSystematic) and getattr(section, side) is not None


def problems_of_variations(
    path: str, systematics: Mapping[str, SystematicConfig], names: tuple[str, ...]
) -> Iterator[str]:
    """Yield a problem for each name that is no variation of events.

    Args:
        path: the key of the list.
        systematics: those of the analysis.
        names: the list.

    """
    if not names:
        yield f"{path}: is empty; name a systematic, or one side of it (`jes_up`)."
    for name in names:
        systematic = name if name in systematics else name.rpartition("_")[0]
        if systematic not in systematics or (name not in systematics and name.rpartition("_")[2] not in SIDES):
            known = [*systematics, *(f"{known}_{side}" for known in systematics for side in SIDES)]
            yield unknown(path, name, "systematic or a side of one (`jes_up`)", known)
            continue
        section = systematics[systematic]
        if not isinstance(section, ShapeSystematic | WeightSystematic):
            yield (
                f"{path}: {name!r} is of `kind: {section.kind}`, which changes no event of a sample; name a systematic "
                "of kind weight or shape."
            )
        elif name != systematic and not _given(section, name.rpartition("_")[2]):
            yield f"{path}: systematics.{systematic} has no `down`, so there is no {name!r}; name {systematic}_up."
    variations = [variation.name for variation in variations_of(systematics, names)]
    for name in dict.fromkeys(n for n in variations if variations.count(n) > 1):
        yield f"{path}: {name!r} is listed twice (`<systematic>` is both of its sides)."
