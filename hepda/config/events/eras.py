"""Eras: periods of data taking with a luminosity each, in one analysis.

`luminosity: {2016: 36.3, 2017: 41.5}` names them. A sample whose `files` are given by era becomes one sample for each,
`ttjets_2016` and `ttjets_2017`, normalised by the sum of weights of its own files to the luminosity of its era: sums of
weights of different campaigns must not be added. They stay one process, and every list of samples that names `ttjets`
means all of them. This is done on the mapping of the analysis file, before it is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from hepda.config.section import Expression, Positive, Strings
from hepda.errors import nearest

if TYPE_CHECKING:
    from hepda.config.events.analysis import SampleConfig

BY_ERA = ("files", "cross_section", "k_factor", "filter_efficiency", "sum_of_weights", "weight", "selection")
"""Keys of a sample that may have a value for each era."""
_ERA = re.compile(r"[A-Za-z0-9]{1,40}")


def _same(value: Any) -> Any:
    return value


PositiveByEra = Annotated[Positive, BeforeValidator(_same, json_schema_input_type=Positive | dict[str, Positive])]
_Files = str | Annotated[list[str], Field(min_length=1)]
FilesByEra = Annotated[Strings, BeforeValidator(_same, json_schema_input_type=_Files | dict[str, _Files])]
TextByEra = Annotated[Expression, BeforeValidator(_same, json_schema_input_type=str | float | dict[str, str | float])]


def without_era(text: str, sample: SampleConfig) -> str:
    """Return the label, or the name, of a sample of an era as it is for all of them."""
    return text if sample.era is None else text.removesuffix(f" ({sample.era})").removesuffix(f"_{sample.era}")


def process_name(name: str, sample: SampleConfig, group: str | None) -> str:
    """Return the process of a sample: declared, or its group of stitched samples, or its name without the era.

    Args:
        name: the sample.
        sample: its section.
        group: the group of `stitched` that it belongs to.

    """
    return sample.process or without_era(group or name, sample)


def with_eras(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping of an analysis file with a sample for each era; it is not changed if there are no eras.

    Raises:
        ValueError: eras do not fit together; each line is `path: what is wrong`.

    """
    result, luminosity = dict(data), data.get("luminosity")
    samples = data.get("samples")
    samples = samples if isinstance(samples, dict) else {}
    if isinstance(luminosity, dict):
        eras = _eras(luminosity)
        result |= {"luminosity": sum(eras.values()), "eras": eras}
    elif not isinstance(data.get("eras"), dict):
        _refuse_without_eras(samples)
        return result
    eras = {str(era): value for era, value in result["eras"].items()}
    normalised = data.get("normalisation", True) is not None
    expanded: dict[str, Any] = {}
    names: dict[str, tuple[str, ...]] = {}
    for name, sample in samples.items():
        parts = _expanded(str(name), sample, eras, normalised) if isinstance(sample, dict) else {name: sample}
        for part in parts:
            if part in expanded or (part != name and part in samples):
                raise ValueError(f"samples.{name}: its part {part!r} has the name of another sample; rename one.")
        names[name] = tuple(parts)
        expanded |= parts
    result["samples"] = expanded
    _rename_in_stitched(result, names, expanded)
    systematics = _systematics(result, names, eras)
    _rename_in_models(result, names, systematics)
    return result


def _eras(luminosity: Mapping[Any, Any]) -> dict[str, float]:
    for era, value in luminosity.items():
        if not _ERA.fullmatch(str(era)):
            raise ValueError(f"luminosity.{era}: the name of an era is letters and digits, as in 2016 or 2016preVFP.")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ValueError(f"luminosity.{era}: must be a positive number, in 1/fb, not {value!r}.")
    if not luminosity:
        raise ValueError("luminosity: has no era; give each its luminosity in 1/fb, as in {2016: 36.3, 2017: 41.5}.")
    return {str(era): float(value) for era, value in luminosity.items()}


