"""Two-point systematics in several regions: another generator up, its mirror image down.

With `rate: false` the other generator is scaled to the nominal sum of all fitted regions together, so that migration
between regions is a part of the shape; where regions are not correlated, each has a sum and a parameter of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from hepda.config.events.systematics import RATE, SHAPE, TwoPointSystematic, parameter_name, parts_of
from hepda.errors import DataError
from hepda.evaluation.fits.channels import Variation, two_point
from hepda.events.domains.counterparts import ClassName
from hepda.events.domains.spec import Domains
from hepda.events.specs import SystematicsSpec
from hepda.results.evaluation import FloatArray


@dataclass(frozen=True, slots=True)
class Group:
    """Samples that change together as their counterparts in the other generator do."""

    varied: tuple[str, ...]
    counterparts: tuple[str, ...]


def groups_of(domains: Domains, systematics: SystematicsSpec, name: str, section: TwoPointSystematic) -> list[Group]:
    """Return the samples that a two-point systematic varies, with their counterparts.

    All samples of a class are one group, or each process is one where processes are not correlated. A sample without a
    counterpart is not varied.

    Args:
        domains: which samples of two domains are of the same process.
        systematics: the samples of the templates.
        name: the systematic.
        section: its section.

    Raises:
        DataError: none of the samples of a class has a counterpart.

    """
    groups = []
    class_names: tuple[ClassName, ...] = ("signal", "background")
    for class_name in class_names:
        varied = [s for s in systematics.varied_samples(name) if systematics.templates[s] == class_name]
        if not varied:
            continue
        counterparts = domains.counterparts_of(section.domain, class_name)
        pairs = [sides for sides in counterparts.processes.values() if set(sides[0]) & set(varied)]
        if not pairs:
            why = (
                counterparts.why
                or f"{', '.join(varied)} has no counterpart in {section.domain}; take it out of `samples`"
            )
            raise DataError(f"systematics.{name}: {why}.")
        if not section.correlated.processes:
            groups += [Group(tuple(s for s in varied if s in sides[0]), tuple(sides[1])) for sides in pairs]
            continue
        matched = {sample for nominal_samples, _ in pairs for sample in nominal_samples}
        others = tuple(sample for _, other_samples in pairs for sample in other_samples)
        groups.append(Group(tuple(s for s in varied if s in matched), others))
    return groups


def parameters_of(systematics: SystematicsSpec, regions: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the names of the parameters of each two-point systematic, in any region."""
    return {
        name: tuple(
            dict.fromkeys(
                parameter_name(name, section, systematics.processes.get(sample, sample), region, part)
                for sample in systematics.varied_samples(name)
                for region in regions
                for part in parts_of(section)
            )
        )
        for name, section in systematics.sections.items()
        if isinstance(section, TwoPointSystematic)
    }


@dataclass(frozen=True, slots=True, eq=False)
class GroupVariation:
    """The variation of a group by region: contents up and down [b], and factors on the rate if they are apart."""

    contents: Mapping[str, Variation]
    rates: Mapping[str, tuple[float, float]]

    @classmethod
    def of(
        cls,
        section: TwoPointSystematic,
        nominal: Mapping[str, FloatArray],
        other: Mapping[str, FloatArray],
        fitted: Collection[str],
    ) -> GroupVariation:
        """Return the variation.

        Args:
            section: the systematic.
            nominal: contents [b] of the group by region.
            other: contents [b] of the counterparts in the same regions.
            fitted: the regions whose sums count; the others follow.

        Raises:
            DataError: a sum of weights is not positive.

        """
        correlated = section.correlated.regions and any(region in fitted for region in nominal)
        together = [[r for r in nominal if r in fitted]] if correlated else [[region] for region in nominal]
        contents: dict[str, Variation] = {}
        rates: dict[str, tuple[float, float]] = {}
        for regions in together:
            n, o = (np.concatenate([part[region] for region in regions]) for part in (nominal, other))
            up, down = two_point(n, o, rate=section.rate is True)
            ends = np.cumsum([len(nominal[region]) for region in regions])[:-1]
            contents |= dict(zip(regions, zip(np.split(up, ends), np.split(down, ends), strict=True), strict=True))
            following = [r for r in nominal if r not in fitted] if correlated else []
            contents |= {r: _following(section, (n, o), (nominal[r], other[r])) for r in following}
            if section.rate == "apart":
                ratio = float(o.sum() / n.sum())
                rates |= dict.fromkeys([*regions, *following], (ratio, 1 / ratio))
        return cls(contents, rates)


def _following(
    section: TwoPointSystematic, sums: tuple[FloatArray, FloatArray], own: tuple[FloatArray, FloatArray]
) -> Variation:
    """Return the variation of a region that is not fitted, with the scales of those that are.

    sums, own: nominal and other contents of the fitted regions, and of this one.
    """
    if section.rate is True:
        return two_point(*own, rate=True)
    (n, o), (nominal, other) = sums, own
    scale = n.sum() / o.sum()
    mirrored = two_point(n, o * scale, rate=True)[1]
    up, down = two_point(nominal, other * scale, rate=True)
    return up, np.asarray(down * (n.sum() / mirrored.sum()))


def names_of(name: str, section: TwoPointSystematic, process: str, region: str) -> tuple[str, str | None]:
    """Return the parameter of the contents, and that of the rate if it is apart."""
    if section.rate != "apart":
        return parameter_name(name, section, process, region), None
    return (
        parameter_name(name, section, process, region, SHAPE),
        parameter_name(name, section, process, region, RATE),
    )
