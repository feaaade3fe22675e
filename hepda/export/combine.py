"""The fits of `hepda fit` as datacards of CMS combine: a text and a ROOT file of template histograms for each model.

    nu_i = sum over processes of k_s prod_p kappa_ps(alpha_p) (h_si + sum_p d_psi(alpha_p))

has the same form in both programs: shapes are interpolated by the same polynomial, rates are exponentials of alpha
beyond |alpha| = 1, a factor r (rateParam) scales the signal (other processes). They differ between -1 and 1 in the
interpolation of rates whose up and down factors are not each other's inverse, and in the templates' statistics
(autoMCStats), whose error combine scales with the processes (Conway, arXiv:1103.0354; CMS, arXiv:2404.06614).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from hepda.errors import ConfigError, replacing
from hepda.evaluation.fits.channels import POI, Channel, SampleTemplate
from hepda.evaluation.fits.templates import Templates
from hepda.export.finished_run import ExportedRun
from hepda.export.fits import fit_of, templates_of, workspaces
from hepda.results.evaluation import FloatArray
from hepda.runtime.run_directory import write_text

DATA = "data_obs"
"""What combine calls the histogram of the data."""
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_RESERVED = {DATA, "r", "bin", "observation", "process", "rate", "shapes", "imax", "jmax", "kmax", "group"}
_INVERSE = 1e-12  # up to which factors up and down are each other's inverse

Histogram = tuple[FloatArray, FloatArray, FloatArray]
"""Edges [b + 1], contents [b], sums of squared weights [b]."""


def write(run: ExportedRun, folder: Path) -> list[Path]:
    """Write `<model>.txt` and `<model>.root` for each fitted model.

    Raises:
        ConfigError: the run has not been fitted, or a datacard cannot express a fit.

    """
    fits, stored = fit_of(run, "combine"), workspaces(run, "combine")
    cards = {}
    for model, fitted in fits.models.items():
        templates = templates_of(fitted)
        counts = {o["name"]: np.array(o["data"], dtype=np.float64) for o in stored[model]["observations"]}
        ranges = {p["name"]: p["bounds"][0] for p in stored[model]["measurements"][0]["config"]["parameters"]}
        _check(templates, f"--format combine: the fit of {model}")
        about = [f"Model {model} of {run.metrics.name}, by hepda; data: {fitted.fitted_to}."]
        cards[model] = (card(templates, counts, ranges, f"{model}.root", about), histograms(templates, counts))
    files = []
    for model, (text, contents) in cards.items():
        files += [folder / f"{model}.txt", folder / f"{model}.root"]
        write_text(files[-2], text)
        _write_root(files[-1], contents)
    return files


def card(
    templates: Templates, counts: Mapping[str, FloatArray], ranges: Mapping[str, list[float]], file: str,
    about: list[str],
) -> str:  # fmt: skip
    """Return the text of a datacard.

    Args:
        templates: the samples of every region and their variations.
        counts: the data [b] of each region.
        ranges: lowest and highest value of each free factor.
        file: name of the file with the histograms.
        about: lines of comment at the top.

    """
    columns = [(channel, sample) for channel in templates.channels for sample in channel.samples]
    numbers = _numbers(templates)
    low, high = ranges[POI]
    rule = "-" * 80
    table = [
        ["bin", "", *(channel.name for channel, _ in columns)],
        ["process", "", *(sample.name for _, sample in columns)],
        ["process", "", *(str(numbers[sample.name]) for _, sample in columns)],
        ["rate", "", *(_text(sample.sumw.sum()) for _, sample in columns)],
    ]
    effects = [list(_effects(name, columns)) for name in templates.active]
    rates = [
        f"{sample.rate} rateParam {channel.name} {sample.name} 1 [0,{_text(ranges[sample.rate][1])}]"
        for channel, sample in columns
        if sample.rate is not None and sample.rate != POI
    ]
    lines = [
        *(f"# {line}" for line in about),
        f"# r is the signal strength {POI}: combine -M FitDiagnostics {file.removesuffix('.root')}.txt "
        f"--rMin {low:.4g} --rMax {high:.4g}",
        f"imax {len(templates.channels)}  number of channels",
        f"jmax {len(numbers) - 1}  number of processes minus one",
        f"kmax {len(effects)}  number of nuisance parameters",
        rule,
        f"shapes * * {file} $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC",
        rule,
        *_aligned(
            [
                ["bin", *(channel.name for channel in templates.channels)],
                ["observation", *(_text(counts[channel.name].sum()) for channel in templates.channels)],
            ]
        ),
        rule,
        *_aligned([*table, *effects]),
        rule,
        *rates,
        *(f"{channel.name} autoMCStats 0 1 1" for channel in templates.channels),
    ]
    return "\n".join(lines) + "\n"


def histograms(templates: Templates, counts: Mapping[str, FloatArray]) -> dict[str, Histogram]:
    """Return the histograms that the datacard reads, by path: data, nominal templates, up and down variations."""
    found: dict[str, Histogram] = {}
    for channel in templates.channels:
        found[f"{channel.name}/{DATA}"] = channel.edges, counts[channel.name], counts[channel.name]
        for sample in channel.samples:
            found[f"{channel.name}/{sample.name}"] = channel.edges, sample.sumw, sample.sumw2
            for name in templates.active:
                if _has_shape(templates, name) and sample.changed_by(name):
                    (up, down), (high, low) = sample.split(name)
                    for ending, contents in (("Up", up * high), ("Down", down * low)):
                        path = f"{channel.name}/{sample.name}_{name}{ending}"
                        found[path] = channel.edges, contents, np.zeros_like(contents)
    return found


def _has_shape(templates: Templates, name: str) -> bool:
    return any(name in sample.shapes for channel in templates.channels for sample in channel.samples)


def _effects(name: str, columns: list[tuple[Channel, SampleTemplate]]) -> Iterator[str]:
    """Yield the line of a systematic: what only scales rates is lnN, anything else a shape with histograms for all."""
    is_shape = any(name in sample.shapes for _, sample in columns)
    yield name
    yield "shape" if is_shape else "lnN"
    for _, sample in columns:
        if not sample.changed_by(name):
            yield "-"
        elif is_shape:
            yield "1"
        else:
            up, down = sample.split(name)[0]
            yield _text(up) if abs(up * down - 1) < _INVERSE else f"{_text(down)}/{_text(up)}"


def _numbers(templates: Templates) -> dict[str, int]:
    """Return the number of each process: 0 and below for what r scales, above 0 for the others."""
    samples = [sample for channel in templates.channels for sample in channel.samples]
    signals = list(dict.fromkeys(sample.name for sample in samples if sample.rate == POI))
    others = dict.fromkeys(sample.name for sample in samples if sample.rate != POI)
    numbers = {name: 1 - len(signals) + k for k, name in enumerate(signals)}
    return numbers | {name: k for k, name in enumerate(others, 1)}


def _check(templates: Templates, what: str) -> None:
    """Raise ConfigError for what a datacard cannot express: names, processes of two kinds, negative contents."""
    samples = [(channel, sample) for channel in templates.channels for sample in channel.samples]
    names = {"region": [c.name for c in templates.channels], "process": list(templates.samples),
             "systematic": list(templates.active), "free rate": list(templates.rates[1:])}  # fmt: skip
    for kind, of_kind in names.items():
        for name in of_kind:
            if not _NAME.fullmatch(name) or name in _RESERVED:
                raise ConfigError(
                    f"{what}: the {kind} {name!r} cannot be called so in a datacard (letters, digits and _, no digit "
                    "first, no word of the datacard itself); rename it in the analysis file."
                )
    for name in templates.samples:
        if len({sample.rate == POI for _, sample in samples if sample.name == name}) > 1:
            raise ConfigError(f"{what}: {POI} scales {name} in some regions only, and r scales a process in all.")
    for channel in templates.channels:
        _check_paths(channel, what)
    for channel, sample in samples:
        contents = {"": sample.sumw}
        for name in templates.active:
            if sample.changed_by(name):
                (up, down), (high, low) = sample.split(name)
                contents |= {f" with {name} up": up * high, f" with {name} down": down * low}
        for when, values in contents.items():
            if (bad := np.flatnonzero(values < 0)).size:
                raise ConfigError(
                    f"{what}: {sample.name} is negative in bins {bad.tolist()} of {channel.name}{when}, where combine "
                    "would set it to 0; use wider bins, or give the process to another one (process:)."
                )


def _check_paths(channel: Channel, what: str) -> None:
    """Raise ConfigError where the histogram of a variation would have the name of a process."""
    processes = {sample.name for sample in channel.samples}
    for sample in channel.samples:
        for name in channel.systematics:
            for path in (f"{sample.name}_{name}Up", f"{sample.name}_{name}Down"):
                if path in processes:
                    raise ConfigError(f"{what}: the process {path} has the name of a variation of {sample.name}.")


def _write_root(path: Path, contents: Mapping[str, Histogram]) -> None:
    import uproot
    from uproot.writing.identify import to_TAxis, to_TH1x

    with replacing(path, ".root") as temporary, uproot.recreate(temporary) as file:
        for name, (edges, values, sumw2) in contents.items():
            title, centres = name.rsplit("/", 1)[-1], 0.5 * (edges[1:] + edges[:-1])
            axis = to_TAxis("xaxis", "", len(values), float(edges[0]), float(edges[-1]), edges)
            moments = [values.sum(), sumw2.sum(), (values * centres).sum(), (values * centres**2).sum()]
            # below and above the axis there is nothing: events beyond the ends are in the end bins
            file[name] = to_TH1x(
                title, title, np.pad(values, 1), values.sum(), *map(float, moments), np.pad(sumw2, 1), axis
            )


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _text(value: float) -> str:
    """Return a number with all its digits."""
    return repr(float(value)).removesuffix(".0")