def _refuse_without_eras(samples: Mapping[str, Any]) -> None:
    """Raise ValueError if a sample has values by era and the analysis has no eras."""
    for name, sample in samples.items():
        for key in BY_ERA if isinstance(sample, dict) else ():
            of_era = sample.get(key)
            if isinstance(of_era, dict):
                eras = ", ".join(f"{era}: ..." for era in of_era)
                raise ValueError(  # noqa: TRY004 - pydantic makes one problem of it
                    f"samples.{name}.{key}: is given by era, and the analysis has no eras; give the luminosity of "
                    f"each: `luminosity: {{{eras}}}`."
                )


def _expanded(
    name: str, sample: Mapping[str, Any], eras: Mapping[str, float], normalised: bool
) -> dict[str, dict[str, Any]]:
    """Return the samples that a sample becomes, by name: one for each era, or itself."""
    by_era = {key: sample[key] for key in BY_ERA if isinstance(sample.get(key), dict)}
    if not by_era:
        return {name: dict(sample)}
    if "files" not in by_era:
        key = next(iter(by_era))
        raise ValueError(f"samples.{name}.{key}: is given by era, and `files` is not; give the files of each era.")
    if sample.get("luminosity") is not None:
        raise ValueError(f"samples.{name}.luminosity: its eras have those of `luminosity`; remove it.")
    values = {key: {str(era): value for era, value in of_era.items()} for key, of_era in by_era.items()}
    for key, of_era in values.items():
        for era in of_era:
            if era not in eras:
                hint = nearest(era, eras) or f" There are: {', '.join(eras)}."
                raise ValueError(f"samples.{name}.{key}.{era}: is no era of `luminosity`.{hint}")
        absent = [era for era in eras if era not in of_era]
        if absent:
            raise ValueError(f"samples.{name}.{key}: has no value for {', '.join(absent)}; give one for each era.")
    simulated = sample.get("class") is not None
    counted = simulated and (normalised or sample.get("normalisation") is not None)
    parts = {}
    for era, luminosity in eras.items():
        own: dict[str, Any] = {**sample, **{key: of_era[era] for key, of_era in values.items()}, "era": era}
        own |= {"luminosity": luminosity} if counted else {}
        own |= {"label": f"{sample.get('label') or name} ({era})"} if simulated else {}
        parts[f"{name}_{era}"] = own
    return parts


def _renamed(listed: Any, names: Mapping[str, Sequence[str]]) -> Any:
    """Return a name or a list of names with every sample replaced by its parts."""
    if isinstance(listed, str):
        listed = [listed]
    if not isinstance(listed, list):
        return listed
    return [part for name in listed for part in (names.get(name, (name,)) if isinstance(name, str) else (name,))]


def _rename_in_stitched(
    data: dict[str, Any], names: Mapping[str, Sequence[str]], samples: Mapping[str, Mapping[str, Any]]
) -> None:
    """Make one group of stitched samples for each era of its samples."""
    if not isinstance(data.get("stitched"), dict):
        return
    groups: dict[str, dict[str, Any]] = {}
    for group, members in data["stitched"].items():
        if not isinstance(members, dict):
            groups[group] = members
            continue
        for name, condition in members.items():
            for part in names.get(name, (name,)):
                era = samples[part].get("era") if part in samples and part != name else None
                groups.setdefault(group if era is None else f"{group}_{era}", {})[part] = condition
    data["stitched"] = groups


def _rename_in_models(
    data: dict[str, Any], names: Mapping[str, Sequence[str]], systematics: Mapping[str, Sequence[str]]
) -> None:
    if not isinstance(data.get("models"), dict):
        return
    variations = {**systematics} | {
        f"{name}_{side}": [f"{part}_{side}" for part in parts]
        for name, parts in systematics.items()
        for side in ("up", "down")
    }
    models = {}
    for name, model in data["models"].items():
        models[name] = dict(model) if isinstance(model, dict) else model
        if not isinstance(model, dict):
            continue
        if "train_on" in model:
            models[name]["train_on"] = _renamed(model["train_on"], names)
        for key in ("domain", "reweight"):
            section = model.get(key)
            if isinstance(section, dict):
                models[name][key] = section | {
                    side: _renamed_target(section[side], names, variations)
                    for side in ("source", "target")
                    if side in section
                }
    data["models"] = models


