"""The steps after loading an analysis file of any kind of data: report all its problems, complete the trainings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from pydantic import model_validator

from hepda.config.models import TrainingConfig
from hepda.config.problems import one_file
from hepda.config.section import Section


class BaseConfig(Section):
    """An analysis with `models`, `training` and `seed`, which each kind declares with types of its own."""

    if TYPE_CHECKING:
        models: dict[str, Any]
        training: TrainingConfig
        seed: int

    def problems(self) -> Iterable[str]:
        """Return or yield the problems that involve several sections, each as a line that names the key."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [*self.problems(), *one_file(self.models)]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _complete_training(self) -> Self:
        """Give each model that has a training the complete section: that of the analysis, with its own keys on top."""
        for name, model in self.models.items():
            own = getattr(model, "training", None)
            if isinstance(own, TrainingConfig):
                self.models[name] = model.model_copy(update={"training": self.training.with_own(own)})
        return self

    def seed_for(self, model: str) -> int:
        """Return the seed of the trainings of a model: its own, or that of the analysis."""
        own = getattr(self.models[model], "training", None)
        return own.seed if isinstance(own, TrainingConfig) and own.seed is not None else self.seed
