"""Tables of diagnostics: label shift, inputs that separate the domains, overtraining, calibration, bins, flatness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hepda.events.results.tables.quality import by_domain_table
from hepda.number_format import Cell, Quantity, Table
from hepda.report.reading import entries, get, keys, p_cell

MOST = 15  # number of inputs in the table of importance
BRIEF = 3  # number of inputs that a cell lists by name


def priors_table(metrics: Mapping[str, Any]) -> Table:
    """Return the share of signal in each domain, and the ratio of its odds to those of the source."""
    priors = get(metrics, "guards", "class_priors") or {}
    rows = [
        [
            Cell(domain, domain),
            Quantity.read(entry, "value").cell() if entry.get("error") is None else _per_cent(entry),
            Quantity.read(entry, "odds_ratio").cell(),
        ]
        for domain, entry in priors.items()
        if len(priors) > 1  # a single domain cannot be compared with another one
    ]
    note = (
        "Share of signal in the yield. A domain loss that sees both classes learns a difference of it away (label "
        "shift); one that sees a single class does not."
    )
    return Table("Label shift", ["Domain", "Signal [%]", "Odds over the first"], rows, note)


def _per_cent(entry: Mapping[str, Any]) -> Cell:
    return Quantity.read({"value": dict(entry)}, "value").scaled(100.0).cell()


def importance_table(metrics: Mapping[str, Any]) -> Table:
    """Return the inputs that separate the domains best: the fall of a probe's AUC, one column for each pair."""
    found = {
        pair: entry for pair, entry in (get(metrics, "guards", "importance") or {}).items() if "value" not in entry
    }
    names = keys(found.values())
    names.sort(key=lambda name: -max(Quantity.read(entry, name).value or 0.0 for entry in found.values()))
    rows = [
        [Cell(name, name), *(Quantity.read(entry, name).cell() for entry in found.values())] for name in names[:MOST]
    ]
    note = (
        "By how much the AUC of a fresh classifier of the domains falls if the input is shuffled, with the spread over "
        "shuffles; correlated inputs share, and hide, importance."
    )
    head = ["Input", *(pair.replace(":", " against ") for pair in found)]
    return Table("Which inputs tell the domains apart", head, rows, note)


def removal_table(metrics: Mapping[str, Any]) -> Table:
    """Return the AUC of domains and of classes without the inputs that separate the domains most."""
    found = {pair: entry for pair, entry in (get(metrics, "guards", "removal") or {}).items() if entry.get("without")}
    rows = []
    for pair, entry in found.items():
        told = pair.replace(":", " against ")
        for count, left in entry["without"].items():
            out = ", ".join(entry["inputs"][: int(count)])
            rows.append([
                Cell(told, told), Cell(count, float(count), out or "nothing"),
                *(Quantity.read(left, what).cell() for what in ("domains", "classes")),
                Cell(_brief(entry["inputs"], int(count)), None, out),
            ])  # fmt: skip
    note = (
        "AUC of fresh trees, fitted again without the inputs that tell the domains apart most: between the domains, "
        "and between signal and background of the first. If both fall together, the same inputs carry both, and no "
        "domain loss can take the one without the other (arXiv:2212.10493)."
    )
    head = ["Domains", "Out", "Domain AUC", "Class AUC", "Inputs"]
    return Table("Without the inputs that tell most", head, rows, note)


def _brief(names: Sequence[str], count: int) -> str:
    """Return the names of the inputs that are removed in a row, at most BRIEF of them by name."""
    if count == 0:
        return "all are in"
    return ", ".join(names[:count]) if count <= BRIEF else f"{', '.join(names[:BRIEF])} and {count - BRIEF} more"


def reweighting_table(metrics: Mapping[str, Any]) -> Table:
    """Return the difference between source and target before and after each reweighting of training events."""
    words = {"reweight": "class loss", "domain_reweight": "domain loss"}
    rows = [
        [
            Cell(name, name),
            Cell(words[key], words[key]),
            *(Quantity.read(get(model, key, "domain_auc"), when).cell() for when in ("before", "after")),
            *(Quantity.read(get(model, key, "n_eff"), when).cell() for when in ("before", "after")),
            Quantity.read(model[key], "clipped").scaled(100.0).cell(digits=2),
        ]
        for name, model in entries(metrics, "models")
        for key in words
        if model.get(key)
    ]
    head = ["Model", "Weights of", "Domain AUC before", "after", "Effective events before", "after", "Clipped [%]"]
    note = (
        "AUC with which a fresh classifier tells reweighted source from target by the inputs, on events that neither "
        "it nor the ratio was fitted on; 0.5: nothing is left. Means over trainings."
    )
    return Table("Reweighting", head, rows, note)


