"""What `hepda fit` found, as tables of the report: fit.json in, rows out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hepda.cells import Cell, Quantity, Table

MOST = 8  # nuisance parameters a model in the table of impacts


def fit_tables(found: Mapping[str, Any]) -> list[Table]:
    """The tables of the report's section "fit", from what fit.json holds."""
    return [
        _summary(found),
        *(_closure(found, variant) for variant in ("without_two_point", "all")),
        _impacts(found),
        _systematics(found),
    ]


def _summary(found: Mapping[str, Any]) -> Table:
    """A row a model: what is expected, and what was observed where data may be looked at."""
    head = ["Model", "Bins", "Expected error of µ", "of that: data", "systematics", "simulation", "Expected Z [σ]",
            "Observed µ", "Observed Z [σ]", "p-value of the fit", "Expected limit (CLs, 95 %)"]  # fmt: skip
    rows = []
    for name, model in found["models"].items():
        expected, observed = model["expected"], model["observed"]
        error = expected["error"]
        rows.append(
            [
                Cell(name, name),
                Quantity(len(model["edges"]) - 1.0).cell(),
                Quantity(error).cell(),
                *(Quantity(model["error_budget"][part]).cell() for part in ("data", "systematics", "simulation")),
                Quantity(expected["significance"]).cell(),
                _value(observed).cell(),
                Quantity(observed["significance"]).cell(),
                Quantity(observed["p_value"]).cell(),
                Quantity(expected["limit"]).cell(),
            ]
        )
    note = (
        "Templates of the score with all systematics. The error is half of the interval where −2 ln L rises by one; "
        "its parts are from the curvature."
    )
    return Table("Signal strength", head, rows, note)


def _value(fitted: Mapping[str, Any]) -> Quantity:
    """The fitted strength and half its interval."""
    mu, error = fitted["mu"], fitted["error"]
    return Quantity(mu) if mu is None or error is None else Quantity(mu, mu - error, mu + error)


def _closure(found: Mapping[str, Any], variant: str) -> Table:
    """A row a model, domain that plays data and injected strength."""
    head = ["Model", "Data from", "Injected µ", "Bias of µ", "Error of the fit", "Finite pseudo-data", "Toys: bias",
            "Pull width", "Coverage [%]", "Interval width"]  # fmt: skip
    rows = [
        [
            Cell(model, model),
            Cell(domain, domain),
            Quantity(entry["truth"]).cell(),
            Quantity(entry["bias"]).cell(),
            Quantity(entry["error"]).cell(),
            Quantity(entry["sample_error"]).cell(),
            *_toys(entry["toys"]),
        ]
        for model, domain, entry in _entries(found, variant)
    ]
    without = variant == "without_two_point"
    title = "Closure: the bias that remains when nobody knew of the other generators" if without else (
        "Closure with the other generator as a systematic"
    )  # fmt: skip
    note = (
        "Templates from "
        f"{found['source']}, data from another domain (data themselves: µ = 1 is what was made); "
        + ("all systematics but the two-point ones." if without else "all systematics.")
        + " Toys fluctuate the pseudo-data; 68.27 % of their intervals should hold the truth."
    )
    return Table(title, head, rows, note)


def _entries(found: Mapping[str, Any], variant: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for name, model in found["models"].items():
        for domain, entries in (model["closure"].get(variant) or {}).items():
            for entry in entries:
                yield name, domain, entry


def _toys(toys: Mapping[str, Any]) -> list[Cell]:
    def with_error(key: str, factor: float = 1.0) -> Cell:
        value, error = toys[key], toys[f"{key}_error"]
        if value is None or not error:
            return Quantity(None if value is None else factor * value).cell()
        return Quantity(value, value - error, value + error).scaled(factor).cell()

    return [
        with_error("bias"),
        Quantity(toys["pull_width"]).cell(),
        with_error("coverage", 100.0),
        Quantity(toys["width"]).cell(),
    ]


def _impacts(found: Mapping[str, Any]) -> Table:
    """The largest impacts of each model."""
    rows = [
        [
            Cell(name, name),
            Cell(impact["name"], impact["name"]),
            Quantity(impact["pull"]).cell(),
            Quantity(impact["constraint"]).cell(),
            Quantity(impact["mu_up"]).cell(),
            Quantity(impact["mu_down"]).cell(),
        ]
        for name, model in found["models"].items()
        for impact in model["impacts"][:MOST]
    ]
    head = ["Model", "Parameter", "Pull", "Error after / before", "µ: parameter up", "µ: down"]
    used = {model["fitted_to"] for model in found["models"].values()}
    note = f"The {MOST} largest of each model, in the fit to {', '.join(sorted(used))}; shifts by one post-fit error."
    return Table("Impacts", head, rows, note)


def _systematics(found: Mapping[str, Any]) -> Table:
    """What was varied, and how."""
    rows = [
        [Cell(name, name), Cell(entry["kind"], entry["kind"]), Cell(", ".join(entry["samples"])), Cell(entry["how"])]
        for name, entry in found["systematics"].items()
    ]
    return Table("Systematics", ["Parameter", "Kind", "Samples", "How"], rows)
