"""The results of a run of speech as tables of the report, and its conclusions as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hepda.number_format import Cell, Table
from hepda.speech.dataset.trials import CLEAN, NEW_ROOM, ROOM, SEEN, UNSEEN

_MISSING = Cell("–", None)


_CONDITIONS = {
    CLEAN: "Clean", SEEN: "Seen noises", UNSEEN: "Unseen noises", ROOM: "Seen rooms", NEW_ROOM: "Unseen rooms",
}  # fmt: skip


def heading(key: str) -> str:
    """Return the name of a condition in tables; `key` is its name in metrics.json (`unseen 0 dB`)."""
    name, _, ratio = key.partition(" ")
    return f"{_CONDITIONS.get(name, name)}{f', {ratio}' if ratio else ''}"


def in_sentence(key: str) -> str:
    """Return the name of a condition within a sentence."""
    said = heading(key)
    return said[:1].lower() + said[1:]


def percent(entry: Mapping[str, Any] | float | None, digits: int = 1) -> Cell:
    """Return a rate in percent, with its interval if there is one."""
    if entry is None:
        return _MISSING
    if not isinstance(entry, Mapping):
        return Cell(f"{100.0 * entry:.{digits}f}", float(entry))
    value, low, high = entry["value"], entry["low"], entry["high"]
    text = f"{100.0 * value:.{digits}f}"
    if low is None or high is None:
        return Cell(text, value)
    return Cell(f"{text} ({100.0 * low:.{digits}f} to {100.0 * high:.{digits}f})", value, brief=text)


def _names(metrics: Mapping[str, Any]) -> dict[str, str]:
    return {name: found.get("title") or name for name, found in metrics["models"].items()}


def errors_table(metrics: Mapping[str, Any]) -> Table:
    """Return word error rates at the quoted conditions, and those of the validation."""
    keys: list[str] = metrics["quoted"]
    rows = []
    for model, title in _names(metrics).items():
        found = metrics["models"][model]
        rows.append([
            Cell(title, title),
            *(percent(found["word_error_rate"].get(key)) for key in keys),
            percent(found["validation"]),
        ])  # fmt: skip
    return Table(
        "Word error rate [%]",
        ["Model", *(heading(key) for key in keys), "Validation, seen 0 and 10 dB"],
        rows,
        "Mean of all seeds; 95 % over bootstrapped speakers and their utterances (validation: over seeds). Choices are "
        "made by the validation, which knows no unseen noise.",
    )


def all_errors_table(metrics: Mapping[str, Any], what: str, title: str) -> Table:
    """Return a rate under every condition, with conditions as rows and models as columns.

    Args:
        metrics: the content of metrics.json.
        what: `word_error_rate` or `frame_accuracy`.
        title: title of the table.

    """
    names = _names(metrics)
    keys = list(next(iter(metrics["models"].values()))[what])
    rows = [[Cell(heading(key)), *(percent(metrics["models"][m][what].get(key)) for m in names)] for key in keys]
    return Table(
        title, ["Condition", *names.values()], rows, "95 % over bootstrapped speakers.", fold="Every condition"
    )


def comparison_table(metrics: Mapping[str, Any]) -> Table:
    """Return paired differences to the baseline at the quoted conditions."""
    names, rows = _names(metrics), []
    for model, by_key in metrics.get("comparison", {}).items():
        for key in metrics["quoted"]:
            entry = by_key[key]
            relative, gap = entry["relative"], entry.get("gap_closed")
            rows.append([
                Cell(names[model], names[model]), Cell(heading(key), key), percent(entry["difference"]),
                _MISSING if relative is None else Cell(f"{100.0 * relative:+.0f}", relative),
                Cell(f"{entry['worse']} of {entry['seeds']}", float(entry["worse"])),
                _MISSING if gap is None else Cell(f"{100.0 * gap:.0f}", gap),
            ])  # fmt: skip
    return Table(
        f"Difference to {names[metrics['baseline']]}, seed by seed",
        ["Model", "Condition", "Points of word error rate", "Relative [%]", "Seeds that are worse", "Gap closed [%]"],
        rows,
        "95 % interval by Student's t over paired seeds: same utterances, noises and ratios in training and test.",
    )


def transcripts_table(metrics: Mapping[str, Any]) -> Table:
    """Return the table of the transcripts that each round of self-training learnt."""
    rows = [
        [Cell(title, title), Cell(f"{number}", float(number)), percent(entry["share"]), percent(entry["right"])]
        for model, title in _names(metrics).items()
        for number, entry in enumerate(metrics["models"][model].get("transcripts", ()), 1)
    ]
    return Table(
        "Own transcripts of the recordings without words",
        ["Model", "Round", "Learnt [% of the recordings]", "Of these right [%]"],
        rows,
        "95 % over seeds. What is right is told here alone: no training and no choice knows it.",
    )


def probe_table(metrics: Mapping[str, Any]) -> Table:
    """Return the accuracies of fresh probes and of the trained heads in recognising the noise."""
    rows = []
    for model, title in _names(metrics).items():
        found = metrics["models"][model]
        for what, entry in found.get("probe", {}).items():
            name = {"noise": "Type of noise", "pair": "Noise or none", "room": "Room"}[what]
            head = found.get("head", {}).get(what)
            rows.append([
                Cell(title, title), Cell(name, name), percent(entry), percent(head), percent(entry["chance"]),
            ])  # fmt: skip
    return Table(
        "Does the embedding tell the noise?",
        ["Model", "What is asked", "Fresh probe [%]", "Trained head [%]", "Chance [%]"],
        rows,
        "Accuracy over classes that count the same, on utterances that neither learnt by; 95 % over seeds. A trained "
        "head at chance proves nothing.",
    )


def speakers_table(metrics: Mapping[str, Any]) -> Table:
    """Return the word error rates of each speaker."""
    names, rows = _names(metrics), []
    keys: list[str] = metrics["quoted"]
    for model, title in names.items():
        for speaker, rates in metrics["models"][model]["speakers"].items():
            rows.append([Cell(title, title), Cell(speaker, speaker), *(percent(rates.get(key)) for key in keys)])
    return Table(
        "Speaker by speaker", ["Model", "Speaker", *(heading(key) for key in keys)], rows,
        "Word error rate in %, all seeds together.", fold="" if metrics["split"] == "speaker" else "Every speaker",
    )  # fmt: skip


def tables(metrics: Mapping[str, Any]) -> dict[str, list[Table]]:
    """Return all tables by section of the report."""
    return {
        "summary": [errors_table(metrics)],
        "separation": [
            speakers_table(metrics),
            all_errors_table(metrics, "word_error_rate", "Word error rate [%]"),
            all_errors_table(metrics, "frame_accuracy", "Frames in the right state [%]"),
        ],
        "adaptation": [
            *([comparison_table(metrics)] if metrics.get("comparison") else []),
            *([transcripts_table(metrics)] if any("transcripts" in m for m in metrics["models"].values()) else []),
        ],
        "domains": [probe_table(metrics)],
    }


def conclusions(metrics: Mapping[str, Any]) -> list[str]:
    """Return the conclusions from the numbers as sentences.

    They compare each model with the baseline and state whether the interval of the difference excludes 0.
    """
    names = _names(metrics)
    lines = []
    for model, by_key in metrics.get("comparison", {}).items():
        who = names[model][:1].upper() + names[model][1:]
        for key in metrics["quoted"]:
            entry = by_key[key]
            d = entry["difference"]
            if d["low"] is None:
                continue
            verdict = "fewer" if d["high"] < 0.0 else "more" if d["low"] > 0.0 else "no fewer and no more"
            interval = f"{100.0 * d['value']:+.1f} points, {100.0 * d['low']:+.1f} to {100.0 * d['high']:+.1f}"
            where = f"{in_sentence(key)}: {interval} over {entry['seeds']} paired seeds"
            lines.append(f"{who} makes {verdict} word errors than {names[metrics['baseline']]} ({where}).")
    chosen = metrics.get("chosen")
    if chosen:
        lines.append(f"Of the strengths, {names[chosen]} has the fewest word errors on validation recordings.")
    return lines
