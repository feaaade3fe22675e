"""Speech as a kind of data: what is loaded and trained, and which words are right."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hepda.config import SpeechConfig
from hepda.errors import ConfigError, DataError, SourceError
from hepda.kinds import FinishedRun, KindOf, RunComparison, RunContext, loaded
from hepda.results.metrics import head
from hepda.results.record import quantity_of
from hepda.results.speech import SpeechMetrics
from hepda.runtime import run_directory
from hepda.runtime.pool import Send
from hepda.runtime.resources import Resources
from hepda.runtime.terminal import NumberTable, number_table

if TYPE_CHECKING:
    from hepda.number_format import Table as PageTable
    from hepda.report.drawing import FigureTexts
    from hepda.runtime.jobs import TrainingResult
    from hepda.speech.dataset.material import Material
    from hepda.speech.recognition.senones import Aligner
    from hepda.speech.results.numbers import TrainingLog, TrialTable
    from hepda.speech.training.jobs import SpeechJob

Array = NDArray[Any]
_COLUMNS = ("wrong", "hits", "word")


class SpeechKind(KindOf[SpeechMetrics]):
    """An analysis of speech. A score is [members, rows, 3]: a row is a test utterance under a condition."""

    metrics_type = SpeechMetrics
    heavy = (
        "torch", "torch._dynamo", "hepda.adversarial", "hepda.speech.training.jobs", "hepda.speech.results.figures",
        "jiwer", "sklearn.neural_network",
    )  # fmt: skip
    sections: ClassVar[Mapping[str, tuple[str, str]]] = {
        "summary": ("Words", "Word error rates"),
        "inputs": ("Sound", "What are the recordings, and the state of each frame?"),
        "separation": ("Conditions", "Errors by word, speaker and noise"),
        "domains": ("Noise", "Can the noise still be recognised from the embedding?"),
        "adaptation": ("Adaptation", "Effect of the domain head"),
    }

    def __init__(self, config: SpeechConfig) -> None:
        self.config = config
        self._material: Material | None = None
        self._aligners: dict[int, Aligner] = {}
        self._metrics: SpeechMetrics | None = None

    @property
    def material(self) -> Material:
        """Utterances, noises and rooms, after `load`."""
        return loaded(self._material, "the recordings have not been loaded")

    def check(self, progress: Send, *, every_file: bool = False) -> tuple[list[str], list[str]]:
        """Read everything; return a line for utterances, noises and rooms each, or the problem if a file is missing."""
        try:
            self.load(progress)
        except (SourceError, DataError) as error:
            return [], [str(error)]
        return self._lines(), []

    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read the recordings and split them once, so that a split that leaves nothing fails here."""
        from hepda.speech.dataset import material
        from hepda.speech.dataset.subsets import folds, parts_of, subset

        self._material = material.load(self.config)
        for fold in range(folds(self.config, self.material.corpus)):
            parts_of(self.config, self.material.corpus, fold)
        for section in self.config.networks.values():
            subset(self.material, section.noises, self.config.seed)
        if self.config.fusions and any(len(words) != 1 for words in self.material.corpus.words):
            raise DataError("models: a fusion needs utterances of one word each, and some have more; leave it out.")
        return []

    def _lines(self) -> list[str]:
        corpus, noises = self.material.corpus, self.material.noises
        lines = [
            f"{len(corpus)} utterances, {len(corpus.speakers)} speakers, {corpus.tape.seconds:.0f} s: {corpus.origin}",
            f"{len(self.material.seen)} noises in training, {len(self.material.unseen)} only in tests: "
            f"{', '.join(noises.names[number] for number in self.material.unseen) or 'none'}",
        ]
        return [*lines, *([f"{len(self.material.rooms)} rooms"] if self.material.rooms else [])]

    def contents(self) -> Iterable[tuple[str, Array]]:
        """Yield all samples of speech and noise, the rooms, and the words and speakers."""
        material, corpus = self.material, self.material.corpus
        yield "speech", corpus.tape.samples.numpy()
        yield "noise to train on", material.noises.train.tape.samples.numpy()
        yield "noise to test with", material.noises.test.tape.samples.numpy()
        for name, room in zip(material.rooms, material.responses, strict=True):
            yield f"room {name}", room.numpy()
        description = [corpus.names, corpus.words, corpus.vocabulary, corpus.speakers, corpus.speaker.tolist()]
        yield "words and speakers", np.frombuffer(json.dumps(description).encode(), np.uint8)

    def aligner(self, fold: int) -> Aligner:
        """Return the aligner of a fold, trained on the recordings that come with their words."""
        from hepda.speech.dataset.material import trained_aligner
        from hepda.speech.dataset.subsets import parts_of

        if fold not in self._aligners:
            corpus = self.material.corpus
            known = parts_of(self.config, corpus, fold).known
            self._aligners[fold] = trained_aligner(self.config, corpus.select(known))
        return self._aligners[fold]

    def jobs(self, run: Path, work: Path, device: str) -> list[SpeechJob]:
        """Return the trainings of every model, seed and fold; write recordings and aligners to `work`."""
        from hepda.speech.dataset.material import (
            alignment_of,
            read_aligner,
            write_aligner,
            write_alignment,
            write_material,
        )
        from hepda.speech.dataset.subsets import folds
        from hepda.speech.training.jobs import jobs_of

        table = work / "table"
        write_material(self.material, table)
        for fold in range(folds(self.config, self.material.corpus)):
            path = table / f"aligner-fold{fold}.safetensors"
            if path.exists():
                self._aligners[fold] = read_aligner(path)
            else:
                write_aligner(self.aligner(fold), path)
            states = alignment_of(self.config, self.aligner(fold), self.material.corpus)
            write_alignment(states, table / f"alignment-fold{fold}.safetensors")
        return jobs_of(self.config, self.material, table, run, work, device)

    def combine(self, results: Sequence[TrainingResult], run: Path) -> dict[str, Array]:
        """Return the scores [members, rows, 3] of each model: its trainings, fold after fold; of a fusion by member."""
        from hepda.speech.results.numbers import fused

        outputs = {}
        for model in self.config.networks:
            of_model = sorted((r for r in results if r.model == model), key=lambda r: (r.member, r.fold))
            members = [[r.score for r in of_model if r.member == member] for member in range(self.config.seeds)]
            outputs[model] = np.stack([np.concatenate(parts) for parts in members])
        scores = {model: values[..., : len(_COLUMNS)] for model, values in outputs.items()}
        spoken = np.array([words[0] for words in self.material.corpus.words])
        for model, section in self.config.fusions.items():
            of_words = [outputs[name][..., len(_COLUMNS) :] for name in section.of]
            scores[model] = fused(of_words, spoken[self.table().utterance])
        return {model: scores[model] for model in self.config.models}

    def table(self) -> TrialTable:
        """Return the table that describes each row of a score."""
        from hepda.speech.results.numbers import table_of

        return table_of(self.config, self.material)

    def score_columns(self, scores: Mapping[str, Array]) -> dict[str, Any]:
        """Return the columns of scores.parquet: a row for each utterance and condition."""
        table, corpus, names = self.table(), self.material.corpus, self.material.noises.names
        columns: dict[str, Any] = {
            "utterance": [corpus.names[number] for number in table.utterance],
            "speaker": [corpus.speakers[number] for number in table.speaker],
            "fold": table.fold,
            "condition": table.condition.astype(object),
            "noise": [names[number] if number >= 0 else None for number in table.noise],
            "snr": np.where(np.isfinite(table.snr), table.snr, np.nan),
            "words": table.said,
            "frames": table.frames,
        }
        for model, score in scores.items():
            for member, values in enumerate(score):
                for number, name in enumerate(_COLUMNS):
                    columns[f"{model}.{member}.{name}"] = values[:, number]
        return columns

    def saved_scores(self, run: Path) -> dict[str, Array]:
        """Return the scores of scores.parquet. Raises ConfigError if they are not those of the recordings read now."""
        columns = [f"{m}.{s}.{c}" for m in self.config.models for s in range(self.config.seeds) for c in _COLUMNS]
        saved, table = run_directory.read_scores(run, {"utterance": "OUS"} | dict.fromkeys(columns, "f")), self.table()
        names = [self.material.corpus.names[number] for number in table.utterance]
        if saved["utterance"].to_pylist() != names:
            raise ConfigError(
                f"{run / 'scores.parquet'} is not of the models and recordings of {run / 'config.yaml'}. Train again."
            )
        return {
            model: np.stack([
                np.stack([saved[f"{model}.{member}.{column}"].to_numpy() for column in _COLUMNS], axis=1)
                for member in range(self.config.seeds)
            ])
            for model in self.config.models
        }  # fmt: skip

    def files(self) -> Any:
        """Return the origin of the utterances, every file of noise, and the rooms."""
        return {
            "speech": self.material.corpus.origin,
            "utterances": len(self.material.corpus),
            "seconds": self.material.corpus.tape.seconds,
            "noises": {name: [str(p) for p in paths] for name, paths in self.material.noises.files.items()},
            "synthetic_noises": list(self.config.noise.synthetic),
            "rooms": list(self.material.rooms),
        }

    def training_log(self, model: str, run: Path) -> TrainingLog:
        """Return the manifest entries of the trainings of a model."""
        from hepda.speech.results.numbers import TrainingLog

        if model in self.config.fusions:  # it is tested in the noises that its first model was trained in
            return replace(self.training_log(self.config.fusions[model].of[0], run), about=())
        trainings = run_directory.read_json(run / "manifest.json")["training"]
        about = {name: entry for name, entry in trainings.items() if name.rpartition("-fold")[0] == model}
        noises = tuple(tuple(about[f"{model}-fold0-member{member}"]["noises"]) for member in range(self.config.seeds))
        return TrainingLog(noises, tuple(about.values()))

    def measure(self, scores: Mapping[str, Array], context: RunContext) -> SpeechMetrics:
        """Return word error rates, frame accuracies, probes and paired differences."""
        from hepda.speech.results.numbers import comparison, key_of, model_numbers, quoted

        table, models = self.table(), {}
        for model, score in scores.items():
            numbers = model_numbers(self.config, self.material, table, score, self.training_log(model, context.run))
            models[model] = {
                "title": self.config.models[model].title or model, **numbers, "training": context.training[model],
            }  # fmt: skip
        reversing = [m for m, s in self.config.networks.items() if s.domain and (s.domain.alpha or 0.0) > 0.0]
        chosen = min(reversing, key=lambda m: models[m]["validation"]["value"]) if len(reversing) > 1 else None
        content = {
            **head(self.config),
            "split": self.config.split.by,
            "quoted": [key_of(name, snr) for name, snr in quoted(self.config, table)],
            "baseline": self.config.baseline,
            "chosen": chosen,
            "models": models,
            "comparison": comparison(self.config, {m: numbers["seeds"] for m, numbers in models.items()}),
        }
        self._metrics = SpeechMetrics.from_json(run_directory.plain(content))
        return self._metrics

    def figures(self, scores: Mapping[str, Array], context: RunContext) -> FigureTexts:
        """Return the data of every figure."""
        from hepda.report.drawing import texts_of
        from hepda.speech.results.figures import SpeechFigureData, drawings

        if self._metrics is None:
            raise RuntimeError("figures are drawn of numbers: call measure first")
        figure_data = SpeechFigureData(
            self.config, self.material, self.aligner(0), self.table(), scores, self._metrics.models, context.histories
        )
        return texts_of(drawings(figure_data))

    def conclusions(self, metrics: SpeechMetrics) -> list[str]:
        """Say which models make fewer word errors than the baseline, and which cannot be distinguished from it."""
        from hepda.speech.results.tables import conclusions

        return conclusions(metrics)

    def tables(self, metrics: SpeechMetrics) -> dict[str, list[PageTable]]:
        """Return the tables of errors, differences, probes and speakers."""
        from hepda.report.training import training_table
        from hepda.speech.results.tables import tables

        by_section = tables(metrics)
        return by_section | {"training": [training_table(metrics), *by_section.get("training", [])]}

    def terminal(self, metrics: SpeechMetrics) -> NumberTable:
        """Return the word error rates."""
        from hepda.speech.results.tables import errors_table

        return number_table(metrics.name, errors_table(metrics))

    def comparison(self, runs: Sequence[FinishedRun[SpeechMetrics]], merged: SpeechMetrics) -> RunComparison:
        """Return word error rates and trainings, and a panel of the rates at each quoted condition."""
        from hepda.plotting.comparison import ComparisonPanel, Measurement
        from hepda.report.training import training_table
        from hepda.speech.results.tables import errors_table, in_sentence

        values: dict[str, dict[tuple[str, str], Measurement]] = {}
        for run in runs:
            for key in run.metrics.quoted:
                for model, entry in run.metrics.models.items():
                    rate = quantity_of(entry.word_error_rate[key]).scaled(100.0)
                    if rate.value is not None:
                        values.setdefault(key, {})[model, run.name] = Measurement(rate.value, rate.low, rate.high)
        panels = [ComparisonPanel(f"Word errors, {in_sentence(key)} [%]", rates) for key, rates in values.items()]
        return RunComparison({"summary": [errors_table(merged)], "training": [training_table(merged)]}, [panels])
