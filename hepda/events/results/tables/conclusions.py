"""Statements about the effect of adaptation, formatted as text from the metrics.

A smaller difference between the domains of the training does not prove a smaller bias: it is called an apparent
difference unless a domain that no training saw agrees (Louppe et al., arXiv:1611.01046; Ghosh and Nachman,
arXiv:2109.08159). The statements follow from the shifts of the efficiency in the tail of the score (`shift_ratio` and
`verdict` of metrics.json), because the tail determines the significance. The KS distance is reported, but it decides
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hepda.number_format import Quantity
from hepda.report.reading import entries, get, held_out, null_of, pairs, plain_model

UNCHANGED = 0.9  # the same value as in hepda.evaluation.differences.ratios


def conclude(metrics: Mapping[str, Any], *, plain: str | None = None) -> list[str]:
    """Return one paragraph for each model, which compares it with the baseline model.

    The first line of a paragraph is the conclusion; the further lines are the numbers that it follows from.

    Args:
        metrics: the content of metrics.json.
        plain: name of the baseline model; None means `network`, or the first model if there is no `network`.

    Returns:
        The paragraphs, and sentences about models without adaptation and about a missing held-out domain. The list is
        empty if there are no models or if no simulated domain of the training is compared.

    """
    models = [name for name, _ in entries(metrics, "models")]
    seen = held_out(metrics)
    compared = [pair for pair in pairs(metrics) if pair.partition(":")[2] not in {*seen, "data"}]
    if not models or not compared:
        return []
    plain = plain or plain_model(metrics)
    bare = [model for model in models if get(metrics, "models", model, "verdict", "adapted") is False]
    said = [_paragraph(metrics, model, plain, compared[0]) for model in models if model not in (plain, *bare)]
    others = [model for model in bare if model != plain]
    if others:
        said.append(f"Not adapted, so nothing is judged of them; the tables have their shifts: {', '.join(others)}.")
    if not any(pair.partition(":")[2] in seen for pair in pairs(metrics)):
        source, _, other = compared[0].partition(":")
        said.append(
            "No third domain was evaluated: whether a bias fell or only the apparent "
            f"{source}–{other} difference cannot be told; do not quote it as a systematic uncertainty."
        )
    return [sentence for sentence in said if sentence]


def _paragraph(metrics: Mapping[str, Any], model: str, plain: str, main: str) -> str:
    """Return the verdict on one model, then the numbers that it is based on."""
    entry = metrics["models"][model] or {}
    verdict = entry.get("verdict") or {}
    source = main.partition(":")[0]
    other = str(verdict.get("domain") or main.partition(":")[2])
    ks = _ks(metrics, model, plain, f"{source}:{other}")
    points = verdict.get("points") or {}
    if not points and entry.get("shift_ratio"):
        return ""  # trained on another domain: its shifts do not result from adaptation
    if not points:
        return f"{model}: {ks} Shifts in the tail were not compared, so no more can be said." if ks else ""
    third = verdict.get("third")
    ratios = {name: get(entry, "shift_ratio", f"{source}:{name}") or {} for name in (other, third) if name}
    evidence = [_shifts(plain, source, name, of) for name, of in ratios.items()]
    words = [
        _verdict(source, other, third, points),
        _all_the_same(third, points, ratios),
        _tightest(third, points, ratios),
    ]
    said = f"{model}: {' '.join(word for word in words if word)}"
    return "\n".join(part for part in (said, *evidence, ks) if part)


def _verdict(source: str, other: str, third: str | None, points: Mapping[str, Any]) -> str:
    """Return the conclusion from the judgement at each signal efficiency, the most adverse judgement first."""
    by: dict[str, list[str]] = {}
    for point in sorted(points, key=float, reverse=True):
        by.setdefault(str(points[point].get("judgement")), []).append(point)
    apparent = f"the apparent {source}–{other} difference"
    unseen = f"that to {third}, which no training saw,"
    said = []
    if "apparent only" in by:
        said.append(
            f"WARNING: {apparent} fell, {unseen} did not ({_at(by['apparent only'])}): the apparent uncertainty fell, "
            "the actual one need not have."
        )
    if "fell less" in by:
        said.append(
            f"WARNING: most of what fell is {apparent}; {unseen} fell much less ({_at(by['fell less'])}), so the "
            "difference is no measure of the bias any more."
        )
    if "fell" in by:
        alone = "" if set(by) <= {"fell", "unresolved"} else " alone"
        end = ": the bias fell." if not alone else "; elsewhere it does not."
        said.append(f"{_upper(apparent)} fell, and {unseen} agrees {_at(by['fell'])}{alone}{end}")
    if "untested" in by:
        said.append(
            f"{_upper(apparent)} fell ({_at(by['untested'])}); no third domain says whether a bias did, so it must not "
            "be quoted as a systematic uncertainty."
        )
    if "cannot tell" in by:
        said.append(
            f"{_upper(apparent)} fell ({_at(by['cannot tell'])}); {third} is too small to say whether a bias did."
        )
    if "not fallen" in by and not {"apparent only", "fell less", "fell"} & set(by):
        said.append(f"{_upper(apparent)} did not fall significantly ({_at(by['not fallen'])}).")
    return " ".join(said) or "The plain model's shifts are within two errors of zero: too few events to tell."


def _fell(ratio: Mapping[str, Any]) -> bool:
    """Return whether a shift fell, by the rule of hepda.evaluation.differences.ratios: its interval and its size."""
    value, high = (Quantity.read(ratio, key).value for key in ("value", "high"))
    return bool(ratio.get("resolved")) and value is not None and high is not None and high < 1 and value <= UNCHANGED


def _all_the_same(third: str | None, points: Mapping[str, Any], ratios: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a sentence if the shift to the held-out domain fell where that to the training's domain did not.

    The working points are those whose judgement is "not fallen" or "unresolved". The sentence is empty if there are
    none.
    """
    if not third:
        return ""
    judged = {p for p in points if get(points, p, "judgement") in ("not fallen", "unresolved")}
    at = sorted((p for p in judged if _fell(ratios[third].get(p) or {})), key=float, reverse=True)
    return f"That to {third}, which no training saw, fell all the same ({_at(at)})." if at else ""


