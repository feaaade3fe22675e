"""Environment conversion as a kind of data: what is loaded and trained, and what judges say of every conversion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from hepda import scores as scores_of
from hepda.config import ConversionConfig
from hepda.errors import DataError, SourceError
from hepda.kinds import FinishedRun, KindOf, RunComparison, RunContext, loaded
from hepda.results.conversion import ConversionMetrics
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
    from hepda.speech.conversion.effects import Conversions, ConversionSounds
    from hepda.speech.conversion.jobs import ConversionJob

Array = NDArray[Any]


class ConversionKind(KindOf[ConversionMetrics]):
    """An analysis of conversion. A score is [members, rows, columns]: a row is a string, from one effect to another."""

    metrics_type = ConversionMetrics
    heavy = (
        "torch", "torch._dynamo", "hepda.adversarial", "hepda.speech.conversion.jobs",
        "hepda.speech.conversion.figures",
    )  # fmt: skip
    sections: ClassVar[Mapping[str, tuple[str, str]]] = {
        "summary": ("Conversion", "Conversion to another effect"),
        "inputs": ("Sound", "What does it sound like?"),
        "separation": ("Effects", "Effect by effect"),
        "adaptation": ("Comparison", "What does each part of a model gain?"),
    }

    def __init__(self, config: ConversionConfig) -> None:
        self.config = config
        self._sounds: ConversionSounds | None = None
        self._tests: Conversions | None = None
        self._metrics: ConversionMetrics | None = None

    @property
    def sounds(self) -> ConversionSounds:
        """Recordings and effects, after `load`."""
        return loaded(self._sounds, "the recordings have not been loaded")

    @property
    def tests(self) -> Conversions:
        """The conversions of the tests, after `load`."""
        if self._tests is None:
            self._tests = self.sounds.tests(self.config)
        return self._tests

    def check(self, progress: Send, *, every_file: bool = False) -> tuple[list[str], list[str]]:
        """Read everything; return lines about speech and effects, or the problem if a file is missing."""
        try:
            self.load(progress)
        except (SourceError, DataError) as error:
            return [], [str(error)]
        sounds, names = self.sounds, self.sounds.effects.names
        tested = sorted({sounds.corpus.speakers[number] for number in self.tests.speaker.tolist()})
        lines = [
            f"{len(sounds.training)} recordings to train on: {sounds.corpus.origin}",
            f"effects: {', '.join(names[number] for number in sounds.effects.seen)}; only as references of tests: "
            f"{', '.join(names[number] for number in sounds.effects.unseen) or 'none'}",
            f"{len(self.tests)} conversions of {self.config.evaluation.strings} strings, speakers {', '.join(tested)}",
        ]
        return lines, []

    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read all recordings and rooms."""
        from hepda.speech.conversion.effects import load_sounds

        self._sounds, self._tests = load_sounds(self.config), None
        return []

    def contents(self) -> Iterable[tuple[str, Array]]:
        """Yield all samples, the split, and the effects."""
        sounds = self.sounds
        yield "speech", sounds.corpus.tape.samples.numpy()
        for name in ("training", "test", "judging"):
            yield f"recordings, {name}", getattr(sounds, name).numpy()
        for name, response in zip(sounds.effects.names[1:], sounds.effects.responses, strict=True):
            yield f"effect {name}", response.numpy()

    def jobs(self, run: Path, work: Path, device: str) -> list[ConversionJob]:
        """Return the trainings of every network and seed, and one job for each baseline; train the judges."""
        from hepda.speech.conversion.effects import write_sounds
        from hepda.speech.conversion.jobs import jobs_of
        from hepda.speech.conversion.judging import trained_judges

        table = work / "table"
        table.mkdir(parents=True, exist_ok=True)
        write_sounds(self.sounds, table)
        if not (table / "judge-speaker.safetensors").exists():
            trained_judges(self.config, self.sounds).save(table)
        return jobs_of(self.config, table, run, work, device)

    def combine(self, results: Sequence[TrainingResult], run: Path) -> dict[str, Array]:
        """Return the scores [members, rows, columns] of each model."""
        return scores_of.stacked(results, self.config.models)

    def score_columns(self, scores: Mapping[str, Array]) -> dict[str, Any]:
        """Return the columns of scores.parquet: a row for each conversion."""
        from hepda.speech.conversion.jobs import COLUMNS

        tests, sounds = self.tests, self.sounds
        names, speakers = sounds.effects.names, sounds.corpus.speakers
        columns: dict[str, Any] = {
            "string": tests.string.numpy(),
            "speaker": [speakers[int(tests.speaker[number])] for number in tests.string.tolist()],
            "effect": [names[number] for number in tests.effect.tolist()],
            "wanted": [names[number] for number in tests.wanted.tolist()],
        }
        return columns | scores_of.columns_of(scores, COLUMNS)

    @property
    def _members(self) -> dict[str, int]:
        """The number of trainings of each model; what is not trained is done once."""
        config = self.config
        return {model: config.seeds if model in config.networks else 1 for model in config.models}

    def saved_scores(self, run: Path) -> dict[str, Array]:
        """Return the scores of scores.parquet. Raises ConfigError if they are not those of the sound read now."""
        from hepda.speech.conversion.jobs import COLUMNS

        return scores_of.read(run, self._members, COLUMNS, ("string", self.tests.string.numpy()))

    def files(self) -> Any:
        """Return where the recordings are from, and the effects."""
        return {"speech": self.sounds.corpus.origin, "effects": list(self.sounds.effects.names)}

    def measure(self, scores: Mapping[str, Array], context: RunContext) -> ConversionMetrics:
        """Return what the judges say of every model, and differences to the baseline."""
        from hepda.speech.conversion.numbers import comparison, model_numbers

        config, sounds, tests = self.config, self.sounds, self.tests
        trainings = run_directory.read_json(context.run / "manifest.json")["training"]
        models = {}
        for model, score in scores.items():
            about = [trainings[f"{model}-fold0-member{member}"] for member in range(self._members[model])]
            probes = [entry["probe"] for entry in about if "probe" in entry]
            models[model] = {
                "title": config.models[model].title or model, **model_numbers(sounds, tests, score, probes),
                "training": context.training[model],
            }  # fmt: skip
        content = {
            **head(config),
            "effects": list(sounds.effects.names),
            "unseen": [sounds.effects.names[number] for number in sounds.effects.unseen],
            "strings": config.evaluation.strings,
            "baseline": config.baseline,
            "models": models,
            "comparison": comparison(config, sounds, tests, scores),
        }
        self._metrics = ConversionMetrics.from_json(run_directory.plain(content))
        return self._metrics

    def figures(self, scores: Mapping[str, Array], context: RunContext) -> FigureTexts:
        """Return the data of every figure; write the sounds of the report."""
        from hepda.report.drawing import texts_of
        from hepda.report.sounds import record
        from hepda.speech.conversion.figures import ConversionData, drawings, sounds

        if self._metrics is None:
            raise RuntimeError("figures are drawn of numbers: call measure first")
        data = ConversionData(
            self.config, self.sounds, self.tests, scores, self._metrics, context.histories, context.run
        )
        record(context.run, sounds(data))
        return texts_of(drawings(data))

    def conclusions(self, metrics: ConversionMetrics) -> list[str]:
        """Return in what every model is better or worse than the baseline."""
        from hepda.speech.conversion.tables import conclusions

        return conclusions(metrics)

    def tables(self, metrics: ConversionMetrics) -> dict[str, list[PageTable]]:
        """Return the tables of qualities, effects, differences and trainings."""
        from hepda.report.training import training_table
        from hepda.speech.conversion.tables import tables

        return tables(metrics) | {"training": [training_table(metrics)]}

    def terminal(self, metrics: ConversionMetrics) -> NumberTable:
        """Return the qualities of every model."""
        from hepda.speech.conversion.tables import quality_table

        return number_table(metrics.name, quality_table(metrics))

    def comparison(self, runs: Sequence[FinishedRun[ConversionMetrics]], merged: ConversionMetrics) -> RunComparison:
        """Return the tables of qualities and trainings, and a panel for each quality."""
        from hepda.plotting.comparison import ComparisonPanel, Measurement
        from hepda.report.training import training_table
        from hepda.speech.conversion.numbers import QUALITIES
        from hepda.speech.conversion.tables import HEADS, quality_table

        panels = []
        for name in QUALITIES:
            values: dict[tuple[str, str], Measurement] = {}
            for run in runs:
                for model, entry in run.metrics.models.items():
                    quality = quantity_of(getattr(entry.seen, name)).scaled(1.0 if name == "distance" else 100.0)
                    if quality.value is not None:
                        values[model, run.name] = Measurement(quality.value, quality.low, quality.high)
            panels.append(ComparisonPanel(HEADS[name], values))
        return RunComparison({"summary": [quality_table(merged)], "training": [training_table(merged)]}, [panels])
