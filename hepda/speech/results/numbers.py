"""From the results of trainings on the trials to the numbers of metrics.json; arrays in, plain values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.variance import spread
from hepda.speech.dataset.material import Material
from hepda.speech.dataset.subsets import extractor_of, folds, parts_of
from hepda.speech.dataset.trials import CLEAN, SEEN, trials_of
from hepda.speech.recognition.decoding import Rate, over_speakers

if TYPE_CHECKING:
    from hepda.config import SpeechConfig

Array = NDArray[Any]
Scores = Mapping[str, Array]
WRONG, HITS, WORD = range(3)
"""Columns of a score [members, rows, 3]."""


@dataclass(frozen=True, slots=True)
class TrialTable:
    """The meaning of each row of a score: an utterance under a condition.

    Attributes:
        utterance, speaker: numbers in the corpus [n].
        fold: the fold whose networks are tested on it [n].
        condition: name of the condition [n].
        noise, room: numbers of types, -1: none [n].
        snr: in dB, infinite without noise [n].
        said, frames: number of reference words and of frames [n].

    """

    utterance: Array
    speaker: Array
    fold: Array
    condition: Array
    noise: Array
    room: Array
    snr: Array
    said: Array
    frames: Array

    def where(self, condition: str, snr: float | None = None) -> Array:
        """Return the rows of a condition (at a ratio if `snr` is given), bool [n]."""
        selected: Array = self.condition == condition
        return selected if snr is None else selected & (self.snr == snr)


def table_of(config: SpeechConfig, material: Material) -> TrialTable:
    """Return the rows of scores: fold by fold, trial by trial, utterance by utterance."""
    corpus, bank = material.corpus, extractor_of(config).bank
    parts: dict[str, list[Array]] = {name: [] for name in TrialTable.__dataclass_fields__}
    for fold in range(folds(config, corpus)):
        test = parts_of(config, corpus, fold).test.numpy()
        count = len(test)
        said = np.array([len(corpus.words[number]) for number in test])
        frames = (corpus.tape.length.numpy()[test] - bank.size) // bank.hop_samples + 1
        for trial in trials_of(config, material, count):
            row = {
                "utterance": test,
                "speaker": corpus.speaker.numpy()[test],
                "fold": np.full(count, fold),
                "condition": np.full(count, trial.condition),
                "noise": trial.noise.numpy(),
                "room": trial.room.numpy(),
                "snr": np.full(count, trial.snr),
                "said": said,
                "frames": frames,
            }
            for name, values in row.items():
                parts[name].append(values)
    return TrialTable(**{name: np.concatenate(values) for name, values in parts.items()})


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """Information on the trainings of a model in addition to its scores.

    Attributes:
        noises: for each member, the names of the types in its training.
        about: the description that each training returned, in no particular order; empty for a fusion.

    """

    noises: tuple[tuple[str, ...], ...]
    about: tuple[Mapping[str, Any], ...]


def counted(table: TrialTable, heard: TrainingLog, names: Sequence[str], rows: Array) -> Array:
    """Return which of the chosen rows count for each member, bool [members, n].

    Of rows with seen noises, a member counts only those with noises that are in its training.

    Args:
        table: the rows of the scores.
        heard: the noises of each member.
        names: names of the types of noise.
        rows: the chosen rows, bool [n].

    """
    known = np.array([[name in noises for name in names] for noises in heard.noises])
    seen = (table.condition == SEEN) & (table.noise >= 0)
    masks = np.tile(rows, (len(heard.noises), 1))
    masks[:, seen] &= known[:, table.noise[seen]]
    return masks


def rate(table: TrialTable, score: Array, masks: Array, what: int, seed: int) -> Rate:
    """Return the word error rate (WRONG) or the frame accuracy (HITS) over the rows and members that count.

    Args:
        table: the rows of the scores.
        score: scores [members, n, 3].
        masks: rows that count for each member, bool [members, n].
        what: WRONG or HITS.
        seed: seed of the bootstrap.

    """
    below = table.said if what == WRONG else table.frames
    above_sum = (score[:, :, what] * masks).sum(axis=0)
    below_sum = below * masks.sum(axis=0)
    rows = below_sum > 0
    return over_speakers(above_sum[rows], below_sum[rows].astype(float), table.speaker[rows], seed=seed)


def fused(of_words: Sequence[Array], spoken: Array) -> Array:
    """Return the scores of a fusion of models: the word with the largest mean of what the models say of it.

    Args:
        of_words: of each model, the log likelihoods of the words [members, n, words] by `decoding.word_scores`.
        spoken: the one reference word of each row [n].

    Returns:
        Scores [members, n, 3]; no frame is recognised, so the number of correct ones (HITS) is NaN.

    """
    word = np.mean(of_words, axis=0).argmax(axis=2)
    wrong = (word != spoken).astype(np.float32)
    return np.stack([wrong, np.full(wrong.shape, np.nan, np.float32), word.astype(np.float32)], axis=2)


def by_member(table: TrialTable, score: Array, masks: Array) -> Array:
    """Return the word error rate of each member, float64 [members]."""
    rates: Array = (score[:, :, WRONG] * masks).sum(axis=1) / (table.said * masks).sum(axis=1)
    return rates


def conditions(config: SpeechConfig, table: TrialTable) -> dict[str, tuple[float | None, ...]]:
    """Return the conditions that were tested, each with its ratios (None: no noise)."""
    return {
        str(name): config.evaluation.snr if np.isfinite(table.snr[table.where(str(name))]).all() else (None,)
        for name in dict.fromkeys(table.condition.tolist())
    }


def key_of(condition: str, snr: float | None) -> str:
    """Return the name of a condition at a ratio in metrics.json: `clean`, `unseen 0 dB`."""
    return condition if snr is None else f"{condition} {snr:g} dB"


def model_numbers(
    config: SpeechConfig, material: Material, table: TrialTable, score: Array, heard: TrainingLog
) -> dict[str, Any]:
    """Return word error rates and frame accuracies by condition, also for each seed, and the results of the probes."""
    trained = len(heard.about) > 0
    errors, accuracy, seeds = {}, {}, {}
    for condition, ratios in conditions(config, table).items():
        for snr in ratios:
            masks = counted(table, heard, material.noises.names, table.where(condition, snr))
            key = key_of(condition, snr)
            errors[key] = rate(table, score, masks, WRONG, config.seed).to_dict()
            if trained:
                accuracy[key] = rate(table, score, masks, HITS, config.seed).to_dict()
            seeds[key] = by_member(table, score, masks).tolist()
    numbers: dict[str, Any] = {
        "word_error_rate": errors,
        "frame_accuracy": accuracy,
        "seeds": seeds,
        "speakers": by_speaker(config, material, table, score, heard),
        "validation": spread([about["validation_word_error_rate"] for about in heard.about])
        if trained
        else {"value": None, "low": None, "high": None, "why": "a fusion is made of scores of the tests alone"},
        "noises": len(heard.noises[0]),
    }
    for what in ("noise", "pair", "room"):
        probes = [about["probes"][what] for about in heard.about if what in about.get("probes", {})]
        if probes:
            accuracies = spread([probe["value"] for probe in probes])
            numbers.setdefault("probe", {})[what] = accuracies | {"chance": probes[0]["chance"]}
    transcripts = [about["transcripts"] for about in heard.about if "transcripts" in about]
    if transcripts:
        numbers["transcripts"] = [
            {name: spread([one[name] for one in rounds]) for name in ("share", "right")}
            for rounds in zip(*transcripts, strict=True)
        ]
    heads = [about["head"] for about in heard.about if "head" in about]
    if heads:
        numbers["head"] = {heads[0]["of"]: spread([h["value"] for h in heads]) | {"chance": heads[0]["chance"]}}
    return numbers


def by_speaker(
    config: SpeechConfig, material: Material, table: TrialTable, score: Array, heard: TrainingLog
) -> dict[str, dict[str, float]]:
    """Return the word error rates of each speaker at the quoted conditions."""
    rates: dict[str, dict[str, float]] = {}
    for condition, snr in quoted(config, table):
        masks = counted(table, heard, material.noises.names, table.where(condition, snr))
        for number, name in enumerate(material.corpus.speakers):
            of_speaker = masks & (table.speaker == number)
            if of_speaker.any():
                wrong, said = (score[:, :, WRONG] * of_speaker).sum(), (table.said * of_speaker).sum()
                rates.setdefault(name, {})[key_of(condition, snr)] = float(wrong / said)
    return rates


def quoted(config: SpeechConfig, table: TrialTable) -> list[tuple[str, float | None]]:
    """Return the conditions in tables: those with noise at the quoted ratio, the others (clean, rooms) without one."""
    return [
        (name, config.evaluation.quoted if ratios[0] is not None else None)
        for name, ratios in conditions(config, table).items()
    ]


def comparison(config: SpeechConfig, seeds: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, dict[str, Any]]:
    """Return differences of word error rates to the baseline, paired by seed, and the closed part of the gap.

    The gap is the one between the baseline and the ceiling. The relative change is that of the means; `worse` counts
    seeds with more errors than the baseline has.

    Args:
        config: the config of the analysis.
        seeds: for each model and condition, the rate of each seed.

    """
    base, ceiling = seeds[config.baseline], config.evaluation.ceiling
    differences: dict[str, dict[str, Any]] = {}
    for model, by_condition in seeds.items():
        if model == config.baseline:
            continue
        differences[model] = {}
        for key, values in by_condition.items():
            difference = np.asarray(values) - np.asarray(base[key])
            mean = float(np.mean(base[key]))
            entry: dict[str, Any] = {
                "difference": spread(difference.tolist()),
                "relative": float(difference.mean() / mean) if mean > 0.0 else None,
                "worse": int((difference > 0.0).sum()),
                "seeds": len(values),
            }
            if ceiling is not None and model != ceiling:
                gap = mean - float(np.mean(seeds[ceiling][key]))
                entry["gap_closed"] = float(-difference.mean() / gap) if gap > 0.0 else None
            differences[model][key] = entry
    return differences


def confusion(table: TrialTable, score: Array, spoken: Array, classes: int, rows: Array) -> Array:
    """Return the shares [classes, classes] of recognised words (columns) for each reference word (rows).

    Only utterances with a single recognised word count. A row without any is 0.

    Args:
        table: the rows of the scores.
        score: scores [members, n, 3].
        spoken: the reference word of the utterance of each row [n].
        classes: number of words.
        rows: the rows to use, bool [n].

    """
    counts = np.zeros((classes, classes))
    for member in score:
        words = member[rows, WORD].astype(int)
        single = words >= 0
        np.add.at(counts, (spoken[rows][single], words[single]), 1.0)
    shares: Array = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    return shares


def is_quoted(config: SpeechConfig, table: TrialTable, condition: str) -> Array:
    """Return the rows of a condition at the quoted ratio, bool [n]."""
    return table.where(condition) if condition == CLEAN else table.where(condition, config.evaluation.quoted)