def _tightest(third: str | None, points: Mapping[str, Any], ratios: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a sentence about the held-out domain at the tightest cut.

    It is empty if the verdict already says that the shift did not fall there, if the ratio is not resolved, or if the
    shift fell.
    """
    if not third or not ratios.get(third):
        return ""
    point = min(ratios[third], key=float)
    ratio = Quantity.read(ratios[third], point)
    told = get(points, point, "judgement") == "apparent only"
    if told or not ratios[third][point].get("resolved") or ratio.value is None or _fell(ratios[third][point]):
        return ""
    return f"At {100 * float(point):g} % the shift to {third} is {ratio.cell(digits=2).text} of the plain model's."


def _shifts(plain: str, source: str, other: str, ratios: Mapping[str, Any]) -> str:
    """Return the shifts at each signal efficiency, of the model and of the baseline model, and their ratios."""
    told = sorted(
        (p for p, r in ratios.items() if Quantity.read(r, "value").value is not None), key=float, reverse=True
    )
    if not told:
        return ""
    now, before = (
        _listed([Quantity.read(ratios[p], key).scaled(100.0).cell().text for p in told]) for key in ("adapted", "plain")
    )
    ratio = _listed([Quantity(Quantity.read(ratios[p], "value").value).cell(digits=2).text for p in told])
    return (
        f"Shift from {source} to {other} {_at(told)} signal efficiency: {now} %, against {before} % for {plain} "
        f"(ratio {ratio})."
    )


def _ks(metrics: Mapping[str, Any], model: str, plain: str, pair: str) -> str:
    """Return a sentence with the KS distances of both models; "" if one of the models has none."""
    results = [get(metrics, "models", name, "bias", pair) for name in (model, plain)]
    now, before = (Quantity.read(result, "ks").value for result in results)
    null, plain_null = (null_of(result).value for result in results)
    if now is None or before is None or before <= 0:
        return ""
    inside = ", inside the same-generator null" if null is not None and now <= null else ""
    text = f"KS distance to {pair.partition(':')[2]}: {now:.3f}{inside}, against {before:.3f}."
    if plain_null is not None and before <= plain_null:
        text += f" That of {plain} lies inside the null: the KS of these samples cannot show any difference."
    return text


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _at(points: Sequence[str]) -> str:
    return f"at {_listed([f'{100 * float(p):g}' for p in points])} %"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
