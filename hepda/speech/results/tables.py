"""The results of a run of speech as tables of the report, and its conclusions as text."""

from __future__ import annotations

from collections.abc import Mapping

from hepda.number_format import Cell, Table
from hepda.results.record import Measured, Number
from hepda.results.speech import SpeechMetrics
from hepda.speech.dataset.trials import CLEAN, NEW_ROOM, ROOM, SEEN, UNSEEN

_MISSING = Cell("–", None)


_QUESTIONS = {"noise": "Type of noise", "pair": "Noise or none", "room": "Room"}
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


def percent(entry: Measured | Number | None, digits: int = 1) -> Cell:
    """Return a rate in percent, with its interval if there is one."""
    if entry is None:
        return _MISSING
    if not isinstance(entry, Measured):
        return Cell(f"{100.0 * entry:.{digits}f}", float(entry))
    if entry.value is None:
        return _MISSING
    text = f"{100.0 * entry.value:.{digits}f}"
    if entry.low is None or entry.high is None:
        return Cell(text, entry.value)
    return Cell(f"{text} ({100.0 * entry.low:.{digits}f} to {100.0 * entry.high:.{digits}f})", entry.value, brief=text)


def _names(metrics: SpeechMetrics) -> dict[str, str]:
    return {name: model.title or name for name, model in metrics.models.items()}


def errors_table(metrics: SpeechMetrics) -> Table:
    """Return word error rates at the quoted conditions, and those of the validation."""
    rows = []
    for name, model in metrics.models.items():
        title = model.title or name
        rates = [percent(model.word_error_rate.get(key)) for key in metrics.quoted]
        rows.append([Cell(title, title), *rates, percent(model.validation)])
    return Table(
        "Word error rate [%]",
        ["Model", *(heading(key) for key in metrics.quoted), "Validation, seen 0 and 10 dB"],
        rows,
        "Mean of all seeds; 95 % intervals from a bootstrap over speakers and their utterances (validation: over "
        "seeds). Choices are made with the validation set, which has no unseen noise.",
    )


def all_conditions_table(title: str, rates: Mapping[str, Mapping[str, Measured]]) -> Table:
    """Return a rate under every condition, with conditions as rows and models as columns.

    Args:
        title: title of the table.
        rates: by name of the model and condition.

    """
    keys = list(next(iter(rates.values())))
    rows = [[Cell(heading(key)), *(percent(by_key.get(key)) for by_key in rates.values())] for key in keys]
    return Table(
        title, ["Condition", *rates], rows, "95 % intervals from a bootstrap over speakers.", fold="Every condition"
    )


def comparison_table(metrics: SpeechMetrics) -> Table:
    """Return paired differences to the baseline at the quoted conditions."""
    names, rows = _names(metrics), []
    for model, by_key in metrics.comparison.items():
        for key in metrics.quoted:
            entry = by_key[key]
            relative, gap = entry.relative, entry.gap_closed
            rows.append([
                Cell(names[model], names[model]), Cell(heading(key), key), percent(entry.difference),
                _MISSING if relative is None else Cell(f"{100.0 * relative:+.0f}", relative),
                Cell(f"{entry.worse} of {entry.seeds}", float(entry.worse)),
                _MISSING if gap is None else Cell(f"{100.0 * gap:.0f}", gap),
            ])  # fmt: skip
    return Table(
        f"Difference to {names[str(metrics.baseline)]}, seed by seed",
        ["Model", "Condition", "Percentage points", "Relative [%]", "Worse seeds", "Gap closed [%]"],
        rows,
        "95 % interval by Student's t over paired seeds: same utterances, noises and ratios in training and test.",
    )


def transcripts_table(metrics: SpeechMetrics) -> Table:
    """Return the table of the transcripts that each round of self-training learnt."""
    rows = [
        [Cell(title, title), Cell(f"{number}", float(number)), percent(entry.share), percent(entry.right)]
        for model, title in _names(metrics).items()
        for number, entry in enumerate(metrics.models[model].transcripts, 1)
    ]
    return Table(
        "Self-training: transcripts of the recordings without words",
        ["Model", "Round", "Used [% of the recordings]", "Of these correct [%]"],
        rows,
        "95 % over seeds. The correct words are used only in this table, in no training and no choice.",
    )


def probe_table(metrics: SpeechMetrics) -> Table:
    """Return the accuracies of fresh probes and of the trained heads in recognising the noise."""
    rows = []
    for model, title in _names(metrics).items():
        head = metrics.models[model].head
        for question, entry in metrics.models[model].probe.items():
            name = _QUESTIONS[question]
            rows.append([
                Cell(title, title), Cell(name, name), percent(entry), percent(head.get(question)),
                percent(entry.chance),
            ])  # fmt: skip
    return Table(
        "Information on the noise in the embedding",
        ["Model", "Quantity", "Fresh probe [%]", "Trained head [%]", "Chance [%]"],
        rows,
        "Balanced accuracy on test utterances; 95 % over seeds. A trained head at chance proves nothing.",
    )


def speakers_table(metrics: SpeechMetrics) -> Table:
    """Return the word error rates of each speaker."""
    rows, keys = [], metrics.quoted
    for model, title in _names(metrics).items():
        for speaker, rates in metrics.models[model].speakers.items():
            rows.append([Cell(title, title), Cell(speaker, speaker), *(percent(rates.get(key)) for key in keys)])
    return Table(
        "Results by speaker", ["Model", "Speaker", *(heading(key) for key in keys)], rows,
        "Word error rate in %, all seeds together.", fold="" if metrics.split == "speaker" else "Every speaker",
    )  # fmt: skip


def tables(metrics: SpeechMetrics) -> dict[str, list[Table]]:
    """Return all tables by section of the report."""
    models = {model.title or name: model for name, model in metrics.models.items()}
    return {
        "summary": [errors_table(metrics)],
        "separation": [
            speakers_table(metrics),
            all_conditions_table("Word error rate [%]", {title: m.word_error_rate for title, m in models.items()}),
            all_conditions_table(
                "Frames in the right state [%]",
                {title: m.frame_accuracy for title, m in models.items() if m.frame_accuracy},
            ),
        ],
        "adaptation": [
            *([comparison_table(metrics)] if metrics.comparison else []),
            *([transcripts_table(metrics)] if any(model.transcripts for model in models.values()) else []),
        ],
        "domains": [probe_table(metrics)],
    }


def conclusions(metrics: SpeechMetrics) -> list[str]:
    """Return the conclusions from the numbers as sentences.

    They compare each model with the baseline and state whether the interval of the difference excludes 0.
    """
    names = _names(metrics)
    lines = []
    for model, by_key in metrics.comparison.items():
        subject = names[model][:1].upper() + names[model][1:]
        for key in metrics.quoted:
            difference = by_key[key].difference
            if difference.value is None or difference.low is None or difference.high is None:
                continue
            verdict = "fewer" if difference.high < 0.0 else "more" if difference.low > 0.0 else "neither fewer nor more"
            value, low, high = (100.0 * end for end in (difference.value, difference.low, difference.high))
            interval = f"{value:+.1f} points, {low:+.1f} to {high:+.1f}"
            where = f"{in_sentence(key)}: {interval} over {by_key[key].seeds} paired seeds"
            lines.append(f"{subject} makes {verdict} word errors than {names[str(metrics.baseline)]} ({where}).")
    if metrics.chosen:
        lines.append(f"Of the strengths, {names[metrics.chosen]} has the fewest word errors on validation recordings.")
    return lines
