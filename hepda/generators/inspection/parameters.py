"""The parameters of a saved model against those that its settings ask for; nothing of the model is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

_NAMED = 3  # tensors that a message names; the others are counted


def parameter_problem(expected: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> str:
    """Compare names, shapes and types of tensors, and look for numbers that are not finite.

    Args:
        expected: the tensors that a model of the settings has; their values are not read and may be on "meta".
        saved: the tensors of a file.

    Returns:
        The first kind of difference in words, "" for none.

    """
    more = [f"{name} ({_shape(saved[name])})" for name in sorted(saved.keys() - expected.keys())]
    if more:
        numbers = sum(saved[name].numel() for name in saved.keys() - expected.keys())
        return (
            f"has {_counted(more, 'tensor')} with {numbers} numbers that a model of config.yaml does not have: "
            f"{_named(more)}"
        )
    missing = [f"{name} ({_shape(expected[name])})" for name in sorted(expected.keys() - saved.keys())]
    if missing:
        return f"lacks {_counted(missing, 'tensor')} of a model of config.yaml: {_named(missing)}"
    for name in sorted(expected):
        if saved[name].shape != expected[name].shape:
            return f"has {name} of {_shape(saved[name])}; config.yaml says {_shape(expected[name])}"
        if saved[name].dtype != expected[name].dtype:
            return f"has {name} in {_type(saved[name])}; hepda writes {_type(expected[name])}"
    spoiled = [name for name in sorted(saved) if not bool(saved[name].isfinite().all())]
    if spoiled:
        return f"has numbers that are not finite in {_counted(spoiled, 'tensor')}: {_named(spoiled)}"
    return ""


def _counted(names: list[str], what: str) -> str:
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''}"


def _named(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _shape(value: Tensor) -> str:
    sides: Iterable[int] = value.shape
    return "×".join(map(str, sides)) or "one number"


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