def gradients_table(metrics: Mapping[str, Any]) -> Table:
    """Return the cosine between the gradients that class loss and domain loss send into the encoder."""
    found = get(metrics, "guards", "gradient_cosine") or {}
    rows = [
        [Cell(name, name), *(Quantity.read(entry, key).cell(digits=2) for key in ("first", "last"))]
        for name, entry in found.items()
    ]
    note = (
        "Mean over trainings. Below zero they oppose each other. At the end they balance, and a value near −1 says no "
        "more than that; in the first epochs it says that what tells the domains apart is what tells the classes apart."
    )
    return Table("Cosine of class and domain gradients", ["Model", "First third", "Last third"], rows, note)


def calibration_table(metrics: Mapping[str, Any]) -> Table:
    """Return the mean distance of the signal fraction from the score, by domain."""
    flat = {
        "models": {
            name: {"calibration": {d: e.get("expected_error") for d, e in (model.get("calibration") or {}).items()}}
            for name, model in entries(metrics, "models")
        }
    }
    note = "Mean |signal fraction − score|, both classes scaled to the same yield; 0 is a score that is a probability."
    return by_domain_table(flat, "calibration", "Calibration", note, digits=2)


def bins_table(metrics: Mapping[str, Any]) -> Table:
    """Return the bins of the score by domain and class.

    A cell has the lowest number of effective events in a bin, and the numbers of empty and of negative bins.
    """
    found = [(name, model.get("bins")) for name, model in entries(metrics, "models")]
    columns = [(domain, which) for domain in keys(bins for _, bins in found) for which in ("signal", "background")]
    rows = []
    for name, bins in found:
        if not bins:
            continue
        count = next((e.get("bins") for by_class in bins.values() for e in by_class.values()), None)
        cells = [_lowest(get(bins, domain, which)) for domain, which in columns]
        rows.append([Cell(name, name), Quantity.read({"bins": count}, "bins").cell(), *cells])
    head = ["Model", "Bins", *(f"{which}, {domain}" for domain, which in columns)]
    note = (
        "The fewest effective events in a bin, and how many bins are empty or negative. The bins are chosen on the "
        "validation half of the hash in the first domain, and filled with all events."
    )
    return Table("Bins of the score", head, rows, note)


def _lowest(entry: object) -> Cell:
    cell = Quantity.read(entry, "lowest_n_eff").cell()
    counts = {word: Quantity.read(entry, word).value or 0.0 for word in ("empty", "negative")}
    bad = ", ".join(f"{count:.0f} {word}" for word, count in counts.items() if count)
    title = "; ".join([cell.title, *(f"{count!r} {word}" for word, count in counts.items())])
    return Cell(f"{cell.text} ({bad})" if bad else cell.text, cell.sort, title)


def overtraining_table(metrics: Mapping[str, Any]) -> Table:
    """Return the KS distance between training and test events, by class."""
    found = [(name, model.get("overtraining") or {}) for name, model in entries(metrics, "models")]
    classes = [which for which in ("signal", "background") if any(isinstance(get(e, which), Mapping) for _, e in found)]
    rows = [
        [
            Cell(name, name),
            *(cell for which in classes for cell in (Quantity.read(get(e, which), "ks").cell(), p_cell(get(e, which)))),
        ]
        for name, e in found
    ]
    head = ["Model", *(text for which in classes for text in (f"{which}: KS", "p-value"))]
    note = (
        "The score of trainings of the first fold on events that they were trained on, against events that they never "
        "saw. A small p-value says that the shape differs, not that the model is bad: all numbers are of unseen events."
    )
    return Table("Training against test events", head, rows if classes else [], note)


def flatness_table(metrics: Mapping[str, Any]) -> Table:
    """Return the dependence of the score on protected variables, by class."""
    found = [(name, model.get("flatness") or {}) for name, model in entries(metrics, "models")]
    columns = [
        (variable, which)
        for variable in keys(flat for _, flat in found)
        for which in keys(get(flat, variable) for _, flat in found)
    ]
    limits = {"cvm": 0.002, "ks": 0.09}
    rows = []
    for name, flat in found:
        row = [Cell(name, name)]
        for variable, which in columns:
            entry = get(flat, variable, which)
            for key, limit in limits.items():
                quantity = Quantity.read(entry, key)
                row.append(quantity.cell(digits=2, good=quantity.value is not None and quantity.value < limit))
            row.append(p_cell(entry, 2))
        rows.append(row)
    head = ["Model", *(t for v, w in columns for t in (f"{w} against {v}: CvM", "KS", "p-value"))]
    note = (
        "Cramér-von Mises distance between the score in windows of the variable and everywhere, and the largest KS "
        "of a tenth of it; marked below the limits of the LHCb challenge on flavours (0.002, 0.09). A score that knows "
        "nothing of the variable has CvM 0.0008."
    )
    return Table("Flatness against protected variables", head, rows if columns else [], note)
