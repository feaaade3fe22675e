"""What figures of events are drawn from: the events, the numbers, and how samples and axes are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig, PlotConfig
from hepda.events.domains.roles import LABELS, lent_to, own_of
from hepda.events.results.evaluate import Numbers
from hepda.events.table.feature_table import FeatureTable
from hepda.plotting.base import style
from hepda.plotting.scores import features

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class FigureData:
    """What all figures are drawn from."""

    config: AnalysisConfig
    table: FeatureTable
    scores: Mapping[str, Array]
    numbers: Numbers
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]  # by model: columns of each training
    best_epochs: Mapping[str, Sequence[int]]

    @property
    def models(self) -> list[str]:
        """All models, in the order of the config: the order of colours."""
        return list(self.scores)

    @property
    def source(self) -> str:
        """The domain that is trained on."""
        return self.numbers.source

    @property
    def rival_domains(self) -> list[str]:
        """The simulated domains whose background (or what `bias.class` says) is compared with the source's."""
        known = (*self.numbers.rocs, *self.numbers.lacking)
        return [d for d in known if d != self.source and d not in self.numbers.untold]

    @property
    def other_domains(self) -> list[str]:
        """Every simulated domain besides the source, compared or not."""
        return [name for name in (*self.numbers.rocs, *self.numbers.lacking) if name != self.source]

    @property
    def has_data(self) -> bool:
        """Whether any domain has events without a class."""
        return bool(self.numbers.unlabelled)

    def contents(self, *, data: bool) -> str:
        """In words, what a stack is drawn with; data: whether the figure shows them where there are any."""
        parts = ["simulation with its statistical band"]
        parts += ["the other generators scaled to its yield"] if self.other_domains else []
        parts += ["data with Poisson errors"] if data and self.has_data else []
        return f"Stacked {', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else f"Stacked {parts[0]}"

    def label(self, note: str = "", *, data: bool = False) -> style.Label:
        """The line above the axes. Signals with a scale are said to have it wherever they are drawn."""
        scales = {s.scale for s in self.config.samples.values() if s.class_ == "signal" and s.scale != 1}
        said = [note] if note else []
        if scales:
            said.append("signal × " + ", ".join(f"{scale:g}" for scale in sorted(scales)))
        status = "Pseudo-data" if data and self.has_data else "Simulation"
        return style.Label(status, luminosity=self.config.luminosity, note=", ".join(said))

    def stack(self, values: Array) -> list[features.FeatureSample]:
        """The samples of the source, background first, as a stack."""
        chosen = [
            (name, sample)
            for name, sample in self.config.samples.items()
            if sample.domain == self.source and sample.class_ is not None
        ]
        chosen.sort(key=lambda pair: pair[1].class_ == "signal")
        parts = []
        for name, sample in chosen:
            mask = self.table.of_samples([name])
            parts.append(
                features.FeatureSample(
                    sample.label or name,
                    values[mask],
                    self.table.weight[mask],
                    signal=sample.class_ == "signal",
                    colour=sample.color,
                )
            )
        return parts

    def rivals(self, values: Array) -> list[features.FeatureSample]:
        """The other simulated domains, each as one total scaled to the source's yield.

        A class or process that a domain lacks is the source's: what is compared is the whole expectation.
        """
        table, weight = self.table, self.table.weight
        known = table.of_domain(self.source) & (table.label >= 0)
        parts = []
        lacking, domains = self.numbers.lacking, self.other_domains
        colours = style.domain_colours([self.source, *domains])
        for domain in domains:
            own, name = own_of(self.config, table, domain) & (table.label >= 0), domain
            lent = lent_to(self.config, table, domain)
            if lent.any():
                name = f"{domain} + {self.source} without counterpart"
            if domain in lacking:
                lent, name = lent | known & (table.label == LABELS[lacking[domain]]), f"{name} + {lacking[domain]}"
            scale = weight[known & ~lent].sum() / weight[own].sum()
            both = own | lent
            scaled = np.where(own[both], scale, 1.0) * weight[both]
            parts.append(features.FeatureSample(f"{name} (scaled)", values[both], scaled, colour=colours[domain]))
        return parts

    def data(self, values: Array) -> features.FeatureSample | None:
        """The events of the first domain without labels, as points."""
        for domain in self.numbers.unlabelled:
            mask = self.table.of_domain(domain)
            named = {s.label for s in self.config.samples.values() if s.domain == domain and s.label}
            return features.FeatureSample(named.pop() if len(named) == 1 else domain, values[mask])
        return None


def axis(name: str, plot: PlotConfig | None) -> tuple[str, Array | None]:
    """Label with unit and bin edges of a feature; no edges where the config gives no range."""
    if plot is None or plot.label is None:
        text = features.guess_label(name)
    else:
        text = f"{plot.label} [{plot.unit}]" if plot.unit else plot.label
    if plot is None or plot.range is None:
        return text, None
    return text, np.linspace(*plot.range, plot.bins + 1)