def _renamed_target(target: Any, names: Mapping[str, Sequence[str]], variations: Mapping[str, Sequence[str]]) -> Any:
    if not isinstance(target, dict):
        return _renamed(target, names)
    return {key: _renamed(value, variations if key == "variation" else names) for key, value in target.items()}


def _systematics(
    data: dict[str, Any], names: Mapping[str, Sequence[str]], eras: Mapping[str, float]
) -> dict[str, tuple[str, ...]]:
    """Replace eras of systematics by the samples of those eras; return the new names by the old ones."""
    if not isinstance(data.get("systematics"), dict):
        return {}
    result: dict[str, Any] = {}
    renamed: dict[str, tuple[str, ...]] = {}
    for name, section in data["systematics"].items():
        parts = {name: section}
        if isinstance(section, dict):
            section = {**section, **({"samples": _renamed(section["samples"], names)} if "samples" in section else {})}
            parts = _of_eras(data, str(name), section, eras)
        result |= parts
        renamed[name] = tuple(parts)
    data["systematics"] = result
    return renamed


def _of_eras(
    data: Mapping[str, Any], name: str, section: Mapping[str, Any], eras: Mapping[str, float]
) -> dict[str, Any]:
    """Return a systematic, for each era one if it is not correlated between them or has a value for each."""
    path, kind = f"systematics.{name}", section.get("kind")
    rest = {key: value for key, value in section.items() if key != "eras"}
    only = section.get("eras")
    chosen = [str(era) for era in ([only] if isinstance(only, str | int) else only if isinstance(only, list) else eras)]
    for era in chosen:
        if era not in eras:
            hint = nearest(era, eras) or f" There are: {', '.join(eras)}."
            raise ValueError(f"{path}.eras: {era!r} is no era of `luminosity`.{hint}")
    values = section.get("value") if isinstance(section.get("value"), dict) else None
    correlated = section.get("correlated")
    apart = isinstance(correlated, dict) and correlated.get("eras") is False
    if isinstance(correlated, dict):
        rest["correlated"] = {key: value for key, value in correlated.items() if key != "eras"}
    if kind == "two_point" and (apart or only is not None):
        raise ValueError(f"{path}: another generator has all eras; it is one parameter for all of them.")
    if values is None and not apart:
        return {name: rest if only is None else rest | {"samples": _samples_of(data, path, rest, chosen)}}
    if values is not None:
        values = {str(era): value for era, value in values.items()}
        for era in (era for era in values if era not in eras):
            raise ValueError(f"{path}.value.{era}: is no era of `luminosity`. There are: {', '.join(eras)}.")
    parts: dict[str, Any] = {}
    for era in chosen:
        if values is not None and era not in values:
            continue
        own = rest | {"samples": _samples_of(data, path, rest, [era])}
        own |= {} if values is None else {"value": values[era]}
        own |= {"label": f"{rest['label']} ({era})"} if rest.get("label") else {}
        parts[f"{name}_{era}"] = own
    return parts


def _samples_of(data: Mapping[str, Any], path: str, section: Mapping[str, Any], eras: Iterable[str]) -> list[str]:
    """Return the samples that a systematic acts on and that are of these eras; by default those of the templates."""
    samples, wanted = data["samples"], set(eras)
    nominal = data.get("nominal") or next((s.get("domain") for s in samples.values() if isinstance(s, dict)), None)
    templates = [
        name
        for name, sample in samples.items()
        if isinstance(sample, dict) and sample.get("class") is not None and sample.get("domain") == nominal
    ]
    listed = section.get("samples") if isinstance(section.get("samples"), list) else templates
    of_eras = [name for name in listed or () if name in samples and samples[name].get("era") in wanted]
    if not of_eras:
        raise ValueError(f"{path}: none of its samples is of {', '.join(sorted(wanted))}; give their `files` by era.")
    return of_eras
