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


def _bias(bias: float | None, error: float | None) -> Cell:
    """Return a part of mu - 1, or all of it, with its error."""
    if bias is None:
        return Cell("–", None)
    brief = f"{bias:+.3f}".replace("-", "−")
    return Cell(brief if error is None else f"{brief} ± {error:.3f}", bias, brief=brief)


def _mu(value: Measured | None) -> Cell:
    """Return mu less 1 with the error of the finite simulation."""
    if value is None or value.value is None:
        return _bias(None, None)
    return _bias(float(value.value) - 1.0, value.error)


def _error(value: float | None) -> Cell:
    """Return the error of a fit."""
    return Cell("–", None) if value is None else Cell(f"{value:.3f}", value)


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
        rows.append([Cell(title, title), *cells, *([_mu(entry.mu), _error(entry.fit_error)] if fitted else [])])
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


_PARTS = {
    ("signal", "rate"): "Rate of the signal", ("signal", "shape"): "Shape of the signal",
    ("background", "rate"): "Rate of the background", ("background", "shape"): "Shape of the background",
}  # fmt: skip


def origins_table(metrics: RefinementMetrics, pair: str) -> Table | None:
    """Return for every method where mu - 1 comes from, for one pair; None if nothing was fitted."""
    rows = []
    for name, model in metrics.models.items():
        entry = model.pairs.get(pair)
        if entry is not None and entry.origins:
            parts: dict[tuple[str, str], Cell] = {
                (part.process, part.part): _bias(part.bias.value, part.bias.error) for part in entry.origins
            }
            title = _title(metrics, name)
            rows.append([Cell(title, title), *(parts.get(key, Cell("–", None)) for key in _PARTS), _mu(entry.mu)])
    if not rows:
        return None
    caption = (
        "What each difference between the templates and the target adds to μ − 1, fitted alone: the rate of a process "
        "in the selection, and its shape in the score; they add up nearly. ±: the finite target (of the sum: both "
        "samples). A rate of the signal that is wrong is a wrong efficiency of the selection."
    )
    title = f"Where the bias of μ comes from: {'the pair of the training' if pair == 'learn' else pair}"
    return Table(title, ["Method", *_PARTS.values(), "μ − 1"], rows, caption)


def _share(value: float) -> Cell:
    return Cell(f"{100.0 * value:.1f} %", float(value))


def tables(metrics: RefinementMetrics) -> dict[str, list[Table]]:
    """Return all tables by section of the report."""
    methods = [method_table(metrics, pair) for pair in metrics.pairs]
    parts = [origins_table(metrics, pair) for pair in metrics.pairs]
    return {"summary": [*methods, *(table for table in parts if table is not None)]}


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
