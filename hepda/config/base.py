"""What the analysis file of every kind of data does after loading: all its problems at once, complete trainings."""

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
        """What crosses the sections and does not fit, each in a line that names the key."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [*self.problems(), *one_file(self.models)]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _complete_training(self) -> Self:
        """Give each model that has a training the complete section: the analysis's, with its own keys on top."""
        for name, model in self.models.items():
            own = getattr(model, "training", None)
            if isinstance(own, TrainingConfig):
                self.models[name] = model.model_copy(update={"training": self.training.with_own(own)})
        return self

    def seed_for(self, model: str) -> int:
        """The seed of a model's trainings: its own, or the analysis's."""
        own = getattr(self.models[model], "training", None)
        return own.seed if isinstance(own, TrainingConfig) and own.seed is not None else self.seed
