"""The steps after loading an analysis file of any kind of data: report all its problems, complete the trainings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from pydantic import model_validator

from hepda.config.models import TrainingConfig
from hepda.config.problems import fusions, one_file
from hepda.config.section import Section


class BaseConfig(Section):
    """An analysis with `models`, `training` and `seed`, whose types each kind declares."""

    if TYPE_CHECKING:
        models: dict[str, Any]
        training: TrainingConfig
        seed: int

    def problems(self) -> Iterable[str]:
        """Return or yield the problems that involve several sections, each as a line that names the key."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [*self.problems(), *one_file(self.models), *fusions(self.models)]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _complete_training(self) -> Self:
        """Complete the `training` of each model: the section of the analysis, overridden by the keys of the model."""
        for name, model in self.models.items():
            training = getattr(model, "training", None)
            if isinstance(training, TrainingConfig):
                self.models[name] = model.model_copy(update={"training": self.training.overridden_by(training)})
        return self

    def seed_for(self, model: str) -> int:
        """Return the seed of the trainings of a model, by default that of the analysis."""
        training = getattr(self.models[model], "training", None)
        return training.seed if isinstance(training, TrainingConfig) and training.seed is not None else self.seed
