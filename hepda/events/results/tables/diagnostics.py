"""Tables of diagnostics: label shift, inputs that separate the domains, overtraining, calibration, bins, flatness."""

from __future__ import annotations

from collections.abc import Sequence

from hepda.events.results.tables.cells import keys_of, quantity
from hepda.events.results.tables.quality import by_domain_table
from hepda.number_format import Cell, Quantity, Table, number, p_cell
from hepda.results.events import BinsEntry, EventMetrics, NotComputed
from hepda.results.record import quantity_in, quantity_of

MOST = 15  # number of inputs in the table of importance
BRIEF = 3  # number of inputs that a cell lists by name
CLASSES = ("signal", "background")
FLATNESS_LIMITS = {"cvm": 0.002, "ks": 0.09}


def priors_table(metrics: EventMetrics) -> Table:
    """Return the share of signal in each domain, and the ratio of its odds to those of the source."""
    priors = metrics.guards.class_priors
    rows = [
        [
            Cell(domain, domain),
            (entry.quantity("value") if entry.error is None else quantity_of(entry).scaled(100.0)).cell(),
            entry.quantity("odds_ratio").cell(),
        ]
        for domain, entry in priors.items()
        if len(priors) > 1  # a single domain cannot be compared with another one
    ]
    note = (
        "Fraction of signal in the yield. A domain loss on both classes removes a difference in this fraction (label "
        "shift); a domain loss on one class does not."
    )
    return Table("Label shift", ["Domain", "Signal [%]", "Odds ratio to the nominal domain"], rows, note)


def importance_table(metrics: EventMetrics) -> Table:
    """Return the inputs that separate the domains best: the decrease of a probe's AUC, one column for each pair."""
    by_pair = {pair: entry for pair, entry in metrics.guards.importance.items() if not isinstance(entry, NotComputed)}
    names = keys_of(by_pair.values())
    names.sort(key=lambda name: -max(quantity_in(entry, name).value or 0.0 for entry in by_pair.values()))
    rows = [
        [Cell(name, name), *(quantity_in(entry, name).cell() for entry in by_pair.values())] for name in names[:MOST]
    ]
    note = (
        "Decrease of the AUC of a fresh domain classifier when the input is permuted, with the spread over "
        "permutations; correlated inputs share importance, which can hide it."
    )
    head = ["Input", *(pair.replace(":", " against ") for pair in by_pair)]
    return Table("Inputs that differ between the domains", head, rows, note)


def separation_table(metrics: EventMetrics) -> Table:
    """Return the inputs by how well each alone separates signal and background, the best first."""
    rows = [
        [Cell(name, name), quantity_of(entry).cell(), entry.quantity("auc").cell(digits=4)]
        for name, entry in metrics.guards.separation.items()
    ]
    note = (
        "Each input alone, in the nominal domain. ⟨S²⟩: TMVA's separation, 0 for equal shapes of signal and "
        "background, 1 without overlap. AUC of the input as a score; below 0.5, small values are signal. What a model "
        "makes of an input together with others is not seen here."
    )
    return Table("Ranking of the inputs", ["Input", "⟨S²⟩", "AUC"], rows, note, "Ranking of the inputs")


def class_importance_table(metrics: EventMetrics) -> Table:
    """Return the inputs by how much each model uses them for the classes, a column for each model."""
    entries = {name: model.importance for name, model in metrics.models.items() if model.importance is not None}
    names = keys_of(entry.inputs for entry in entries.values())
    names.sort(key=lambda name: -max(quantity_in(entry.inputs, name).value or 0.0 for entry in entries.values()))
    rows = [
        [Cell(name, name), *(quantity_in(entry.inputs, name).cell() for entry in entries.values())] for name in names
    ]
    counts = sorted({int(entry.events) for entry in entries.values() if entry.events is not None})
    events = " to ".join(f"{count:,}".replace(",", " ") for count in dict.fromkeys((counts or [0])[:1] + counts[-1:]))
    note = (
        f"Decrease of the AUC of each trained model when one input takes the values of other events, on {events} "
        "events of the nominal domain that the trainings did not see, half of them signal. Correlated inputs share "
        "importance, which can hide it; empty: the model does not read the input."
    )
    return Table("Inputs that the models use", ["Input", *entries], rows, note, "Inputs that the models use")


