"""The table of the best cut: what the same events say of it, beside the cross-fitted number."""

from hepda.events.results.tables import best_cut_table
from hepda.results.events import EventMetrics


def test_the_number_of_the_same_events_stands_beside_the_one_to_report():
    significance = {"asimov": 2.0, "asimov_error": 0.1, "asimov_naive": 2.3, "asimov_with_bias": None}
    models = {"network": {"significance": significance}, "bdt": {"significance": {"asimov": 1.9, "asimov_naive": 2.1}}}
    table = best_cut_table(EventMetrics.from_json({"samples": {}, "models": models}))
    assert table.head == ["Model", "Z (stat.) [σ], same events", "Z (stat.) [σ]"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["network", "2.30", "2.00 ± 0.10"],
        ["bdt", "2.10", "1.90"],
    ]
    old = {"network": {"significance": {"asimov": 2.0}}}  # a run of an earlier hepda
    assert best_cut_table(EventMetrics.from_json({"samples": {}, "models": old})).rows == []
