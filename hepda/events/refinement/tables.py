"""The results of a refinement as tables of the report, and its conclusions as text."""

from __future__ import annotations

from hepda.number_format import Cell, Table
from hepda.results.entries.refinement import JudgedPair, RefinementMetrics
from hepda.results.record import Measured

_TITLES = {"learn": "The pair that was learned from"}
INDISTINGUISHABLE = 0.51
"""An AUC of a probe up to which a refined simulation counts as the target."""


def _title(metrics: RefinementMetrics, model: str) -> str:
    return metrics.models[model].title or model


def _auc(value: Measured) -> Cell:
    """Return an AUC with half its interval."""
    if value.value is None or value.low is None or value.high is None:
        return Cell("–", None)
    brief = f"{value.value:.4f}"
    return Cell(f"{brief} ± {0.5 * (value.high - value.low):.4f}", float(value.value), brief=brief)


def _mu(value: Measured | None, fit_error: float | None) -> list[Cell]:
    """Return mu less 1 with the error of the finite simulation, and the error of the fit."""
    if value is None or value.value is None:
        return [Cell("–", None), Cell("–", None)]
    bias = f"{value.value - 1.0:+.3f}".replace("-", "−")
    text = bias if value.error is None else f"{bias} ± {value.error:.3f}"
    error = Cell("–", None) if fit_error is None else Cell(f"{fit_error:.3f}", fit_error)
    return [Cell(text, float(value.value) - 1.0, brief=bias), error]


def method_table(metrics: RefinementMetrics, pair: str) -> Table:
    """Return probe, effective events and closure of every method for one pair, with the null of the probe."""
    about, fitted = metrics.pairs[pair], any(m.pairs[pair].mu for m in metrics.models.values() if pair in m.pairs)
    head = ["Method", "AUC of the probe", "n_eff", "Yield ratio", *(["μ − 1", "Error of the fit"] if fitted else [])]
    rows = []
    for name, model in metrics.models.items():
        if pair not in model.pairs:
            continue
        entry, title = model.pairs[pair], _title(metrics, name)
        cells = [_auc(entry.probe), _share(entry.n_eff), Cell(f"{entry.yield_ratio:.3f}", float(entry.yield_ratio))]
        rows.append([Cell(title, title), *cells, *(_mu(entry.mu, entry.fit_error) if fitted else [])])
    null = [Cell("no difference", "no difference"), _auc(about.null), *[Cell("", None)] * (len(head) - 2)]
    caption = (
        f"{about.source} refined, against {about.target}: every event by what was learned from other events. Probe: "
        "fresh boosted trees on the features, out of fold; no difference: both mixed and dealt anew. n_eff: "
        "effective events of the weights, over those without the factors of the method. Yield ratio: refined over "
        "target, after the selection."
    )
    if fitted:
        caption += (
            " μ: of a fit to what is expected of the target, where it is 1, with templates of the refined one; ±: "
            " the finite simulation of both; error of the fit: of data of the luminosity of the analysis."
        )
    return Table(_TITLES.get(pair, f"Judged: {pair}"), head, [*rows, null], caption)


def _share(value: float) -> Cell:
    return Cell(f"{100.0 * value:.1f} %", float(value))


def tables(metrics: RefinementMetrics) -> dict[str, list[Table]]:
    """Return all tables by section of the report."""
    return {"summary": [method_table(metrics, pair) for pair in metrics.pairs]}


def conclusions(metrics: RefinementMetrics) -> list[str]:
    """Return for each pair what the methods leave of the difference, and null results."""
    lines = []
    for name, about in metrics.pairs.items():
        entries = {model: of.pairs[name] for model, of in metrics.models.items() if name in of.pairs}
        base = metrics.baseline or next(iter(entries))
        if base not in entries:
            continue
        where = f"{about.source} against {about.target}"
        if not _above(entries[base].probe, about.null):
            lines.append(f"{where}: as it is, the probe finds no difference beyond its null; nothing can be gained.")
            continue
        near = [model for model, entry in entries.items() if _close(entry)]
        shown = ", ".join(_reached(_title(metrics, model), entries[model]) for model in near)
        before = f"{_title(metrics, base)} has an AUC of {entries[base].probe.value:.3f}"
        if shown:
            lines.append(f"{where}: {before}; at most {INDISTINGUISHABLE} after {shown}.")
        else:
            lines.append(f"{where}: {before}, and no method reaches {INDISTINGUISHABLE}: a null result.")
    return lines


def _reached(title: str, entry: JudgedPair) -> str:
    return f"{title} (AUC {entry.probe.value:.3f}, {100.0 * entry.n_eff:.0f} % of n_eff)"


def _above(value: Measured, null: Measured) -> bool:
    return value.low is not None and null.high is not None and value.low > null.high


def _close(entry: JudgedPair) -> bool:
    return entry.probe.value is not None and entry.probe.value <= INDISTINGUISHABLE