def few_labels_table(metrics: EventMetrics) -> Table:
    """Return the AUC in another domain after a new last layer was fitted to few labelled events of it."""
    entries = {
        name: m.few_labels for name, m in metrics.models.items() if m.few_labels is not None and m.few_labels.methods
    }
    counts = sorted({int(n) for entry in entries.values() for method in entry.methods.values() for n in method.auc})
    rows = []
    for model, entry in entries.items():
        for name, method in entry.methods.items():
            found = Cell("none" if method.needed is None else f"{method.needed:g}", method.needed)
            rows.append(
                [
                    Cell(model, model),
                    entry.quantity("trained").cell(),
                    Cell(name, name),
                    *(quantity_in(method.auc, str(count)).cell() for count in counts),
                    found,
                ]
            )
    domain = next((entry.domain for entry in entries.values()), "")
    note = (
        f"AUC in {domain}. The columns are labelled events of each class, drawn from its validation events; the AUC is "
        "that of its other events of fold 0, with 68 % of the draws. `correction` adds a linear function of the "
        "embedding to the trained logit, `refit` replaces the last layer, `prototypes` compares with the mean of each "
        "class. Better from: the number from which on the interval is above the trained model."
    )
    head = ["Model", "As trained", "Last layer", *map(str, counts), "Better from"]
    return Table("New last layers from few labels", head, rows, note)


def removal_table(metrics: EventMetrics) -> Table:
    """Return the AUC of domains and of classes without the inputs that separate the domains most."""
    rows = []
    for pair, entry in metrics.guards.removal.items():
        domains = pair.replace(":", " against ")
        for count, auc in (entry.without or {}).items():
            removed = ", ".join(entry.inputs[: int(count)])
            rows.append(
                [
                    Cell(domains, domains),
                    Cell(count, float(count), removed or "nothing"),
                    auc.quantity("domains").cell(),
                    auc.quantity("classes").cell(),
                    Cell(_brief(entry.inputs, int(count)), None, removed),
                ]
            )
    note = (
        "AUC of fresh trees without the inputs that differ most between the domains: for the domains, and for signal "
        "against background in the nominal domain. If both decrease together, the same inputs carry both kinds of "
        "information, and no domain loss can remove one without the other (arXiv:2212.10493)."
    )
    head = ["Domains", "Removed", "Domain AUC", "Class AUC", "Inputs"]
    return Table("Without the inputs that differ most", head, rows, note)


def _brief(names: Sequence[str], count: int) -> str:
    """Return the names of the inputs that are removed in a row, at most BRIEF of them by name."""
    if count == 0:
        return "none removed"
    return ", ".join(names[:count]) if count <= BRIEF else f"{', '.join(names[:BRIEF])} and {count - BRIEF} more"


def reweighting_table(metrics: EventMetrics) -> Table:
    """Return the difference between source and target before and after each reweighting of training events."""
    rows = []
    for name, model in metrics.models.items():
        for loss, entry in (("class loss", model.reweight), ("domain loss", model.domain_reweight)):
            if entry is not None:
                values = [when for part in (entry.domain_auc, entry.n_eff) for when in (part.before, part.after)]
                rows.append(
                    [
                        Cell(name, name),
                        Cell(loss, loss),
                        *(quantity_of(value).cell() for value in values),
                        entry.quantity("clipped").scaled(100.0).cell(digits=2),
                    ]
                )
    head = ["Model", "Weights of", "Domain AUC before", "after", "Effective events before", "after", "Clipped [%]"]
    note = (
        "AUC of a fresh classifier of the reweighted source against the target on the inputs, for events that were "
        "not used to fit it or the ratio; 0.5: no difference is left. Means over trainings."
    )
    return Table("Reweighting", head, rows, note)


def gradients_table(metrics: EventMetrics) -> Table:
    """Return the cosine between the gradients that class loss and domain loss send into the encoder."""
    rows = [
        [Cell(name, name), *(entry.quantity(key).cell(digits=2) for key in ("first", "last"))]
        for name, entry in metrics.guards.gradient_cosine.items()
    ]
    note = (
        "Mean over trainings. Below zero, the gradients oppose each other. At the end of a training they balance, so "
        "a value near −1 is expected; in the first epochs it means that the same information separates domains and "
        "classes."
    )
    return Table("Cosine of class and domain gradients", ["Model", "First third", "Last third"], rows, note)


