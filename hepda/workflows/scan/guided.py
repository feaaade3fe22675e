"""A guided search by optuna: each trial is a point, its value the mean of the criterion over seeds.

The study is a journal in the folder of the scan. The sampler of a trial is seeded by the number of the trial, so an
interrupted search continues with the same results as an uninterrupted one; the interrupted trial is done first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepda.config.scan import Vary, method_key
from hepda.errors import MissingExtraError
from hepda.workflows.scan.choice import Criterion, Result, objective

Measure = Callable[[Mapping[str, Any]], Result]
"""Trains and evaluates the point of these values at every seed."""


def load_optuna() -> Any:
    """Import the package `optuna` and return it.

    Raises:
        MissingExtraError: it is not installed.

    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "scan") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@dataclass(frozen=True, slots=True)
class GuidedSearch:
    """What is searched, and how.

    model: the scanned model; varied: the varied keys with their values or ranges; methods: those to choose from, empty
    keeps the method of the model; trials: their number in all; criterion: the rule of the choice; seeds: number of
    seeds of each point; seed: of the sampler.
    """

    model: str
    varied: Sequence[Vary]
    methods: Sequence[str]
    trials: int
    criterion: Criterion
    seeds: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the study: trials of another search are not those of this one."""
        criterion = self.criterion
        parts = [self.model, [str(vary) for vary in self.varied], list(self.methods), criterion.name]
        text = json.dumps([*parts, criterion.tolerance, self.seeds])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def search(folder: Path, guided: GuidedSearch, measure: Measure, reference: Sequence[Result] = ()) -> list[Result]:
    """Run a guided search and return the results of its trials, including those of an earlier call of the same search.

    Args:
        folder: the folder of the scan, which holds the journal of the study.
        guided: what is searched.
        measure: trains and evaluates a point.
        reference: points that the tolerance of the criterion may count from, besides the trials.

    """
    optuna = load_optuna()
    trials = guided.trials
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / "study.journal")))
    study = optuna.create_study(study_name=guided.name, storage=storage, direction="maximize", load_if_exists=True)
    done, failed = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED
    results = [measure(_values(trial.params, guided)) for trial in study.get_trials(states=(done, failed))]
    _ask_again(optuna, study)
    while len(results) < trials:
        seed = guided.seed + len(results)
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(4, trials // 5))
        trial = study.ask()
        result = measure(_suggest(trial, guided))
        value = objective(result, [*reference, *results], guided.criterion)
        study.tell(trial, value, state=failed if value is None else done)
        results.append(result)
    return results[:trials]


def _ask_again(optuna: Any, study: Any) -> None:
    """Queue an interrupted trial again; its finished trainings are found by its values."""
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        study.enqueue_trial(trial.params)
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # the sampler ignores failed trials


def _suggest(trial: Any, guided: GuidedSearch) -> dict[str, Any]:
    """Return values by key; values of a list are categories of their JSON text."""
    for vary in guided.varied:
        if vary.range is None:
            trial.suggest_categorical(vary.key, [json.dumps(value) for value in vary.values])
        elif vary.range.integer:
            trial.suggest_int(vary.key, int(vary.range.low), int(vary.range.high), log=vary.range.log)
        else:
            trial.suggest_float(vary.key, vary.range.low, vary.range.high, log=vary.range.log)
    if guided.methods:
        trial.suggest_categorical(method_key(guided.model), list(guided.methods))
    return _values(trial.params, guided)


def _values(params: Mapping[str, Any], guided: GuidedSearch) -> dict[str, Any]:
    key = method_key(guided.model)
    values = {key: params[key]} if guided.methods else {}
    for vary in guided.varied:
        value = params[vary.key]
        values[vary.key] = json.loads(value) if vary.range is None else value
    return values
