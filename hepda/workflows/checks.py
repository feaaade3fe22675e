"""What is checked before anything is read or trained: the folders, the device, and texts that figures show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hepda.config import AnyConfig, load_any
from hepda.errors import ConfigError, HepdaError
from hepda.runtime import exchange, run_directory
from hepda.runtime.locks import LOCK, locked


def check_output_folders(run: Path, plots: Path | None) -> None:
    """Raise ConfigError if `run` or `plots` cannot be written to, or if `run` contains files that are not of a run."""
    run_directory.check_writable(run, "--output")
    if plots is not None:
        run_directory.check_writable(plots, "--plots-folder")
    try:
        exchange.check_ours(run, "--output")
    except ConfigError:
        if not (run / LOCK).exists():
            raise
        with locked(run, "train", "--output"):  # files of a training that has just begun are not known yet
            exchange.check_ours(run, "--output")


def check_device(device: str, cluster: str | None = None) -> None:
    """Raise ConfigError for a device that does not exist in torch or on this machine.

    Args:
        device: auto, cpu, cuda or cuda:1.
        cluster: whose workers train; each of them is asked for its devices before its first training.

    """
    if device in ("auto", "cpu"):
        return
    name, _, number = device.partition(":")
    if name != "cuda" or (number and not number.isdigit()):
        raise ConfigError(f"--device {device}: must be auto, cpu or cuda (or cuda:1, the second one).")
    if cluster is not None:
        return
    from hepda.adversarial import devices

    try:
        devices.find(device)
    except ConfigError as error:
        raise ConfigError(f"--{error}") from error  # "--device 'cuda': ..."


def device_on(cluster: str | None, device: str) -> str:
    """Return where networks are trained: on a cluster, `auto` is the CPU, so that all of its workers do the same."""
    return "cpu" if cluster is not None and device == "auto" else device


def check_precision(config: AnyConfig, device: str) -> None:
    """Raise ConfigError if a training is to be in bfloat16 on a processor or GPU of this machine that emulates it."""
    asked = next(_keys_of("precision", "bfloat16", config.model_dump(mode="json")), None)
    if asked is None:
        return
    from hepda.adversarial import TrainSettings

    try:
        TrainSettings(precision="bfloat16", device=device).check_precision()
    except ConfigError as error:
        raise ConfigError(f"{asked}: {error}.") from None


def check_configs(names: Sequence[str], overrides: Sequence[str] = ()) -> list[str]:
    """Check analysis files without opening any data.

    Args:
        names: the files.
        overrides: `KEY=VALUE` of each.

    Returns:
        A line for each file.

    Raises:
        ConfigError: some are wrong; the message has the problems of all of them.

    """
    lines, problems = [], []
    for name in names:
        try:
            config = load_any(name, overrides)
        except HepdaError as error:
            problems.append(str(error))
            continue
        texts = text_problems(config)
        problems += [f"{name}: {text}" for text in texts]
        if not texts:
            lines.append(f"{name}: {config.kind}, {len(config.models)} models: no problem found")
    if problems:
        raise ConfigError("\n".join(problems))
    return lines


def check_texts(config: AnyConfig) -> None:
    """Raise ConfigError for labels, units, titles and colours that figures cannot show."""
    problems = text_problems(config)
    if problems:
        raise ConfigError("\n".join(problems))


def text_problems(config: AnyConfig) -> list[str]:
    """Return a line for each label, unit, title and colour of the config that no figure can show, with the reason.

    matplotlib takes what is between two dollar signs for a formula, whose grammar it checks when it draws.
    """
    texts = list(_texts(config.model_dump(mode="json", by_alias=True)))
    colours = [(key, text) for key, text in texts if key.endswith(".color")]
    formulas = [(key, text) for key, text in texts if not key.endswith(".color") and text.count("$") > 1]
    if not formulas and not colours:  # matplotlib is not needed
        return []
    from hepda.plotting.base.style import formula_error, is_colour

    errors = ((key, text, formula_error(text)) for key, text in formulas)
    unknown = [(key, text) for key, text in colours if not is_colour(text)]
    return [f"{key}: {text!r} is no colour; give one as '#3f90da' or by name." for key, text in unknown] + [
        f"{key}: {text!r} cannot be drawn: {error}. Fix the formula between its dollar signs, or write \\$ for a "
        "dollar sign."
        for key, text, error in errors
        if error
    ]


_DRAWN = ("label", "unit", "title", "color", "luminosity_label", "experiment_label")
"""Keys whose texts figures show."""


def _texts(section: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text of a config that figures show, with its dotted key: labels, units, titles, colours."""
    if not isinstance(section, dict):
        return
    for name, value in section.items():
        inner = f"{key}.{name}" if key else str(name)
        if name in _DRAWN and isinstance(value, str):
            yield inner, value
        yield from _texts(value, inner)
    if isinstance(section.get("label"), str) and isinstance(section.get("unit"), str):
        yield key, f"{section['label']} [{section['unit']}]"


def _keys_of(name: str, value: str, section: Any, key: str = "") -> Iterator[str]:
    """Yield the dotted key of every entry of that name and value."""
    if not isinstance(section, dict):
        return
    for own, inner in section.items():
        path = f"{key}.{own}" if key else str(own)
        if own == name and inner == value:
            yield path
        yield from _keys_of(name, value, inner, path)
