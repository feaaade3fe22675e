"""The data of the figures of events: the events, the numbers, and the labels of samples and axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import PlotConfig
from hepda.config.events.eras import without_era
from hepda.events.domains.roles import LABELS, borrowed, with_counterpart
from hepda.events.domains.spec import EvaluationSpec
from hepda.events.results.evaluate import Numbers
from hepda.events.specs import Appearance
from hepda.events.table.feature_table import FeatureTable
from hepda.plotting.base import style
from hepda.plotting.scores import features

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class _SampleRows:
    """The events of a part of a stacked figure: chosen once for all quantities that are drawn.

    rows, weights: index [m] of the events and their weights [m], None for data.
    """

    name: str
    rows: NDArray[np.intp]
    weights: Array | None
    signal: bool = False
    colour: str | None = None
    scale: float = 1.0

    def of(self, values: Array) -> features.FeatureSample:
        """Return the part with a quantity [n] of all events."""
        return features.FeatureSample(
            self.name, values[self.rows], self.weights, signal=self.signal, colour=self.colour, scale=self.scale
        )


@dataclass(frozen=True, eq=False)
class FigureData:
    """The data that all figures are drawn from."""

    spec: EvaluationSpec
    appearance: Appearance
    table: FeatureTable
    scores: Mapping[str, Array]
    numbers: Numbers
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]  # by model: columns of each training
    best_epochs: Mapping[str, Sequence[int]]
    outputs: Mapping[str, Array] = field(default_factory=dict)  # by model of several classes: [n, classes]
    predictions: Mapping[str, Array] = field(default_factory=dict)  # [n] by model that predicts a number

    @property
    def models(self) -> list[str]:
        """Return all models that predict classes, in the order of the config, which is the order of colours."""
        return list(self.scores)

    @property
    def source(self) -> str:
        """Return the nominal domain, which is trained on."""
        return self.numbers.source

    @property
    def compared_domains(self) -> list[str]:
        """Return the simulated domains that are compared with the source.

        The compared class is the background, or the one that `bias.class` names.
        """
        return [name for name in self.other_domains if name not in self.numbers.excluded]

    @property
    def other_domains(self) -> list[str]:
        """Return every simulated domain except the source, compared or not."""
        known = (*self.numbers.priors, *self.numbers.missing_class)  # with both classes, or with one
        return [name for name in known if name != self.source]

    @property
    def has_data(self) -> bool:
        """Return whether any domain has events without a class."""
        return bool(self.numbers.unlabelled)

    def contents(self, *, data: bool) -> str:
        """Return as text what a stack contains.

        Args:
            data: whether the figure shows data if there are any.

        """
        parts = ["simulation with its statistical band"]
        parts += ["the other generators scaled to the yield of the simulation"] if self.other_domains else []
        parts += ["data with Poisson errors"] if data and self.has_data else []
        return f"Stacked {', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else f"Stacked {parts[0]}"

    def label(self, note: str = "", *, data: bool = False) -> style.Label:
        """Return the line above the axes.

        It states the scale of signals that have one, in every figure.

        Args:
            note: further text of the line.
            data: whether the figure shows data if there are any.

        """
        appearance = self.appearance
        kind = appearance.kind_of_data if data and self.has_data else "Simulation"
        status, text = appearance.heading(kind, note, appearance.signal_scale)
        return style.Label(status, appearance.luminosity, appearance.energy, text)

    def stack(self, values: Array) -> list[features.FeatureSample]:
        """Return the samples of the source as a stack, background first."""
        return [rows.of(values) for rows in self._stack_rows]

    def others(self, values: Array) -> list[features.FeatureSample]:
        """Return the other simulated domains, each as one total scaled to the yield of the source.

        Events of a class or process that a domain does not have are taken from the source, because the total
        expectation is compared.

        Args:
            values: the values [n] of all events.

        """
        return [rows.of(values) for rows in self._others_rows]

    def data(self, values: Array) -> features.FeatureSample | None:
        """Return the data as points, those of the first domain without labels; None if there is no such domain."""
        return None if self._data_rows is None else self._data_rows.of(values)

    @cached_property
    def _stack_rows(self) -> list[_SampleRows]:
        chosen = [
            (name, sample)
            for name, sample in self.appearance.samples.items()
            if sample.domain == self.source and sample.class_ is not None
        ]
        is_signal = {name: self.appearance.classes.side_of(name) == "signal" for name, _ in chosen}
        chosen.sort(key=lambda pair: is_signal[pair[0]])
        groups: dict[tuple[str, str], list[str]] = {}
        for name, sample in chosen:  # the eras of a process are one area
            label = without_era(sample.label or name, sample)
            groups.setdefault((label, "" if sample.era is not None else name), []).append(name)
        parts = []
        for (label, _), names in groups.items():
            rows = np.flatnonzero(self.table.of_samples(names))
            weight, name = np.asarray(self.table.weight[rows]), names[0]
            sample = self.appearance.samples[name]
            parts.append(_SampleRows(label, rows, weight, is_signal[name], sample.color, sample.scale))
        return parts

    @cached_property
    def _others_rows(self) -> list[_SampleRows]:
        table, weight = self.table, self.table.weight
        of_source = table.of_domain(self.source) & (table.label >= 0)
        parts = []
        missing, domains = self.numbers.missing_class, self.other_domains
        colours = style.domain_colours([self.source, *domains])
        for domain in domains:
            simulated, name = with_counterpart(self.spec.domains, table, domain) & (table.label >= 0), domain
            nominal = borrowed(self.spec.domains, table, domain)
            if nominal.any():
                name = f"{domain} + {self.source} without counterpart"
            if domain in missing:
                nominal, name = (
                    nominal | of_source & (table.label == LABELS[missing[domain]]),
                    f"{name} + {missing[domain]}",
                )
            scale = weight[of_source & ~nominal].sum() / weight[simulated].sum()
            rows = np.flatnonzero(simulated | nominal)
            scaled = np.where(simulated[rows], scale, 1.0) * weight[rows]
            parts.append(_SampleRows(f"{name} × {scale:.3g}", rows, scaled, colour=colours[domain]))
        return parts

    @cached_property
    def _data_rows(self) -> _SampleRows | None:
        for domain in self.numbers.unlabelled:
            return _SampleRows(self.appearance.label_of(domain), np.flatnonzero(self.table.of_domain(domain)), None)
        return None


def short_label(name: str, plot: PlotConfig | None) -> str:
    """Return the label of a feature without its unit."""
    return axis(name, plot)[0].partition(" [")[0]


def axis(name: str, plot: PlotConfig | None) -> tuple[str, Array | None]:
    """Return label with unit and bin edges of a feature; the edges are None if the config gives no range."""
    if plot is None or plot.label is None:
        text = features.guess_label(name)
    else:
        text = f"{plot.label} [{plot.unit}]" if plot.unit else plot.label
    if plot is None or plot.range is None:
        return text, None
    return text, np.linspace(*plot.range, plot.bins + 1)
