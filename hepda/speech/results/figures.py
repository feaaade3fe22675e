"""The figures of a run of speech. A new figure is a function, in any module, and a line of FIGURES."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from hepda.plotting import speech as plots
from hepda.plotting.base.plot import Plot
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of
from hepda.report.training import history_drawings
from hepda.results.record import Measured
from hepda.results.speech import Recognition, SpeechModel
from hepda.speech.dataset.material import Material, aligner_frames
from hepda.speech.dataset.subsets import extractor_of, parts_of
from hepda.speech.dataset.trials import CLEAN, NEW_ROOM, ROOM, SEEN, UNSEEN, Trial, trial_tape
from hepda.speech.results.numbers import Scores, TrialTable, confusion, is_quoted, key_of, quoted

if TYPE_CHECKING:
    from hepda.config import SpeechConfig
    from hepda.speech.recognition.senones import Aligner

FIGURES = {
    "errors": "hepda.speech.results.figures:errors",
    "probes": "hepda.speech.results.figures:probes",
    "confusions": "hepda.speech.results.figures:confusions",
    "sounds": "hepda.speech.results.figures:sounds",
    "trainings": "hepda.speech.results.figures:trainings",
}
"""Groups of figures, `module:function`, in the order of the report; a function yields drawings of SpeechFigureData."""
TITLES = {
    CLEAN: "Clean", SEEN: "Noises of the training", UNSEEN: "Unseen noises",
    ROOM: "Rooms of the training", NEW_ROOM: "Unseen rooms",
}  # fmt: skip
CONFUSIONS = 3  # largest number of panels


@dataclass(frozen=True, slots=True)
class SpeechFigureData:
    """The data of the figures."""

    config: SpeechConfig
    material: Material
    aligner: Aligner
    table: TrialTable
    scores: Scores
    models: Mapping[str, SpeechModel]
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]

    def title(self, model: str) -> str:
        """Return the name of a model in figures."""
        return self.config.models[model].title or model


def drawings(run: SpeechFigureData) -> list[Drawing]:
    """Return all figures of a run."""
    return drawings_of(FIGURES, run)


def trainings(run: SpeechFigureData) -> Iterator[Drawing]:
    """Yield the history of each model."""
    caption = (
        "One line per training. A domain head at chance does not prove that no information is left; see the fresh "
        "probes."
    )
    yield from history_drawings(run.histories, run.title, caption)


def _curve(points: Sequence[tuple[float, Measured]]) -> plots.ErrorCurve:
    """Return a curve of points (x, number); a missing interval has no width."""
    value = np.array([entry.value for _, entry in points])
    low = np.array([entry.value if entry.low is None else entry.low for _, entry in points])
    high = np.array([entry.value if entry.high is None else entry.high for _, entry in points])
    return plots.ErrorCurve(np.array([x for x, _ in points]), value, low, high)


def errors(run: SpeechFigureData) -> Iterator[Drawing]:
    """Yield word error rates against the ratio of speech to noise, and against the number of noises in training."""
    ratios = run.config.evaluation.snr
    panels: dict[str, dict[str, plots.ErrorCurve]] = {}
    for condition in (SEEN, UNSEEN):
        for model, numbers in run.models.items():
            rates = numbers.word_error_rate
            if key_of(condition, ratios[0]) in rates:
                points = [(snr, rates[key_of(condition, snr)]) for snr in sorted(ratios)]
                panels.setdefault(TITLES[condition], {})[run.title(model)] = _curve(points)
    caption = (
        "Test utterances, with parts of the noise recordings that are not used in training. Bars: 95 % intervals of "
        "the mean of all seeds, from a bootstrap over speakers and utterances."
    )
    by_number = _by_number(run)
    if len(ratios) > 1 or not by_number:  # with a single ratio the figure by number of noises contains more
        yield Drawing(
            "summary", "errors", "Word error rate against the ratio of speech to noise", caption,
            lambda: Plot.of(plots.error_figure, panels, xlabel="Speech over noise [dB]"),
            first=True,
        )  # fmt: skip
    if by_number:
        yield Drawing(
            "summary", "noises", "Word error rate against the number of noises in training",
            f"At {run.config.evaluation.quoted:g} dB; subsets of noises are drawn with the seed, the same for all "
            f"models. {caption}",
            lambda: Plot.of(plots.error_figure, by_number, xlabel="Types of noise in training"),
            first=True,
        )  # fmt: skip


def _by_number(run: SpeechFigureData) -> dict[str, dict[str, plots.ErrorCurve]]:
    """Return curves against the number of types of noise, each of models that differ in this number only.

    The result is empty if there is only one number.
    """
    groups: dict[str, list[tuple[float, str]]] = {}
    for model, section in run.config.networks.items():
        if "noisy" not in section.train_on:
            continue
        alpha = section.domain.alpha if section.domain is not None else None
        name = "no domain head" if not alpha else f"{section.domain.of if section.domain else ''}, α = {alpha:g}"
        groups.setdefault(name, []).append((float(run.models[model].noises), model))
    panels: dict[str, dict[str, plots.ErrorCurve]] = {}
    for condition in (SEEN, UNSEEN):
        key = key_of(condition, run.config.evaluation.quoted)
        for name, points in groups.items():
            rates = [(x, run.models[m].word_error_rate.get(key)) for x, m in sorted(points)]
            known = [(x, entry) for x, entry in rates if entry is not None]
            if len({x for x, _ in known}) > 1:
                panels.setdefault(TITLES[condition], {})[name] = _curve(known)
    return panels


def probes(run: SpeechFigureData) -> Iterator[Drawing]:
    """Yield how well fresh networks, and the domain heads themselves, distinguish the noises."""
    measured: dict[str, dict[str, list[tuple[float, Recognition]]]] = {"probe": {}, "head": {}}
    chance: dict[str, float] = {}
    for model, section in run.config.networks.items():
        if section.noises is not None or section.domain is None or section.domain.alpha is None:
            continue
        of, numbers = section.domain.of, run.models[model]
        for kind, by_question in (("probe", numbers.probe), ("head", numbers.head)):
            if of in by_question:
                measured[kind].setdefault(of, []).append((section.domain.alpha, by_question[of]))
                chance[of] = float(by_question[of].chance or 0.0)
    baselines = [
        m for m, s in run.config.networks.items() if s.domain is None and s.train_on == ("noisy",) and not s.noises
    ]
    at_zero = run.models[baselines[0]].probe if baselines else {}
    for question, points in measured["probe"].items():
        if all(alpha != 0.0 for alpha, _ in points) and question in at_zero:
            points.append((0.0, at_zero[question]))
    curves = {
        kind: {of: _curve(sorted(points, key=lambda point: point[0])) for of, points in by_domain.items()}
        for kind, by_domain in measured.items()
    }
    if curves["probe"]:
        yield Drawing(
            "domains", "probes", "Information on the noise in the embedding",
            "Accuracy of a fresh network on its test utterances, and of the trained head; α below 0: head not "
            "reversed, 0: no head. Bars: 95 % over seeds.",
            lambda: Plot.of(plots.probe_figure, curves["probe"], curves["head"], chance),
            first=True,
        )  # fmt: skip


def confusions(run: SpeechFigureData) -> Iterator[Drawing]:
    """Yield which words each model takes for which."""
    corpus = run.material.corpus
    spoken = np.array([words[0] if len(words) == 1 else -1 for words in corpus.words])[run.table.utterance]
    for model in run.models:
        panels = {}
        for condition, snr in quoted(run.config, run.table)[:CONFUSIONS]:
            rows = is_quoted(run.config, run.table, condition) & (spoken >= 0)
            title = TITLES[condition] if snr is None else f"{TITLES[condition]}, {snr:g} dB"
            panels[title] = confusion(run.table, run.scores[model], spoken, len(corpus.vocabulary), rows)
        yield Drawing(
            "separation", f"confusion_{model}", f"Confusion of words, {run.title(model)}",
            "In percent of each spoken word, all seeds together.",
            lambda panels=panels: Plot.of(plots.confusion_figure, panels, corpus.vocabulary),  # type: ignore[misc]
            first=True,
        )  # fmt: skip


def sounds(run: SpeechFigureData) -> Iterator[Drawing]:
    """Yield spectrograms of one utterance, clean and mixed with noise, and alignments of some utterances."""
    config, material = run.config, run.material
    test = material.corpus.select(parts_of(config, material.corpus, 0).test)
    first = test.select(torch.tensor([len(test) // 2]))
    bank, none = extractor_of(config).bank, torch.tensor([-1])
    panels = {f"\u201c{test.vocabulary[first.words[0][0]]}\u201d, clean": bank.of_tape(first.tape).values.numpy()}
    for kinds, snr in ((material.seen, 10.0), (material.unseen or material.seen, 0.0)):
        trial = Trial("", torch.tensor([kinds[0]]), snr, none)
        mixture = trial_tape(trial, 0, material, first.tape, config.seed)
        panels[f"{material.noises.names[kinds[0]]}, {snr:g} dB"] = bank.of_tape(mixture).values.numpy()
    hop = config.frames.hop
    yield Drawing(
        "inputs", "spectrograms", "An utterance, clean and in noise",
        "Log energies of mel bands, before any normalisation.",
        lambda: Plot.of(plots.spectrogram_figure, panels, hop=hop),
    )  # fmt: skip
    shown = test.select(torch.linspace(0, len(test) - 1, 4).long())
    frames, _ = aligner_frames(config, shown.tape)
    senone = run.aligner.align(frames, shown.words)
    energies = bank.of_tape(shown.tape).values
    parts = [(frames.utterance == number).numpy() for number in range(len(shown))]
    titles = [
        f"\u201c{shown.vocabulary[words[0]]}\u201d, {shown.speakers[int(who)]}"
        for words, who in zip(shown.words, shown.speaker, strict=True)
    ]
    yield Drawing(
        "inputs", "alignment", "State of each frame",
        "Test utterances with their known words, by Viterbi through the hidden Markov models that provide the labels "
        "of the trainings.",
        lambda: Plot.of(
            plots.alignment_figure,
            [energies.numpy()[part] for part in parts], [senone.numpy()[part] for part in parts], titles, hop=hop,
            silence=run.aligner.lexicon.silence,
        ),
    )  # fmt: skip
