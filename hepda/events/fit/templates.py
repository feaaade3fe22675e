"""Templates of the nominal domain from scores, and the contents of the other domains in the same bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.events.systematics import (
    NormSystematic,
    ShapeSystematic,
    TwoPointSystematic,
    WeightSystematic,
)
from hepda.errors import DataError
from hepda.evaluation.arrays import histogram
from hepda.evaluation.fits.binning import automatic_edges
from hepda.evaluation.fits.templates import SampleTemplate, Templates, rebin, two_point, usable_bins
from hepda.events.domains.blinding import BLINDED
from hepda.events.domains.roles import blinded_domains, borrowed, with_counterpart
from hepda.events.domains.spec import Domains
from hepda.events.specs import SystematicsSpec
from hepda.events.table.feature_table import FeatureTable

Array = NDArray[Any]
Contents = tuple[Array, Array]  # sumw, sumw2 [b]
Events = tuple[Array, Array]  # score, weight [n]
TRUTHS = (0.0, 1.0, 2.0)
"""Signal strengths of pseudo-data that are made from simulation."""


@dataclass(frozen=True, slots=True, eq=False)
class PseudoData:
    """The contents of a domain in the bins of the templates.

    A class without events is None; `observed` has the counts if the domain is data. Pseudo-data whose truth is known
    have both the classes and the counts.
    """

    signal: Contents | None = None
    background: Contents | None = None
    observed: Array | None = None  # [b]

    def at(self, mu: float) -> Contents | None:
        """Return contents and sumw2 [b] with the signal scaled by mu; None if there is no signal to scale."""
        if (self.signal is None and mu != 0) or self.background is None:
            return None
        if self.signal is None:
            return self.background
        (s, s2), (b, b2) = self.signal, self.background
        return mu * s + b, mu**2 * s2 + b2

    def merged(self, kept: NDArray[np.intp]) -> PseudoData:
        """Return the same contents in wider bins."""

        def wider(contents: Contents | None) -> Contents | None:
            return None if contents is None else (rebin(contents[0], kept), rebin(contents[1], kept))

        observed = None if self.observed is None else rebin(self.observed, kept)
        return PseudoData(wider(self.signal), wider(self.background), observed)


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The templates and pseudo-data of one model."""

    model: str
    templates: Templates  # with every systematic
    two_points: tuple[str, ...]  # names of the systematics that are another generator
    domains: Mapping[str, PseudoData]  # used as data, the source first
    excluded: Mapping[str, str]  # domains that are not used as data, with the reason
    merged: int  # bins that were joined to a neighbour

    @property
    def unaware(self) -> Templates:
        """Return the templates without the systematics that are another generator."""
        names = set(self.two_points)
        return Templates(
            self.templates.edges,
            tuple(
                replace(s, shapes={n: v for n, v in s.shapes.items() if n not in names}) for s in self.templates.samples
            ),
        )


