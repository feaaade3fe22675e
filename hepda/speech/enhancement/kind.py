"""Speech enhancement as a kind of data: what is loaded and trained, and the quality of every test mixture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from hepda import scores as scores_of
from hepda.config import EnhancementConfig
from hepda.errors import DataError, SourceError
from hepda.kinds import FinishedRun, KindOf, RunComparison, RunContext, loaded
from hepda.results.enhancement import EnhancementMetrics
from hepda.results.metrics import head
from hepda.results.record import quantity_of
from hepda.runtime import run_directory
from hepda.runtime.pool import Send
from hepda.runtime.resources import Resources
from hepda.runtime.terminal import NumberTable, number_table

if TYPE_CHECKING:
    from hepda.number_format import Table as PageTable
    from hepda.report.drawing import FigureTexts
    from hepda.runtime.jobs import TrainingResult
    from hepda.speech.enhancement.jobs import EnhancementJob
    from hepda.speech.enhancement.mixtures import Sounds

Array = NDArray[Any]


class EnhancementKind(KindOf[EnhancementMetrics]):
    """An analysis of enhancement. A score is [members, rows, metrics]: a row is a test mixture."""

    metrics_type = EnhancementMetrics
    heavy = (
        "torch", "torch._dynamo", "hepda.adversarial", "hepda.speech.enhancement.jobs",
        "hepda.speech.enhancement.figures",
    )  # fmt: skip
    sections: ClassVar[Mapping[str, tuple[str, str]]] = {
        "summary": ("Quality", "Quality of the enhanced speech"),
        "inputs": ("Sound", "What does it sound like?"),
        "separation": ("Ratios", "Quality by ratio of speech to noise"),
        "adaptation": ("Comparison", "What does each part of a model gain?"),
    }

    def __init__(self, config: EnhancementConfig) -> None:
        self.config = config
        self._sounds: Sounds | None = None
        self._metrics: EnhancementMetrics | None = None

    @property
    def sounds(self) -> Sounds:
        """Recordings, noises and test mixtures, after `load`."""
        return loaded(self._sounds, "the recordings have not been loaded")

    def check(self, progress: Send, *, every_file: bool = False) -> tuple[list[str], list[str]]:
        """Read everything; return lines about speech and noise, or the problem if a file is missing."""
        try:
            self.load(progress)
        except (SourceError, DataError) as error:
            return [], [str(error)]
        sounds = self.sounds
        test, training = sounds.test, sounds.pairs
        trained_on = f"{len(sounds.training)} recordings" if training is None else f"{len(training)} pairs"
        tested = sorted({sounds.speakers[number] for number in test.speaker.tolist()})
        lines = [
            f"{trained_on} to train on; tests: {len(test)} mixtures of {test.clean.seconds:.0f} s, speakers "
            f"{', '.join(tested)}",
            *(f"{key}: {value}" for key, value in sounds.origin.items()),
        ]
        return lines, []

    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read all recordings and make the test mixtures; a package that a metric needs must be there."""
        from hepda.speech.enhancement.mixtures import load_sounds
        from hepda.speech.quality.recordings import check_packages

        check_packages(self.config.evaluation.metrics, "evaluation.metrics")
        for name, section in self.config.networks.items():
            if section.kind == "mask" and section.adversary is not None:
                check_packages([section.adversary.metric], f"models.{name}.adversary.metric")
        self._sounds = load_sounds(self.config)
        return []

    def contents(self) -> Iterable[tuple[str, Array]]:
        """Yield all samples of the tests, and what is trained on."""
        sounds = self.sounds
        yield "clean speech of the tests", sounds.test.clean.samples.numpy()
        yield "noisy speech of the tests", sounds.test.noisy.samples.numpy()
        if sounds.material is not None:
            yield "speech", sounds.material.corpus.tape.samples.numpy()
            yield "recordings to train on", sounds.training.numpy()
            yield "noise to train on", sounds.material.noises.train.tape.samples.numpy()
        if sounds.pairs is not None:
            yield "clean speech to train on", sounds.pairs.clean.samples.numpy()
            yield "noisy speech to train on", sounds.pairs.noisy.samples.numpy()

    def jobs(self, run: Path, work: Path, device: str) -> list[EnhancementJob]:
        """Return the trainings of every network and seed, and one job for each filter; write all sound to `work`."""
        from hepda.speech.enhancement.jobs import jobs_of
        from hepda.speech.enhancement.mixtures import write_sounds

        write_sounds(self.sounds, work / "table")
        return jobs_of(self.config, work / "table", run, work, device)

    def combine(self, results: Sequence[TrainingResult], run: Path) -> dict[str, Array]:
        """Return the scores [members, rows, metrics] of each model."""
        return scores_of.stacked(results, self.config.models)

    def score_columns(self, scores: Mapping[str, Array]) -> dict[str, Any]:
        """Return the columns of scores.parquet: a row for each test mixture."""
        sounds, test = self.sounds, self.sounds.test
        columns: dict[str, Any] = {
            "string": test.string.numpy(),
            "speaker": [sounds.speakers[number] for number in test.speaker.tolist()],
            "noise": [sounds.noises[number] if number >= 0 else None for number in test.noise.tolist()],
            "snr": test.snr.numpy(),
        }
        return columns | scores_of.columns_of(scores, self.config.evaluation.metrics)

    @property
    def _members(self) -> dict[str, int]:
        """The number of trainings of each model; what is not trained is done once."""
        config = self.config
        return {model: config.seeds if model in config.networks else 1 for model in config.models}

    def saved_scores(self, run: Path) -> dict[str, Array]:
        """Return the scores of scores.parquet. Raises ConfigError if they are not those of the sound read now."""
        strings = self.sounds.test.string.numpy()
        return scores_of.read(run, self._members, self.config.evaluation.metrics, ("string", strings))

    def files(self) -> Any:
        """Return where speech and noise are from, and how much there is."""
        sounds = self.sounds
        return {**sounds.origin, "mixtures": len(sounds.test), "seconds": sounds.test.clean.seconds}

    def measure(self, scores: Mapping[str, Array], context: RunContext) -> EnhancementMetrics:
        """Return the quality of every model, its gain over the noisy speech, and differences to the baseline."""
        from hepda.speech.enhancement.numbers import comparison, conditions_of, model_numbers

        config, sounds = self.config, self.sounds
        trainings = run_directory.read_json(context.run / "manifest.json")["training"]
        noisy = next((scores[name] for name, section in config.models.items() if section.kind == "noisy"), None)
        models = {}
        for model, score in scores.items():
            about = [trainings[f"{model}-fold0-member{member}"] for member in range(self._members[model])]
            counted = {
                key: sum(entry[key] for entry in about) for key in ("measured", "not_measured") if key in about[0]
            }
            models[model] = {
                "title": config.models[model].title or model, **model_numbers(config, sounds, score, noisy), **counted,
                "training": context.training[model],
            }  # fmt: skip
        content = {
            **head(config),
            "metrics": list(config.evaluation.metrics),
            "conditions": conditions_of(config),
            "strings": config.evaluation.strings,
            "baseline": config.baseline,
            "ideal_masks": [name for name, section in config.models.items() if section.kind == "ideal_mask"],
            "models": models,
            "comparison": comparison(config, sounds, scores),
        }
        self._metrics = EnhancementMetrics.from_json(run_directory.plain(content))
        return self._metrics

    def figures(self, scores: Mapping[str, Array], context: RunContext) -> FigureTexts:
        """Return the data of every figure; write the sounds of the report."""
        from hepda.report.drawing import texts_of
        from hepda.report.sounds import record
        from hepda.speech.enhancement.figures import EnhancementData, drawings, sounds

        if self._metrics is None:
            raise RuntimeError("figures are drawn of numbers: call measure first")
        data = EnhancementData(self.config, self.sounds, self._metrics, context.histories, context.run)
        record(context.run, sounds(data))
        return texts_of(drawings(data))

    def conclusions(self, metrics: EnhancementMetrics) -> list[str]:
        """Return which models are better than the baseline, and in what."""
        from hepda.speech.enhancement.tables import conclusions

        return conclusions(metrics)

    def tables(self, metrics: EnhancementMetrics) -> dict[str, list[PageTable]]:
        """Return the tables of quality, gains, differences and trainings."""
        from hepda.report.training import training_table
        from hepda.speech.enhancement.tables import tables

        return tables(metrics) | {"training": [training_table(metrics)]}

    def terminal(self, metrics: EnhancementMetrics) -> NumberTable:
        """Return the quality of every model."""
        from hepda.speech.enhancement.tables import quality_table

        return number_table(metrics.name, quality_table(metrics))

    def comparison(self, runs: Sequence[FinishedRun[EnhancementMetrics]], merged: EnhancementMetrics) -> RunComparison:
        """Return the tables of quality and trainings, and a panel for each metric."""
        from hepda.plotting.comparison import ComparisonPanel, Measurement
        from hepda.report.training import training_table
        from hepda.speech.enhancement.numbers import ALL
        from hepda.speech.enhancement.tables import NAMES, quality_table

        panels = []
        for metric in merged.metrics:
            values: dict[tuple[str, str], Measurement] = {}
            for run in runs:
                for model, entry in run.metrics.models.items():
                    quality = quantity_of(entry.quality.get(metric, {}).get(ALL))
                    if quality.value is not None:
                        values[model, run.name] = Measurement(quality.value, quality.low, quality.high)
            panels.append(ComparisonPanel(NAMES[metric], values))
        return RunComparison({"summary": [quality_table(merged)], "training": [training_table(merged)]}, [panels])
