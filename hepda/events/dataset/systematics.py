"""Checks before any training that the files contain what `systematics:` names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from hepda.config.events.systematics import ShapeSystematic, WeightSystematic
from hepda.errors import ConfigError, nearest
from hepda.events.dataset.plan import PHYSICAL, ReadingPlan
from hepda.events.expressions.names import check_names
from hepda.events.expressions.parser import Expression, parse
from hepda.events.specs import DatasetSpec

if TYPE_CHECKING:
    from hepda.events.dataset.inputs import InputFile

SIDES = ("up", "down")


def check_systematics(spec: DatasetSpec, plan: ReadingPlan, inputs: Mapping[str, Sequence[InputFile]]) -> None:
    """Raise before anything is trained if a branch or a name in `systematics` is not in the files.

    Raises:
        ConfigError: a shape replaces or reads a branch that is not there; suggests the nearest.
        ExpressionError: a factor does not parse, or contains a name that is neither a variable nor a branch.

    """
    for name, section in spec.systematics.sections.items():
        if isinstance(section, ShapeSystematic):
            for sample in spec.systematics.varied_samples(name):
                for side in SIDES:
                    for file in inputs[sample]:
                        where = f"systematics.{name}.{side}"
                        _check_branches(where, getattr(section, side) or {}, plan.variables_of(sample), file)
    for sample in spec.systematics.templates:
        factors = factors_of(spec, sample).values()
        for file in inputs[sample]:
            check_names(factors, plan.variables_of(sample), {*file.branches, PHYSICAL}, file.path, file.refused)


def _check_branches(where: str, replaced: Mapping[str, str], variables: Collection[str], file: InputFile) -> None:
    branches, path = set(file.branches), file.path
    for old, new in replaced.items():
        for name in (old, new):
            if name in file.refused:
                raise ConfigError(f"{where}.{old}: {name!r} of {path} {file.refused[name]}.")
        if old not in branches:
            hint = nearest(old, branches)
            what = "is a variable; replace the branches that it is made of" if old in variables else "is no branch"
            raise ConfigError(f"{where}.{old}: {what} (of {path}).{hint}")
        if new not in branches:
            raise ConfigError(f"{where}.{old}: there is no branch {new!r} in {path}.{nearest(new, branches)}")


def factors_of(spec: DatasetSpec, sample: str) -> dict[str, Expression]:
    """Return the factors of the weight systematics on the weights of a sample, by `systematic:side`."""
    factors = {}
    for name, section in spec.systematics.sections.items():
        if isinstance(section, WeightSystematic) and sample in spec.systematics.varied_samples(name):
            for side in SIDES:
                text = getattr(section, side)
                if text is not None:
                    factors[f"{name}:{side}"] = parse(text, f"systematics.{name}.{side}")
    return factors