@dataclass(frozen=True, slots=True, eq=False)
class ScoredEvents:
    """The events of a run with the score of one model, and their variations.

    score [n]; varied: (sample, systematic, side) -> score and weight of the varied events; factors: (sample,
    "systematic:side") -> factors on the weights of the sample's nominal events; truth [n]: labels, including those of
    pseudo-data whose truth is known (`hepda.events.fit.truth`).
    """

    domains: Domains
    systematics: SystematicsSpec
    table: FeatureTable
    model: str
    score: Array
    varied: Mapping[tuple[str, str, str], Events]
    factors: Mapping[tuple[str, str], Array]
    truth: Array | None = None

    def region(self) -> Region:
        """Return templates and pseudo-data in automatic bins; bins that no fit can use are merged.

        The bins are chosen on the validation half of the hash, as in the evaluation, and used for all events.

        Raises:
            DataError: there are no such bins, or a template has no positive sum.

        """
        nominal, table = self.domains.nominal, self.table
        inner = table.of_domain(nominal) & (table.label >= 0)
        chooser = inner & table.validation
        edges = automatic_edges(self.score[chooser], table.label[chooser], table.weight[chooser])
        samples = {name: self._sample(name, edges) for name in self.systematics.templates}
        hidden = dict.fromkeys(blinded_domains(self.domains, table), BLINDED) | self.domains.unknown_composition
        domains = {d: self._pseudo_data(d, edges) for d in table.domain_names if d not in hidden}
        pseudo_data = [
            contents[0] for data in domains.values() for mu in TRUTHS if (contents := data.at(mu)) is not None
        ]
        if "signal" not in self.systematics.templates.values():
            raise DataError(f"the domain {nominal!r} has no signal sample; there is no strength to fit")
        two_sided = Templates(edges, tuple(sample for sample, _ in samples.values()))
        remaining = usable_bins(two_sided, others=pseudo_data)
        pseudo_data = [rebin(other, remaining) for other in pseudo_data]
        wide = {
            name: (s.merged(remaining), {w: rebin(up, remaining) for w, up in ups.items()})
            for name, (s, ups) in samples.items()
        }
        domains = {name: data.merged(remaining) for name, data in domains.items()}
        full = Templates(edges[remaining], tuple(self._complete(wide, name, edges[remaining]) for name in wide))
        remaining = usable_bins(full, others=pseudo_data)
        return Region(
            self.model,
            full.merged(remaining),
            tuple(n for n, s in self.systematics.sections.items() if isinstance(s, TwoPointSystematic)),
            {name: data.merged(remaining) for name, data in domains.items()},
            hidden,
            len(edges) - len(remaining),
        )

    def _binned(self, mask: NDArray[np.bool_], edges: Array, factor: Array | None = None) -> Contents:
        weight = self.table.weight[mask]
        return _histogram((self.score[mask], weight if factor is None else weight * factor), edges)

    def _sample(self, name: str, edges: Array) -> tuple[SampleTemplate, dict[str, Array]]:
        """Return the template of a sample with its two-sided variations, and the `up` [b] of its one-sided ones."""
        mask = self.table.of_samples([name])
        sumw, sumw2 = self._binned(mask, edges)
        shapes: dict[str, tuple[Array, Array]] = {}
        norms: dict[str, tuple[float, float]] = {}
        one_sided: dict[str, Array] = {}
        for what, section in self.systematics.sections.items():
            if name not in self.systematics.varied_samples(what) or isinstance(section, TwoPointSystematic):
                continue
            if isinstance(section, NormSystematic):
                norms[what] = (1 + section.value, 1 / (1 + section.value))
                continue
            sides = ("up",) if section.down is None else ("up", "down")
            contents = [self._side(section, name, what, side, edges) for side in sides]
            if len(contents) == 1:
                one_sided[what] = contents[0]
            else:
                shapes[what] = (contents[0], contents[1])
        is_signal = self.systematics.templates[name] == "signal"
        return SampleTemplate(name, is_signal, sumw, sumw2, shapes, norms), one_sided

    def _side(
        self, section: ShapeSystematic | WeightSystematic, name: str, what: str, side: str, edges: Array
    ) -> Array:
        if isinstance(section, WeightSystematic):
            return self._binned(self.table.of_samples([name]), edges, self.factors[name, f"{what}:{side}"])[0]
        return _histogram(self.varied[name, what, side], edges)[0]

    def _complete(
        self, samples: Mapping[str, tuple[SampleTemplate, Mapping[str, Array]]], name: str, edges: Array
    ) -> SampleTemplate:
        """Return a template including its one-sided variations, in the order of the analysis file."""
        sample, one_sided = samples[name]
        shapes: dict[str, tuple[Array, Array]] = {}
        for what, section in self.systematics.sections.items():
            if what in sample.shapes:
                shapes[what] = sample.shapes[what]
            elif what in one_sided:
                shapes[what] = two_point(sample.sumw, one_sided[what], rate=True)
            elif isinstance(section, TwoPointSystematic) and name in self._with_counterpart(what, section, name)[0]:
                shapes[what] = self._two_point(samples, name, what, section, edges)
        return replace(sample, shapes=shapes)

    def _two_point(
        self,
        samples: Mapping[str, tuple[SampleTemplate, Mapping[str, Array]]],
        name: str,
        what: str,
        section: TwoPointSystematic,
        edges: Array,
    ) -> tuple[Array, Array]:
        """Return the variations of a sample by a two-point systematic.

        The varied samples of a class change together as their counterparts do; each of the samples by the same share in
        a bin.
        """
        varied, counterparts = self._with_counterpart(what, section, name)
        nominal = np.sum([samples[s][0].sumw for s in varied], axis=0)
        other = self._binned(self.table.of_samples(counterparts), edges)[0]
        sample = samples[name][0].sumw
        up, down = two_point(nominal, other, rate=section.rate)
        share = np.divide(sample, nominal, out=np.zeros_like(nominal), where=nominal != 0)
        return share * up, share * down

    def _with_counterpart(
        self, what: str, section: TwoPointSystematic, name: str
    ) -> tuple[Sequence[str], Sequence[str]]:
        """Return the samples that a two-point systematic varies, and their counterparts.

        The varied samples have the class of `name`; the counterparts are the samples of the same processes of the other
        generator. A sample without a counterpart is not varied.

        Raises:
            DataError: none of the samples has a counterpart.

        """
        classes = self.systematics.templates
        class_name = classes[name]
        varied = [sample for sample in self.systematics.varied_samples(what) if classes[sample] == class_name]
        if not varied:
            return (), ()
        counterparts = self.domains.counterparts_of(section.domain, class_name)
        pairs = [sides for sides in counterparts.processes.values() if set(sides[0]) & set(varied)]
        if not pairs:
            why = (
                counterparts.why
                or f"{', '.join(varied)} has no counterpart in {section.domain}; take it out of `samples`"
            )
            raise DataError(f"systematics.{what}: {why}.")
        matched = {sample for nominal_samples, _ in pairs for sample in nominal_samples}
        return [sample for sample in varied if sample in matched], [
            sample for _, other_samples in pairs for sample in other_samples
        ]

    def _pseudo_data(self, domain: str, edges: Array) -> PseudoData:
        """Return the contents of a domain.

        Processes that the domain does not have are taken from the source; those that the source does not have are left
        out.
        """
        table = self.table
        mask = table.of_domain(domain)
        if domain != self.domains.nominal:
            mask = with_counterpart(self.domains, table, domain) | borrowed(self.domains, table, domain)
        observed = self._binned(mask, edges)[0] if np.all(table.label[mask] < 0) else None
        label_of_event = table.label if self.truth is None else self.truth
        if np.any(label_of_event[mask] < 0):
            return PseudoData(observed=observed)
        signal, background = (
            self._binned(of_class, edges) if (of_class := mask & (label_of_event == label)).any() else None
            for label in (1, 0)
        )
        return PseudoData(signal, background, observed)


def _histogram(events: Events, edges: Array) -> Contents:
    """Return the contents of the bins; the first and the last bin are open."""
    return histogram(np.asarray(events[0], np.float64), np.asarray(events[1], np.float64), edges)
