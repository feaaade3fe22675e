"""The results of enhancement as tables of the report, and its conclusions as text."""

from __future__ import annotations

from hepda.number_format import Cell, Table
from hepda.results.enhancement import EnhancementMetrics
from hepda.results.record import Measured
from hepda.speech.enhancement.numbers import ALL

NAMES = {
    "pesq": "PESQ", "stoi": "STOI", "estoi": "ESTOI", "segmental_snr": "Segmental SNR [dB]", "si_sdr": "SI-SDR [dB]",
    "csig": "CSIG", "cbak": "CBAK", "covl": "COVL",
}  # fmt: skip
"""Names of the metrics in tables and figures, with their units."""
_INTERVAL = "± : half of the 95 % interval of the mean over test strings (of the mean over the seeds)."


def _title(metrics: EnhancementMetrics, model: str) -> str:
    return metrics.models[model].title or model


def _cell(entry: Measured | None, *, sign: bool = False) -> Cell:
    """Return a value with half its interval."""
    if entry is None or entry.value is None:
        return Cell("–", None)
    half = None if entry.low is None or entry.high is None else 0.5 * (entry.high - entry.low)
    places = 2 if half is None or half >= 0.005 else 3
    value = f"{entry.value:{'+' if sign else ''}.{places}f}".replace("-", "−")
    return Cell(value if half is None else f"{value} ± {half:.{places}f}", float(entry.value), brief=value)


def quality_table(metrics: EnhancementMetrics) -> Table:
    """Return every metric of every model, of all ratios together."""
    rows = []
    for name, model in metrics.models.items():
        title = _title(metrics, name)
        rows.append([Cell(title, title), *(_cell(model.quality[m].get(ALL)) for m in metrics.metrics)])
    failed = sum(n for model in metrics.models.values() for n in model.failed.values())
    missing = f" {failed} values could not be measured (too little speech) and are in no mean." if failed else ""
    ideal = " The ideal mask knows the clean speech." if metrics.ideal_masks else ""
    return Table(
        "Quality of the enhanced speech", ["Model", *(NAMES[m] for m in metrics.metrics)], rows,
        f"Mean over the ratios of speech to noise. {_INTERVAL}{ideal}{missing}",
    )  # fmt: skip


def gain_table(metrics: EnhancementMetrics) -> Table:
    """Return what every model gains over the noisy speech, by ratio."""
    rows = []
    for name, model in metrics.models.items():
        for key in metrics.conditions or [ALL]:
            if model.gain:
                title = _title(metrics, name)
                gains = [_cell(model.gain[m].get(key), sign=True) for m in metrics.metrics]
                rows.append([Cell(title, title), Cell(key, key), *gains])
    return Table(
        "Gain over the noisy speech", ["Model", "Ratio", *(NAMES[m] for m in metrics.metrics)], rows,
        f"Paired by string. {_INTERVAL}",
    )  # fmt: skip


def comparison_table(metrics: EnhancementMetrics) -> Table:
    """Return the differences of every model to the baseline, of all ratios together."""
    rows = []
    for name, of_metric in metrics.comparison.items():
        entries = [of_metric[m][ALL] for m in metrics.metrics]
        cells = [_cell(entry.difference, sign=True) for entry in entries]
        paired = f"{entries[0].number} {entries[0].paired}"
        title = _title(metrics, name)
        rows.append([Cell(title, title), *cells, Cell(paired, float(entries[0].number))])
    return Table(
        f"Difference to {_title(metrics, str(metrics.baseline))}",
        ["Model", *(NAMES[m] for m in metrics.metrics), "Pairs"], rows,
        "± : half of the 95 % interval by Student's t over the pairs: seeds of two trained models, otherwise strings.",
    )  # fmt: skip


def quality_by_ratio(metrics: EnhancementMetrics, metric: str) -> Table:
    """Return a metric of every model at every ratio."""
    rows = [
        [Cell(_title(metrics, name), _title(metrics, name)), *(_cell(model.quality[metric].get(key)) for key in keys)]
        for name, model in metrics.models.items()
        for keys in [metrics.conditions or [ALL]]
    ]
    head = ["Model", *(metrics.conditions or [ALL])]
    return Table(NAMES[metric], head, rows, _INTERVAL, fold="Every ratio")


def tables(metrics: EnhancementMetrics) -> dict[str, list[Table]]:
    """Return all tables by section of the report."""
    return {
        "summary": [quality_table(metrics)],
        "separation": [gain_table(metrics), *(quality_by_ratio(metrics, metric) for metric in metrics.metrics)],
        "adaptation": [comparison_table(metrics)] if metrics.comparison else [],
    }


def conclusions(metrics: EnhancementMetrics) -> list[str]:
    """Return which models are better or worse than the baseline in which metric, and where nothing can be said."""
    lines = []
    for name, of_metric in metrics.comparison.items():
        found: dict[str, list[str]] = {"better": [], "worse": [], "neither better nor worse": []}
        for metric in metrics.metrics:
            entry = of_metric[metric][ALL].difference
            if entry.value is None or entry.low is None or entry.high is None:
                continue
            verdict = "better" if entry.low > 0.0 else "worse" if entry.high < 0.0 else "neither better nor worse"
            short = NAMES[metric].partition(" [")[0]
            numbers = f"{entry.value:+.2f}, {entry.low:+.2f} to {entry.high:+.2f}".replace("-", "−")
            found[verdict].append(f"{short} ({numbers})")
        title = _title(metrics, name)
        title = title[:1].upper() + title[1:]
        for verdict, measures in found.items():
            if measures:
                where = ", ".join(measures)
                lines.append(f"{title} is {verdict} than {_title(metrics, str(metrics.baseline))} in {where}.")
    return lines