def calibration_table(metrics: EventMetrics) -> Table:
    """Return the mean distance of the signal fraction from the score, by domain."""
    errors = {
        name: {domain: entry.expected_error for domain, entry in model.calibration.items()}
        for name, model in metrics.classifiers.items()
    }
    note = "Mean |signal fraction − score|, both classes scaled to the same yield; 0: the score is a probability."
    return by_domain_table("Calibration", errors, note, digits=2)


def bins_table(metrics: EventMetrics) -> Table:
    """Return the bins of the score by domain and class.

    A cell has the lowest number of effective events in a bin, and the numbers of empty and of negative bins.
    """
    by_model = {name: model.bins for name, model in metrics.classifiers.items() if model.bins}
    columns = [(domain, which) for domain in keys_of(by_model.values()) for which in CLASSES]
    rows = []
    for name, bins in by_model.items():
        count = next((entry.bins for by_class in bins.values() for entry in by_class.values()), None)
        cells = [_lowest(bins.get(domain, {}).get(which)) for domain, which in columns]
        rows.append([Cell(name, name), Quantity(number(count)).cell(), *cells])
    head = ["Model", "Bins", *(f"{which}, {domain}" for domain, which in columns)]
    note = (
        "Smallest number of effective events in a bin, and number of empty or negative bins. The bins are chosen "
        "with the validation half (by hash) of the nominal domain and filled with all events."
    )
    return Table("Bins of the score", head, rows, note)


def _lowest(entry: BinsEntry | None) -> Cell:
    cell = quantity(entry, "lowest_n_eff").cell()
    counts = {word: quantity(entry, word).value or 0.0 for word in ("empty", "negative")}
    bad = ", ".join(f"{count:.0f} {word}" for word, count in counts.items() if count)
    title = "; ".join([cell.title, *(f"{count!r} {word}" for word, count in counts.items())])
    return Cell(f"{cell.text} ({bad})" if bad else cell.text, cell.sort, title)


def overtraining_table(metrics: EventMetrics) -> Table:
    """Return the KS distance between training and test events, by class."""
    tests = {
        name: {which: model.overtraining.of(which) if model.overtraining else None for which in CLASSES}
        for name, model in metrics.classifiers.items()
    }
    classes = [which for which in CLASSES if any(by_class[which] for by_class in tests.values())]
    rows = []
    for name, by_class in tests.items():
        row = [Cell(name, name)]
        for entry in (by_class[which] for which in classes):
            is_limit = entry is not None and entry.p_value_is_upper_limit
            row += [quantity(entry, "ks").cell(), p_cell(quantity(entry, "p_value"), is_limit)]
        rows.append(row)
    head = ["Model", *(text for which in classes for text in (f"{which}: KS", "p-value"))]
    note = (
        "Scores of the trainings of the first fold on their training events and on test events. A small p-value "
        "means that the shapes differ, not that the model is bad: all numbers are from test events."
    )
    return Table("Training against test events", head, rows if classes else [], note)


def flatness_table(metrics: EventMetrics) -> Table:
    """Return the dependence of the score on protected variables, by class."""
    by_model = {name: model.flatness for name, model in metrics.classifiers.items()}
    columns = [
        (variable, which)
        for variable in keys_of(by_model.values())
        for which in keys_of(flatness.get(variable, {}) for flatness in by_model.values())
    ]
    rows = []
    for name, flatness in by_model.items():
        row = [Cell(name, name)]
        for variable, which in columns:
            entry = flatness.get(variable, {}).get(which)
            for key, limit in FLATNESS_LIMITS.items():
                distance = quantity(entry, key)
                row.append(distance.cell(digits=2, good=distance.value is not None and distance.value < limit))
            row.append(p_cell(quantity(entry, "p_value"), entry is not None and entry.p_value_is_upper_limit, 2))
        rows.append(row)
    head = ["Model", *(t for v, w in columns for t in (f"{w} against {v}: CvM", "KS", "p-value"))]
    note = (
        "Cramér-von Mises distance between the score in windows of the variable and in the full range, and the "
        "largest KS distance for a tenth of it; marked below the limits of the LHCb flavour challenge (0.002, 0.09). "
        "A score that is independent of the variable has CvM 0.0008."
    )
    return Table("Flatness against protected variables", head, rows if columns else [], note)
