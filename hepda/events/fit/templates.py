"""Templates of the nominal domain in the regions of a fit, and the contents of the other domains in the same bins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.events.systematics import (
    FreeSystematic,
    NormSystematic,
    ShapeSystematic,
    TwoPointSystematic,
    WeightSystematic,
    parameter_name,
)
from hepda.errors import DataError
from hepda.evaluation.arrays import bin_index, histogram
from hepda.evaluation.fits.channels import Channel, SampleTemplate, Variation, rebin, two_point, usable_bins
from hepda.evaluation.fits.preparation.pruning import pruned
from hepda.evaluation.fits.preparation.smoothing import smoothed
from hepda.evaluation.fits.studies.origins import ProcessContents
from hepda.evaluation.fits.templates import Templates
from hepda.events.domains.blinding import BLINDED
from hepda.events.domains.roles import blinded_domains, borrowed, with_counterpart
from hepda.events.domains.spec import Domains
from hepda.events.fit.composition import events_by_process, true_rates
from hepda.events.fit.inputs import TRUTHS, Contents, FitInput, FittedRegion, PseudoData
from hepda.events.fit.regions import Events, Outputs, edges_of, in_region
from hepda.events.fit.replicas import PseudoEvents
from hepda.events.fit.two_points import GroupVariation, groups_of, names_of, parameters_of
from hepda.events.specs import FitSpec, RegionSpec, SystematicsSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.results.fits import Pruned, Smoothed

log = logging.getLogger(__name__)
Array = NDArray[Any]
Mask = NDArray[np.bool_]
_BLOCK = 1_000_000
"""Number of events that are put into bins at once."""
NO_EVENTS = "it has no events here"
NOT_POSITIVE = "its weights do not add up to more than 0 here"


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """A region while its templates are made.

    inside, value [n]: its events and their variable; up: by sample and parameter, the contents [b] of variations with
    one side; bins: their number before any was merged.
    """

    spec: RegionSpec
    inside: Mask
    value: Array
    edges: Array
    bins: int
    samples: Mapping[str, SampleTemplate]
    up: Mapping[tuple[str, str], Array]
    domains: Mapping[str, PseudoData]
    omitted: Mapping[str, str]
    blinded: Mapping[str, str]

    @property
    def channel(self) -> Channel:
        """Return the templates with the variations that are complete so far."""
        return Channel(self.spec.name, self.edges, tuple(self.samples.values()))

    def merged(self) -> _Region:
        """Return the region with bins that no fit can use merged."""
        truths = [data.at(mu) for data in self.domains.values() for mu in TRUTHS]
        kept = usable_bins(self.channel, others=[contents[0] for contents in truths if contents is not None])
        return replace(
            self,
            edges=self.edges[kept],
            samples={name: sample.merged(kept) for name, sample in self.samples.items()},
            up={key: rebin(contents, kept) for key, contents in self.up.items()},
            domains={name: data.merged(kept) for name, data in self.domains.items()},
        )


@dataclass(frozen=True, slots=True, eq=False)
class ScoredEvents:
    """The events of a run with the outputs of one model, and their variations.

    varied: (sample, systematic, side) -> by region, the varied events; factors: (sample, "systematic:side") -> factors
    on the weights of the sample's nominal events; truth [n]: labels, including those of pseudo-data whose truth is
    known (`hepda.events.fit.truth`); true_class [n]: the same for the index of the class, if it is known.
    """

    domains: Domains
    systematics: SystematicsSpec
    table: FeatureTable
    outputs: Outputs
    varied: Mapping[tuple[str, str, str], Mapping[str, Events]]
    factors: Mapping[tuple[str, str], Array]
    truth: Array | None = None
    fit: FitSpec = field(default_factory=FitSpec)
    true_class: Array | None = None

    def input(self) -> FitInput:
        """Return templates and pseudo-data of every region; bins that no fit can use are merged.

        Bins are chosen on the validation half of the hash, as in the evaluation, and used for all events.

        Raises:
            ConfigError: the model does not have an output that a region needs.
            DataError: a region has no usable bins, or a template has no positive sum.

        """
        if "signal" not in self.systematics.templates.values():
            raise DataError(f"the domain {self.domains.nominal!r} has no signal sample; there is no strength to fit")
        specs = self.fit.regions.values()
        regions = [self._of_region(spec, partial(self._made, spec)) for spec in specs]
        two_points = self._two_points(regions)
        complete = [replace(r, samples={n: self._complete(r, n, two_points) for n in r.samples}) for r in regions]
        smoothings: tuple[Smoothed, ...] = ()
        if self.fit.smoothing is not None:
            templates, smoothings = smoothed(Templates(tuple(region.channel for region in complete)))
            complete = [
                replace(region, samples={sample.name: sample for sample in channel.samples})
                for region, channel in zip(complete, templates.channels, strict=True)
            ]
        return self._joined([self._of_region(region.spec, region.merged) for region in complete], smoothings)

    def _joined(self, regions: Sequence[_Region], smoothings: tuple[Smoothed, ...]) -> FitInput:
        """Return all regions as the input of a fit, without effects that are pruned."""
        fitted = [region for region in regions if region.spec.fitted]
        excluded = {d: why for region in fitted for d, why in region.blinded.items()} | self.domains.unknown_composition
        domains = {
            domain: PseudoData.joined([region.domains[domain] for region in fitted])
            for domain in self.table.domain_names
            if domain not in excluded
        }
        of_regions = [(region.inside, region.samples) for region in fitted]
        specs = (self.domains, self.systematics)
        rates = {name: true_rates(name, of_regions, self.table, specs, self.true_class) for name in domains}
        channels = {region.spec.name: region.channel for region in regions}
        effects: tuple[Pruned, ...] = ()
        if self.fit.pruning is not None:
            templates = Templates(tuple(channels[region.spec.name] for region in fitted))
            templates, effects = pruned(templates, rate=self.fit.pruning.rate, shape=self.fit.pruning.shape)
            channels |= {channel.name: channel for channel in templates.channels}
        others = [n for n, d in domains.items() if d.background is not None and n != self.domains.nominal]
        return FitInput(
            self.outputs.model,
            tuple(
                FittedRegion(r.spec, channels[r.spec.name], r.bins + 1 - len(r.edges), r.domains, r.omitted, r.blinded)
                for r in regions
            ),
            parameters_of(self.systematics, list(self.fit.regions)),
            domains,
            excluded,
            effects,
            smoothings,
            rates,
            {name: self._events(fitted, name) for name in others},
            {name: processes for name in others if (processes := self._processes(fitted, name))},
        )

    def _of_region(self, spec: RegionSpec, function: Callable[[], _Region]) -> _Region:
        """Call a function; the message of a DataError gets the name of the region, if there are several."""
        try:
            return function()
        except DataError as reason:
            if len(self.fit.regions) == 1:
                raise
            raise DataError(f"fit.regions.{spec.name}: {reason}") from reason

    def _made(self, spec: RegionSpec) -> _Region:
        return self._region(spec).merged()

    def _region(self, spec: RegionSpec) -> _Region:
        """Return a region with its templates and their two-sided variations."""
        inside, value = in_region(spec, self.table, self.outputs)
        label = self.table.label
        nominal = self.table.of_domain(self.domains.nominal) & (label >= 0) & inside
        edges = edges_of(
            spec,
            self.outputs,
            value[nominal],
            label[nominal],
            self.table.weight[nominal],
            choosing=self.table.validation[nominal],
        )
        region = _Region(spec, inside, value, edges, len(edges) - 1, {}, {}, {}, {}, {})
        samples: dict[str, SampleTemplate] = {}
        up: dict[tuple[str, str], Array] = {}
        omitted: dict[str, str] = {}
        for name in self.systematics.templates:
            sumw, sumw2 = self._binned(region, self.table.of_samples([name]))
            if spec.is_part and not sumw.sum() > 0:
                omitted[name] = NOT_POSITIVE if sumw2.any() else NO_EVENTS
                continue
            samples[name], of_sample = self._sample(region, name, (sumw, sumw2))
            up |= of_sample
        if not samples:
            raise DataError("no sample has events with a positive sum of weights here; loosen the selection")
        blinded = self._blinded(region)
        unknown = self.domains.unknown_composition
        domains = {
            domain: self._pseudo_data(region, domain)
            for domain in self.table.domain_names
            if domain not in blinded and domain not in unknown
        }
        return replace(region, samples=samples, up=up, domains=domains, omitted=omitted, blinded=blinded)

    def _blinded(self, region: _Region) -> dict[str, str]:
        """Return the domains of data that may not be used in a region: in a signal region all, in others those of
        which a score is hidden.
        """
        hidden = blinded_domains(self.domains, self.table)
        if region.spec.role == "signal" or self.domains.hidden is None:
            return dict.fromkeys(hidden, BLINDED)
        low, high = self.domains.hidden
        concealed = {}
        for name in hidden:
            score = self.outputs.score[region.inside & self.table.of_domain(name)]
            score = np.asarray(score, np.float64)  # the ends are not rounded to the precision of scores
            if np.any((score >= low) & (score < high)):
                concealed[name] = BLINDED
        return concealed

    def _binned(self, region: _Region, mask: Mask, factor: Array | None = None) -> Contents:
        """Return the contents of events of a region. factor: on the weights of all events of `mask`."""
        sumw, sumw2 = np.zeros((2, len(region.edges) - 1))
        done = 0
        for rows in self._blocks():
            of_mask, inside = mask[rows], region.inside[rows]
            chosen = of_mask & inside
            weight = self.table.weight[rows][chosen]
            if factor is not None:
                factors = factor[done : done + np.count_nonzero(of_mask)]
                weight, done = weight * factors[inside[of_mask]], done + len(factors)
            contents = _histogram((region.value[rows][chosen], weight), region.edges)
            sumw, sumw2 = sumw + contents[0], sumw2 + contents[1]
        return sumw, sumw2

    def _blocks(self) -> Iterator[slice]:
        """Yield the rows of the table in blocks, so that what is made of them does not grow with the table."""
        n = len(self.table)
        return (slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))

    def _sample(
        self, region: _Region, name: str, contents: Contents
    ) -> tuple[SampleTemplate, dict[tuple[str, str], Array]]:
        """Return the template of a sample with its two-sided variations, and the `up` [b] of its one-sided ones."""
        shapes: dict[str, Variation] = {}
        norms: dict[str, tuple[float, float]] = {}
        one_sided: dict[tuple[str, str], Array] = {}
        is_signal = self.systematics.templates[name] == "signal"
        rate = self.systematics.strength_of(name)
        for what, section in self.systematics.sections.items():
            if name not in self.systematics.varied_samples(what) or isinstance(section, TwoPointSystematic):
                continue
            parameter = self._parameter(what, name, region)
            if isinstance(section, FreeSystematic):
                rate = parameter
                continue
            if isinstance(section, NormSystematic):
                norms[parameter] = (1 + section.value, 1 / (1 + section.value))
                continue
            sides = ("up",) if section.down is None else ("up", "down")
            varied = [self._side(section, name, what, side, region) for side in sides]
            if len(varied) == 1:
                one_sided[name, parameter] = varied[0]
            else:
                shapes[parameter] = (varied[0], varied[1])
        shapes = self._kept(region, name, shapes)
        return SampleTemplate(name, is_signal, *contents, shapes, norms, rate), one_sided

    def _parameter(self, what: str, sample: str, region: _Region) -> str:
        process = self.systematics.processes.get(sample, sample)
        return parameter_name(what, self.systematics.sections[what], process, region.spec.name)

    def _side(
        self, section: ShapeSystematic | WeightSystematic, name: str, what: str, side: str, region: _Region
    ) -> Array:
        if isinstance(section, WeightSystematic):
            return self._binned(region, self.table.of_samples([name]), self.factors[name, f"{what}:{side}"])[0]
        return _histogram(self.varied[name, what, side][region.spec.name], region.edges)[0]

    def _two_points(self, regions: Sequence[_Region]) -> dict[tuple[str, str, str], tuple[Variation, Any]]:
        """Return the variations by two-point systematics, by (systematic, region, sample): contents, and factors on
        the rate or None.

        The samples of a group change together; each of them by the same share in a bin.
        """
        fitted = {region.spec.name for region in regions if region.spec.fitted}
        variations: dict[tuple[str, str, str], tuple[Variation, Any]] = {}
        for what, section in self.systematics.sections.items():
            if not isinstance(section, TwoPointSystematic):
                continue
            for group in groups_of(self.domains, self.systematics, what, section):
                present = {r.spec.name: [s for s in group.varied if s in r.samples] for r in regions}
                having = {region.spec.name: region for region in regions if present[region.spec.name]}
                nominal = {
                    name: np.sum([region.samples[s].sumw for s in present[name]], axis=0)
                    for name, region in having.items()
                }
                mask = self.table.of_samples(group.counterparts)
                other = {name: self._binned(region, mask)[0] for name, region in having.items()}
                try:
                    varied = GroupVariation.of(section, nominal, other, fitted)
                except DataError as reason:
                    raise DataError(f"systematics.{what} ({', '.join(group.varied)}): {reason}") from reason
                for name, region in having.items():
                    up, down = varied.contents[name]
                    for sample in present[name]:
                        total = nominal[name]
                        share = np.divide(
                            region.samples[sample].sumw, total, out=np.zeros_like(total), where=total != 0
                        )
                        variations[what, name, sample] = ((share * up, share * down), varied.rates.get(name))
        return variations

    def _complete(
        self, region: _Region, name: str, two_points: Mapping[tuple[str, str, str], tuple[Variation, Any]]
    ) -> SampleTemplate:
        """Return a template including its one-sided variations, in the order of the analysis file."""
        sample = region.samples[name]
        shapes: dict[str, Variation] = {}
        norms = dict(sample.norms)
        for what, section in self.systematics.sections.items():
            parameter = self._parameter(what, name, region)
            if parameter in sample.shapes:
                shapes[parameter] = sample.shapes[parameter]
            elif (name, parameter) in region.up:
                shapes[parameter] = two_point(sample.sumw, region.up[name, parameter], rate=True)
            elif isinstance(section, TwoPointSystematic) and (what, region.spec.name, name) in two_points:
                variation, rates = two_points[what, region.spec.name, name]
                process = self.systematics.processes.get(name, name)
                of_contents, of_rate = names_of(what, section, process, region.spec.name)
                shapes[of_contents] = variation
                if of_rate is not None:
                    norms[of_rate] = rates
        return replace(sample, shapes=self._kept(region, name, shapes), norms=norms)

    def _kept(self, region: _Region, name: str, variations: Mapping[str, Variation]) -> dict[str, Variation]:
        """Return the variations of a sample that a template can have.

        In a part of the events too few may be left for one: it is then left out there, and a line of the log says so.
        """
        if not region.spec.is_part:
            return dict(variations)
        kept = {p: sides for p, sides in variations.items() if all(side.sum() > 0 for side in sides)}
        for parameter in variations.keys() - kept.keys():
            log.warning(
                f"{self.outputs.model}: {parameter} does not vary {name} in {region.spec.name}: its weights there do "
                "not add up to more than 0"
            )
        return kept

    def _pseudo_data(self, region: _Region, domain: str) -> PseudoData:
        """Return the contents of a domain.

        Processes that the domain does not have are taken from the source; those that the source does not have are left
        out. Signals with a strength of their own count to the background: only mu is injected.
        """
        table, mask = self.table, self._used(domain)
        observed = self._binned(region, mask)[0] if np.all(table.label[mask] < 0) else None
        label_of_event = table.label if self.truth is None else self.truth
        if np.any(label_of_event[mask] < 0):
            return PseudoData(observed=observed)
        is_signal = label_of_event == 1
        if further := [name for of in self.systematics.classes.signal[1:] for name in self._samples_of(of)]:
            is_signal = is_signal & ~table.of_samples(further)
        signal, background = (
            self._binned(region, of_class) if (of_class := mask & chosen).any() else None
            for chosen in (is_signal, ~is_signal)
        )
        return PseudoData(signal, background, observed)

    def _used(self, domain: str) -> Mask:
        """Return the events [n] that the pseudo-data of a domain are made of."""
        if domain == self.domains.nominal:
            return self.table.of_domain(domain)
        return with_counterpart(self.domains, self.table, domain) | borrowed(self.domains, self.table, domain)

    def _processes(self, fitted: Sequence[_Region], domain: str) -> dict[str, ProcessContents]:
        """Return the contents of each process in the fitted regions, in the templates and in a domain; none if the
        processes of the domain are not known.
        """
        used = self._used(domain), borrowed(self.domains, self.table, domain)
        groups = events_by_process(domain, used, self.table, (self.domains, self.systematics), self.true_class)
        found = {}
        for name, (samples, events) in groups.items():
            contents = [self._binned(region, events) for region in fitted]
            expected = [
                sum((r.samples[s].sumw for s in samples if s in r.samples), np.zeros(len(r.edges) - 1)) for r in fitted
            ]
            sumw, sumw2 = (np.concatenate(column) for column in zip(*contents, strict=True))
            found[name] = ProcessContents(np.concatenate(expected), sumw, sumw2)
        return found

    def _events(self, fitted: Sequence[_Region], domain: str) -> PseudoEvents:
        """Return the events of a domain that are in a fitted region, with the number of their bin."""
        used, table = self._used(domain), self.table
        parts = []
        for rows in self._blocks():
            index, bins = np.full(rows.stop - rows.start, -1, dtype=np.intp), 0
            for region in fitted:
                chosen = used[rows] & region.inside[rows]
                value = np.asarray(region.value[rows][chosen], np.float64)
                index[chosen] = bins + bin_index(value, np.asarray(region.edges, np.float64))
                bins += len(region.edges) - 1
            inside = index >= 0
            parts.append((index[inside], table.weight[rows][inside], table.key[rows][inside]))
        return PseudoEvents(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _samples_of(self, class_name: str) -> list[str]:
        return [name for name in self.systematics.classes.samples_of(class_name) if name in self.table.sample_names]


def _histogram(events: Events, edges: Array) -> Contents:
    """Return the contents of the bins; the first and the last bin are open."""
    return histogram(np.asarray(events[0], np.float64), np.asarray(events[1], np.float64), edges)
