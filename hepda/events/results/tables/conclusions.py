"""Statements about the effect of adaptation, formatted as text from the metrics.

A smaller difference between the domains of the training does not prove a smaller bias: it is called an apparent
difference unless a domain that no training saw agrees (Louppe et al., arXiv:1611.01046; Ghosh and Nachman,
arXiv:2109.08159). The statements follow from the shifts of the efficiency in the tail of the score (`shift_ratio` and
`verdict` of metrics.json), because the tail determines the significance. The KS distance is reported, but it decides
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hepda.evaluation.differences.ratios import has_fallen
from hepda.events.results.tables.cells import quantity
from hepda.events.results.tables.decomposition import decomposition_sentences
from hepda.number_format import Quantity
from hepda.results.events import EventMetrics, ShiftRatioEntry, VerdictPoint
from hepda.results.record import Measured, quantity_of

Points = Mapping[str, VerdictPoint]
Ratios = Mapping[str, ShiftRatioEntry]
"""By signal efficiency."""


def conclude(metrics: EventMetrics, *, baseline: str | None = None) -> list[str]:
    """Return one paragraph for each model, which compares it with the baseline model.

    The first line of a paragraph is the conclusion; the further lines are the numbers that it follows from.

    Args:
        metrics: the numbers of the run.
        baseline: name of the baseline model; None means that of the metrics.

    Returns:
        The paragraphs, and sentences about models without adaptation, about rates and shapes of the processes, and
        about a missing held-out domain. The list is empty if there are no models or if no simulated domain of the
        training is compared.

    """
    unseen = metrics.held_out
    compared = [pair for pair in metrics.pairs if pair.partition(":")[2] not in {*unseen, "data"}]
    if not metrics.classifiers or not compared:
        return []
    baseline = baseline or metrics.baseline_model
    not_adapted = [name for name, model in metrics.classifiers.items() if model.verdict and not model.verdict.adapted]
    adapted = [name for name in metrics.classifiers if name not in (baseline, *not_adapted)]
    paragraphs = [_paragraph(metrics, model, baseline, compared[0]) for model in adapted]
    without_verdict = [model for model in not_adapted if model != baseline]
    if without_verdict:
        names = ", ".join(without_verdict)
        paragraphs.append(f"No verdict without adaptation (the tables have the shifts): {names}.")
    paragraphs += decomposition_sentences(metrics)
    if not any(pair.partition(":")[2] in unseen for pair in metrics.pairs):
        source, _, other = compared[0].partition(":")
        paragraphs.append(
            "No held-out domain was evaluated. It is unknown whether the bias decreased, or only the apparent "
            f"{source}–{other} difference; do not quote it as a systematic uncertainty."
        )
    return [paragraph for paragraph in paragraphs if paragraph]


def _paragraph(metrics: EventMetrics, model: str, baseline: str, main: str) -> str:
    """Return the verdict on one model, then the numbers that it is based on."""
    entry = metrics.classifiers[model]
    verdict = entry.verdict
    source, _, other = main.partition(":")
    if verdict is not None and verdict.domain:
        other = verdict.domain
    ks = _ks(metrics, model, baseline, f"{source}:{other}")
    points: Points = {} if verdict is None else verdict.points
    if not points and entry.shift_ratio:
        return ""  # trained on another domain: its shifts do not result from adaptation
    if not points:
        return f"{model}: {ks} Shifts in the tail were not compared, so there is no verdict." if ks else ""
    held_out = None if verdict is None else verdict.third
    ratios = {name: entry.shift_ratio.get(f"{source}:{name}", {}) for name in (other, held_out) if name}
    of_held_out = ratios[held_out] if held_out else {}
    words = [
        _verdict(source, other, held_out, points),
        _fell_nevertheless(held_out, points, of_held_out),
        _tightest(held_out, points, of_held_out),
    ]
    conclusion = f"{model}: {' '.join(word for word in words if word)}"
    evidence = [_shifts(baseline, source, name, of_domain) for name, of_domain in ratios.items()]
    return "\n".join(part for part in (conclusion, *evidence, ks) if part)


def _verdict(source: str, other: str, held_out: str | None, points: Points) -> str:
    """Return the conclusion from the judgement at each signal efficiency, the most adverse judgement first."""
    by: dict[str, list[str]] = {}
    for point in _falling(points):
        by.setdefault(points[point].judgement, []).append(point)
    apparent = f"the apparent {source}–{other} difference"
    unseen = f"the difference to the held-out domain {held_out}"
    sentences = []
    if "apparent only" in by:
        sentences.append(
            f"WARNING: {apparent} decreased, but {unseen} did not ({_at(by['apparent only'])}): the smaller "
            "difference must not be taken as a smaller uncertainty."
        )
    if "fell less" in by:
        sentences.append(
            f"WARNING: {apparent} decreased much more than {unseen} ({_at(by['fell less'])}): it no longer measures "
            "the bias."
        )
    if "fell" in by:
        only = "" if set(by) <= {"fell", "unresolved"} else " only"
        end = ": the bias decreased." if not only else "; not at the other working points."
        sentences.append(f"{_upper(apparent)} decreased, and so did {unseen}, {_at(by['fell'])}{only}{end}")
    if "untested" in by:
        sentences.append(
            f"{_upper(apparent)} decreased ({_at(by['untested'])}); there is no held-out domain to test whether "
            "the bias did, so it must not be quoted as a systematic uncertainty."
        )
    if "cannot tell" in by:
        sentences.append(
            f"{_upper(apparent)} decreased ({_at(by['cannot tell'])}); {held_out} has too few events to test "
            "whether the bias did."
        )
    if "not fallen" in by and not {"apparent only", "fell less", "fell"} & set(by):
        sentences.append(f"{_upper(apparent)} did not decrease significantly ({_at(by['not fallen'])}).")
    return (
        " ".join(sentences)
        or "The shifts of the baseline are within two errors of zero: there are too few events for a conclusion."
    )


def _fell(ratio: ShiftRatioEntry | None) -> bool:
    """Return whether a shift decreased: its ratio is resolved and below 1, by its interval and its size."""
    if ratio is None or not ratio.resolved or ratio.value is None or ratio.high is None:
        return False
    return has_fallen(ratio.value, ratio.high)


def _fell_nevertheless(held_out: str | None, points: Points, ratios: Ratios) -> str:
    """Return a sentence if the shift to the held-out domain decreased where that to the training's did not.

    The working points are those whose judgement is "not fallen" or "unresolved". The sentence is empty if there are
    none.
    """
    not_fallen = [p for p in _falling(points) if points[p].judgement in ("not fallen", "unresolved")]
    fallen = [point for point in not_fallen if _fell(ratios.get(point))]
    return f"The difference to the held-out domain {held_out} decreased nevertheless ({_at(fallen)})." if fallen else ""


def _tightest(held_out: str | None, points: Points, ratios: Ratios) -> str:
    """Return a sentence about the held-out domain at the tightest cut.

    It is empty if the verdict already states that the shift did not decrease there, if the ratio is not resolved, or if
    the shift decreased.
    """
    if not ratios:
        return ""
    point = min(ratios, key=float)
    ratio = ratios[point]
    already_said = point in points and points[point].judgement == "apparent only"
    if already_said or not ratio.resolved or ratio.value is None or _fell(ratio):
        return ""
    size = quantity_of(ratio).cell(digits=2).text
    return f"At {100 * float(point):g} % the shift to {held_out} is {size} of that of the baseline."


def _shifts(baseline: str, source: str, other: str, ratios: Ratios) -> str:
    """Return the shifts at each signal efficiency, of the model and of the baseline model, and their ratios."""
    points = [point for point in _falling(ratios) if ratios[point].value is not None]
    if not points:
        return ""
    # Without errors: those of the ratios are from paired replicas, those of the shifts in the table above are not.
    now, before = (
        _listed([_per_cent(getattr(ratios[point], which)) for point in points]) for which in ("adapted", "plain")
    )
    ratio = _listed([Quantity(ratios[point].value).cell(digits=2).text for point in points])
    return (
        f"Shift from {source} to {other} {_at(points)} signal efficiency: {now} %, against {before} % for {baseline} "
        f"(ratio {ratio})."
    )


def _per_cent(shift: Measured | None) -> str:
    value = None if shift is None else shift.value
    return "–" if value is None else f"{100 * value:.1f}".replace("-", "−")


def _ks(metrics: EventMetrics, model: str, baseline: str, pair: str) -> str:
    """Return a sentence with the KS distances of both models; "" if one of the models has none."""
    entries = [
        metrics.classifiers[name].bias.get(pair) if name in metrics.classifiers else None for name in (model, baseline)
    ]
    now, before = (quantity(entry, "ks").value for entry in entries)
    null, null_of_baseline = (quantity(entry, "ks_null").value for entry in entries)
    if now is None or before is None or before <= 0:
        return ""
    inside = ", compatible with two samples of one generator" if null is not None and now <= null else ""
    text = f"KS distance to {pair.partition(':')[2]}: {now:.3f}{inside}, against {before:.3f}."
    if null_of_baseline is not None and before <= null_of_baseline:
        text += (
            f" That of {baseline} is compatible with two samples of one generator: these samples are too small to show "
            "a difference in KS."
        )
    return text


def _falling(points: Iterable[str]) -> list[str]:
    return sorted(points, key=float, reverse=True)


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _at(points: Sequence[str]) -> str:
    return f"at {_listed([f'{100 * float(p):g}' for p in points])} %"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
