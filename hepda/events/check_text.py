"""The results of `hepda check` as lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from hepda.events.check import Agreement, Checkup, SampleCheck
from hepda.events.check_collections import ObjectCount
from hepda.events.check_yields import ProcessYield, RegionYields
from hepda.events.dataset.checks import TargetRange
from hepda.events.dataset.samples import effective_number

WIDEST = 60
UNLIKELY = 1e-3
"""P-value below which a row is marked because data and simulation differ."""


def lines(name: str, luminosity: float, result: Checkup) -> Iterator[str]:
    """Yield the lines of the page.

    These are samples, cut flows, features, notes and warnings; problems are only counted.

    Args:
        name: the name of the analysis.
        luminosity: in 1/fb.
        result: the results.

    """
    if result.samples:
        yield from _table("Samples", _SAMPLES, [_sample(sample, check) for sample, check in result.samples.items()])
        yield f"  at {luminosity:g}/fb, after the selection; n_eff = sumw^2 / sumw2"
        for sample, check in result.samples.items():
            entries = check.flow[0].entries
            rows = [_step(step.cut, step.entries, step.sumw, step.sumw2, entries) for step in check.flow]
            yield from _table(f"Cut flow of {sample}", _FLOW, rows)
            yield f"  {_normalisation(check)}"
    yield from _yields(result.yields)
    if result.agreement:
        yield from _table("Data against simulation, shapes", _AGREEMENT, [_agreement(a) for a in result.agreement])
    if result.objects:
        yield from _table("Objects of collections", _OBJECTS, [_objects(count) for count in result.objects])
    if result.targets:
        yield from _table(
            "Targets of models that predict a number", _TARGETS, [_target(entry) for entry in result.targets]
        )
    for title, texts in (("Notes", result.notes), ("Warnings", result.warnings)):
        if texts:
            yield ""
            yield title
            yield from (f"  {line}" for text in texts for line in text.splitlines())
    yield ""
    yield _verdict(name, result)


def _verdict(name: str, result: Checkup) -> str:
    if result.problems:
        return f"{name}: {_count(len(result.problems), 'problem')}; fix before training"
    return f"{name}: training may start; {_count(len(result.warnings), 'warning')}"


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'s' * (number != 1)}"


_SAMPLES = ("sample", "class", "domain", "files", "branches", "entries", "selected", "yield", "n_eff", "negative")


def _sample(name: str, check: SampleCheck) -> list[str]:
    about, sums = check.summary, check.summary.sums
    negative = sums.negative_fraction
    return [
        name,
        about.class_ or "data",
        about.domain,
        "{} of {}".format(*check.files),
        str(check.branches),
        str(about.entries),
        str(sums.entries),
        _yield(sums.sumw, sums.sumw2),
        f"{sums.n_eff:.0f}",
        "" if negative is None else f"{negative:.1%}",
    ]


_FLOW = ("cut", "events", "of all", "yield", "n_eff")


def _step(cut: str, entries: int, sumw: float | None, sumw2: float | None, all_entries: int) -> list[str]:
    cut = cut if len(cut) <= WIDEST else f"{cut[: WIDEST - 3]}..."
    share = f"{entries / all_entries:.1%}" if all_entries else ""
    if sumw is None or sumw2 is None:
        return [cut, str(entries), share, "", ""]
    return [cut, str(entries), share, _yield(sumw, sumw2), f"{effective_number(sumw, sumw2):.0f}"]


def _normalisation(check: SampleCheck) -> str:
    about = check.summary
    if about.class_ is None:
        return "data: every event counts one" if about.sums.sumw == about.sums.entries else "data, with weights"
    if about.cross_section is None or about.sum_of_weights is None:
        return f"the weight is physical already; times {about.normalisation:g}"
    return (
        f"cross section {about.cross_section:g} pb, sum of weights {about.sum_of_weights:g}: an event of weight 1 "
        f"counts {about.normalisation:.4g}"
    )


_YIELDS = ("region", "process", "class", "events", "yield", "n_eff", "of region")


def _yields(regions: Sequence[RegionYields]) -> Iterator[str]:
    """Yield the expected events by region and process of the nominal domain, and the sums of each region."""
    if not regions:
        return
    others = list(dict.fromkeys(domain for region in regions for p in region.processes for domain in p.others))
    rows = [_process(region, process, others) for region in regions for process in region.processes]
    yield from _table("Yields by process and region", (*_YIELDS, *others), rows)
    if others:
        yield "  further columns: yield of the same process in the other domains, before any scaling"
    data = list(dict.fromkeys(domain for region in regions for domain in region.data))
    yield from _table("Regions", (*_REGIONS, *data), [_region(region, data) for region in regions])
    largest = [f"{region.region} ({region.largest})" for region in regions if region.largest is not None]
    points = [f"{region.region} ({', '.join(region.points)})" for region in regions if region.points]
    if points:
        yield f"  before the conditions on working points, whose thresholds are not chosen yet: {', '.join(points)}"
    if largest:
        yield f"  before the condition on the largest output, which no model gives yet: {', '.join(largest)}"


def _process(region: RegionYields, process: ProcessYield, others: Sequence[str]) -> list[str]:
    nominal = process.nominal
    total = sum(part.nominal.sumw for part in region.processes)
    share = f"{nominal.sumw / total:.1%}" if total > 0 else ""
    numbers = [str(nominal.events), _yield(nominal.sumw, nominal.sumw2), f"{nominal.n_eff:.0f}", share]
    of_others = (process.others.get(other) for other in others)
    elsewhere = ["" if part is None else _yield(part.sumw, part.sumw2) for part in of_others]
    return [region.region, process.process, process.class_name, *numbers, *elsewhere]


_REGIONS = ("region", "role", "signal", "background", "n_eff of background", "S/B", "S/sqrt(B)")


def _region(region: RegionYields, data: Sequence[str]) -> list[str]:
    signal, background = region.total(signal=True), region.total(signal=False)
    ratios = ["", ""]
    if background.sumw > 0:
        ratios = [f"{signal.sumw / background.sumw:.3g}", f"{signal.sumw / math.sqrt(background.sumw):.3g}"]
    return [
        region.region,
        region.role,
        _yield(signal.sumw, signal.sumw2),
        _yield(background.sumw, background.sumw2),
        f"{background.n_eff:.0f}",
        *ratios,
        *(str(region.data[domain]) if domain in region.data else "" for domain in data),
    ]


_AGREEMENT = ("feature", "in", "mean", "simulation", "KS", "chi2/ndf", "p", "")


def _agreement(entry: Agreement) -> list[str]:
    ratio = "" if entry.chi2 is None else f"{entry.chi2:.1f}/{entry.ndf}"
    p = "" if entry.p_value is None else f"{entry.p_value:.2g}"
    mark = "differs" if entry.p_value is not None and entry.p_value < UNLIKELY else ""
    means = [f"{mean:.4g}" for mean in entry.means]
    return [entry.feature, entry.data, *means, f"{entry.ks:.3f}", ratio, p, mark]


_TARGETS = ("model", "sample", "trained on", "events", "smallest", "median", "largest")


def _target(entry: TargetRange) -> list[str]:
    numbers = [f"{value:.6g}" for value in (entry.low, entry.median, entry.high)]
    return [entry.model, entry.sample, "yes" if entry.trained else "", str(entry.events), *numbers]


_OBJECTS = ("collection", "sample", "mean", "most", "kept", "cut off", "events cut")


def _objects(count: ObjectCount) -> list[str]:
    shares = [f"{count.cut_off:.2%}", f"{count.events:.2%}"]
    return [count.collection, count.sample, f"{count.mean:.2f}", str(count.most), str(count.size), *shares]


def _yield(sumw: float, sumw2: float) -> str:
    """Return the yield and its statistical error, rounded to the second digit of the error."""
    error = math.sqrt(sumw2)
    digits = 1 - math.floor(math.log10(error)) if 0 < error < math.inf else 0
    if digits > 6 or digits < -5 or not math.isfinite(sumw):
        return f"{sumw:.4g} +- {error:.2g}"
    shown = max(0, digits)
    return f"{round(sumw, digits):.{shown}f} +- {round(error, digits):.{shown}f}"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a title, a heading and rows with aligned columns.

    Columns of words are aligned to the left, columns of numbers to the right.
    """
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    is_left = [
        i == 0 or not any(character.isdigit() for row in rows for character in row[i][:1]) for i in range(len(head))
    ]
    yield ""
    yield title
    for row in (head, *rows):
        cells = (
            text.ljust(w) if to_left else text.rjust(w) for text, w, to_left in zip(row, widths, is_left, strict=True)
        )
        yield f"  {'  '.join(cells)}".rstrip()
