import pytest

from hepda.events.results import tables
from hepda.number_format import THIN
from hepda.report.nulls import nulls
from hepda.results.events import EventMetrics
from hepda.results.record import Measured, Record, Value, quantity_in


class Lines(Record):
    """An entry with a number that has its error beside it."""

    x: Value = None
    x_error: float | None = None


@pytest.mark.parametrize(
    ("content", "text", "short"),
    [
        ({"x": {"value": 0.8431, "low": 0.841, "high": 0.8452}}, "0.8431 ± 0.0021", "0.8431(21)"),
        ({"x": {"value": -10.21, "error": 3.46}}, "−10.2 ± 3.5", "−10.2(3.5)"),
        ({"x": 34812.4, "x_error": 171.2}, f"34{THIN}812 ± 171", f"34{THIN}812(171)"),
        ({"x": 0.0123456}, "0.0123", "0.0123"),
        ({"x": 41233}, f"41{THIN}233", f"41{THIN}233"),
        ({"x": 0}, "0", "0"),
        ({"x": None}, "–", "–"),
        ({"x": {"value": None, "why": "none"}}, "–", "–"),
        ({}, "", ""),
    ],
)
def test_numbers_are_written_with_two_digits_of_their_error(content: dict, text: str, short: str) -> None:
    cell = Lines.from_json(content).quantity("x").cell()
    assert (cell.text, cell.short) == (text, short)


def test_what_is_no_finite_number_is_refused_and_so_is_an_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"^x"):
        Lines.from_json({"x": float("nan")})
    with pytest.raises(AttributeError):
        Lines.from_json({"x": 1}).quantity("y")
    assert not quantity_in(None, "x").present and not quantity_in({}, "x").present


def test_the_full_number_is_kept_for_sorting_and_for_the_pointer() -> None:
    value = Measured.from_json({"value": 0.123456789, "low": 0.12, "high": 0.13})
    cell = quantity_in({"x": value}, "x").cell()
    assert cell.sort == 0.123456789
    assert cell.title == "0.123456789 [0.12, 0.13]"


def test_nulls_take_the_nearest_reason() -> None:
    metrics = {
        "models": {
            "bdt": {
                "domain_auc": {"a:b": {"score": 0.5, "embedding": None, "why": {"embedding": "no embedding"}}},
                "training": {"seconds": 1.0, "epochs": None, "why": "no epochs"},
                "further": {"data": {"mu": None, "pull": None, "why": "blinded"}},
                "bias": None,
                "bias_why": "one domain only",
                "significance": {"asimov": float("nan"), "binned": 1.0},
            }
        },
        "samples": {"data": {"class": None, "entries": 3}},
    }
    assert {(null.path, null.why) for null in nulls(metrics)} == {
        ("models › bdt › domain_auc › a:b › embedding", "no embedding"),
        ("models › bdt › training › epochs", "no epochs"),
        ("models › bdt › further › data", "blinded"),
        ("models › bdt › bias", "one domain only"),
        ("models › bdt › significance › asimov", "no reason is given"),
    }


def test_models_without_an_entry_have_empty_cells() -> None:
    auc = {"sim": {"value": 0.8, "low": 0.79, "high": 0.81}}
    metrics = EventMetrics.from_json({"models": {"a": {"auc": auc}, "b": {}, "c": {"auc": {}}}})
    table = tables.by_domain_table("AUC", {name: model.auc for name, model in metrics.models.items()})
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "0.800 ± 0.010"],
        ["b", ""],
        ["c", ""],
    ]
    assert tables.bias_tables(metrics) == []
    assert not tables.samples_table(metrics).rows
    assert tables.summary_table(EventMetrics.from_json({})).rows == []


def test_the_fits_that_earlier_runs_have_are_no_metric_of_a_table() -> None:
    fits = {"third": {"mu": 1.3, "error": 0.6, "pull": 0.5, "truth": 1.0, "sample_error": None, "why": "data"}}
    content = {"models": {"a": {"closure": fits, "accuracy": {"sim": 0.7}}}}
    metrics = EventMetrics.from_json(content)
    assert [table.title for table in tables.other_tables(metrics) if table.rows] == ["Accuracy"]
    assert metrics.to_json() == content


def test_shifts_stand_in_per_cent_with_their_errors_and_a_ks_inside_the_null_is_marked() -> None:
    bias = {
        "class": "background", "ks": 0.012, "ks_null": 0.014, "efficiency_shift": {"0.5": -0.05, "0.3": -0.1},
        "efficiency_shift_error": {"0.3": 0.035},
    }  # fmt: skip
    [table] = tables.bias_tables(
        EventMetrics.from_json({"models": {"dann": {"bias": {"simulation:alternative": bias}}}})
    )
    assert table.title == "Apparent simulation–alternative difference"
    assert list(table.head[:5]) == ["Model", "KS", "Null KS", "Shift at 30 %", "Shift at 50 %"]
    assert [cell.text for cell in table.rows[0][:5]] == ["dann", "0.0120", "0.0140", "−10.0 ± 3.5 %", "−5 %"]
    assert table.rows[0][1].good


def test_a_domain_is_held_out_if_nothing_of_it_was_trained_on() -> None:
    samples = {
        "tt": {"domain": "simulation", "use": "train"},
        "tt_third": {"domain": "third", "use": "evaluate"},
        "ttH_alt": {"domain": "alternative", "use": "evaluate"},
        "tt_alt": {"domain": "alternative", "use": "train"},
        "data": {"domain": "data", "use": "evaluate"},
    }
    assert EventMetrics.from_json({"samples": samples}).held_out == {"third"}


def test_cost_and_gain_are_those_over_the_baseline() -> None:
    def model(auc: float, ks: float) -> dict:
        return {"auc": {"sim": {"value": auc, "low": auc, "high": auc}}, "bias": {"sim:alt": {"ks": ks}}}

    metrics = {"models": {"dann": model(0.83, 0.01), "network": model(0.84, 0.04), "cut": {}}}
    table = tables.adaptation_table(EventMetrics.from_json(metrics))
    assert list(table.head) == ["Model", "ΔAUC sim", "KS ratio, alt"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["dann", "−0.010", "0.25"],
        ["cut", "–", "–"],
    ]


def test_metrics_of_other_kinds_get_their_own_table() -> None:
    metrics = {"models": {"dann": {"accuracy": {"source": {"value": 0.99, "low": 0.98, "high": 1.0}, "target": 0.9}}}}
    [table] = tables.other_tables(EventMetrics.from_json(metrics))
    assert (table.title, list(table.head)) == ("Accuracy", ["Model", "source", "target"])
    assert tables.summary_table(EventMetrics.from_json(metrics)).rows[0][2].text == "0.9000"


def test_a_shift_that_one_generator_has_by_itself_is_marked() -> None:
    entry = {
        "class": "background", "ks": 0.05, "efficiency_shift": {"0.3": -0.1, "0.5": -0.1},
        "efficiency_shift_error": {"0.3": 0.08, "0.5": 0.02},
        "efficiency_shift_null": {"0.3": {"low": -0.15, "high": 0.17}, "0.5": {"low": -0.04, "high": 0.04}},
    }  # fmt: skip
    metrics = EventMetrics.from_json({"models": {"m": {"bias": {"a:b": entry}}, "old": {"bias": {"a:b": {
        name: value for name, value in entry.items() if name != "efficiency_shift_null"}}}}})  # fmt: skip
    [table] = tables.bias_tables(metrics)
    marks = {row[0].text: [cell.good for cell in row[3:5]] for row in table.rows}
    assert marks == {"m": [True, False], "old": [False, False]}


def test_the_first_table_has_the_shifts_in_the_tail_to_every_simulated_domain() -> None:
    def shifts(at30: float) -> dict:
        points = {"0.1": 3 * at30, "0.2": 2 * at30, "0.3": at30, "0.5": 0.0}
        return {"class": "background", "ks": 0.01, "efficiency_shift": points,
                "efficiency_shift_error": dict.fromkeys(points, 0.03)}  # fmt: skip

    bias = {"sim:alt": shifts(-0.1), "sim:third": shifts(-0.2), "sim:data": shifts(0.3) | {"class": "all"}}
    samples = {"tt": {"domain": "third", "use": "evaluate"}}
    table = tables.summary_table(EventMetrics.from_json({"samples": samples, "models": {"dann": {"bias": bias}}}))
    assert list(table.head) == [
        "Model", "Shift at 30 %, alt", "Shift at 20 %, alt", "Shift at 10 %, alt", "Shift at 30 %, third (unseen)",
        "Shift at 20 %, third (unseen)", "Shift at 10 %, third (unseen)",
    ]  # fmt: skip
    assert [c.text for c in table.rows[0][1:]] == [
        f"{x} ± 3.0 %" for x in ("−10.0", "−20.0", "−30.0", "−20.0", "−40.0", "−60.0")
    ]
    assert "Unseen: held out from all trainings" in table.note


def test_a_statistic_inside_its_null_is_marked() -> None:
    entry = {
        "ks": {"value": 0.012, "p_value": 0.31, "null": 0.014},
        "chi2": {"value": 31.0, "p_value": 0.005, "null": 17.0},
        "energy": {"value": 0.02, "p_value": None, "null": None, "why": "x"},
    }
    [table] = tables.two_sample_tables(
        EventMetrics.from_json({"models": {"dann": {"tests": {"a:b": {"signal": entry}}}}})
    )
    assert table.title == "Two-sample tests, signal, a against b" and table.fold
    cells = dict(zip(table.head, table.rows[0], strict=True))
    assert cells["KS"].text == "0.0120 (p 0.31)" and cells["KS"].good
    assert cells["χ²"].text == "31 (p 0.0050)" and not cells["χ²"].good
    assert cells["Energy"].text == "0.0200" and cells["Wasserstein"].text == ""


def test_a_ratio_that_says_nothing_stands_in_brackets() -> None:
    def ratio(value: float, resolved: bool) -> dict:
        return {"value": value, "low": value - 0.1, "high": value + 0.1, "resolved": resolved,
                "plain": {"value": -0.2}, "adapted": {"value": -0.1}}  # fmt: skip

    ratios = {"a:b": {"0.1": ratio(0.5, False), "0.3": ratio(0.4, True)}}
    table = tables.ratio_table(EventMetrics.from_json({"models": {"network": {}, "dann": {"shift_ratio": ratios}}}))
    assert list(table.head) == ["Model", "b, 30 %", "b, 10 %"]
    assert [c.text for c in table.rows[0]] == ["dann", "0.40 ± 0.10", "(0.50 ± 0.10)"]
    assert table.rows[0][1].title == "0.4 [0.30000000000000004, 0.5]; adapted -0.1; baseline -0.2"


def test_training_bias_is_read_down_and_shift_along() -> None:
    def tested(auc: float) -> dict:
        return {"auc": {"value": auc}, "auc_difference": {"value": auc - 0.8}, "background_efficiency": {"value": 0.05}}

    models = {
        "network": {"trained_on": "A", "tested_on": {"A": tested(0.8), "B": tested(0.82)}},
        "network_b": {"trained_on": "B", "tested_on": {"A": tested(0.79), "B": tested(0.83)}},
    }
    table = tables.training_bias_table(
        EventMetrics.from_json({"training_bias": {"signal_efficiency": 0.3, "models": models}})
    )
    assert list(table.head)[:3] == ["Trained on (model)", "AUC on A", "AUC on B"]
    assert [c.text for c in table.rows[1]] == ["B (network_b)", "0.7900", "0.8300", "−0.010", "0.030", "5", "5"]
    assert "at 30 % signal efficiency" in table.note
    assert not tables.training_bias_table(EventMetrics.from_json({})).rows


def test_flatness_is_marked_below_the_limits() -> None:
    flat = {"ht": {"signal": {"cvm": 0.0009, "ks": 0.12, "p_value": 0.3}}}
    row = tables.flatness_table(EventMetrics.from_json({"models": {"dann": {"flatness": flat}}})).rows[0]
    assert [cell.good for cell in row] == [False, True, False, False]


def test_probes_stand_by_class_with_the_inputs_below() -> None:
    def auc(value: float) -> dict:
        return {"value": value, "low": value - 0.01, "high": value + 0.01}

    probes = {
        "signal": {"bdt": {"score": auc(0.51)}, "mlp": {"score": auc(0.52)}},
        "background": {"bdt": None, "why": "few"},
    }
    guards = {"inputs": {"a:b": {"signal": {"bdt": {"inputs": auc(0.6)}, "mlp": {"inputs": auc(0.61)}}}}}
    signal, background = tables.probe_tables(
        EventMetrics.from_json({"models": {"dann": {"probes": {"a:b": probes}}}, "guards": guards})
    )
    assert [[c.text for c in row] for row in signal.rows] == [
        ["dann", "0.510 ± 0.010", "0.520 ± 0.010", "", ""],
        ["inputs", "0.600 ± 0.010", "0.610 ± 0.010", "0.600 ± 0.010", "0.610 ± 0.010"],
    ]
    assert background.title == "Probes, background, a against b" and background.fold and not signal.fold


def test_the_models_are_told_with_what_they_were_trained_on():
    setup = {"kind": "network 8-8", "class_loss": ["ttH", "tt"], "adaptation": "pivot: tt against tt_alt"}
    setup |= {"strength": 30.0, "members": 3}
    table = tables.models_table(
        EventMetrics.from_json({"models": {"dann": {"setup": setup}, "bdt": {"setup": {"kind": "trees, sklearn"}}}})
    )
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["dann", "network 8-8", "ttH + tt", "pivot: tt against tt_alt", "30", "3"],
        ["bdt", "trees, sklearn", "", "none", "", ""],
    ]
    assert not tables.models_table(EventMetrics.from_json({"models": {"bdt": {}}})).rows


AUCS = (("domains", 0.58), ("classes", 0.84))


def test_removal_says_how_many_and_which_inputs_are_out() -> None:
    left = {what: {"value": auc, "low": auc - 0.01, "high": auc + 0.01} for what, auc in AUCS}
    names = ["a", "b", "c", "d", "e"]
    without = {"0": left, "1": left, "5": left}
    guards = {"removal": {"A:B": {"inputs": names, "without": without}, "A:C": {"inputs": [], "without": None}}}
    table = tables.removal_table(EventMetrics.from_json({"guards": guards}))
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["A against B", "0", "0.580 ± 0.010", "0.840 ± 0.010", "none removed"],
        ["A against B", "1", "0.580 ± 0.010", "0.840 ± 0.010", "a"],
        ["A against B", "5", "0.580 ± 0.010", "0.840 ± 0.010", "a, b, c and 2 more"],
    ]
    assert tables.removal_table(EventMetrics.from_json({})).rows == []


def test_a_p_value_that_no_permutation_reaches_is_a_limit():
    """1 / 201 of 200 permutations says "< 0.005"; the same number where a permutation reached it says what it is."""
    p_value = {"p_value": 1 / 201}
    bias = {"class": "background", "ks": 0.4, "ks_null": 0.1, "efficiency_shift": {}}
    metrics = {
        "models": {
            name: {
                "bias": {"a:b": bias | p_value | text},
                "tests": {"a:b": {"background": {"ks": {"value": 0.4, "null": 0.1} | p_value | limit}}},
                "overtraining": {"signal": {"ks": 0.1} | p_value | limit},
                "flatness": {"ht": {"signal": {"cvm": 0.1, "ks": 0.1} | p_value | limit}},
            }
            for name, text, limit in (
                ("limit", {"p_value_is_upper_limit": True}, {"p_value_is_upper_limit": True}),
                ("value", {"p_value_is_upper_limit": False}, {}),
            )
        }
    }
    guards = (
        tables.overtraining_table(EventMetrics.from_json(metrics)),
        tables.flatness_table(EventMetrics.from_json(metrics)),
    )
    for table in (
        *tables.bias_tables(EventMetrics.from_json(metrics)),
        *tables.two_sample_tables(EventMetrics.from_json(metrics)),
        *guards,
    ):
        first, second = (" ".join(cell.text for cell in row) for row in table.rows)
        assert "< 0.005" in first and "0.00498" not in first, table.title
        assert "0.00498" in second or "0.0050" in second, table.title


def test_a_shift_of_which_there_is_only_a_limit_is_written_as_one():
    bias = {"class": "background", "ks": 0.1, "ks_null": 0.2, "p_value": 0.5, "efficiency_shift": {"0.1": None},
            "efficiency_shift_error": {"0.1": None}, "efficiency_shift_upper_limit": {"0.1": -0.62}}  # fmt: skip
    metrics = {"models": {"network": {"auc": {"a": 0.8}, "bias": {"a:b": bias}}}}
    for table in (
        *tables.bias_tables(EventMetrics.from_json(metrics)),
        tables.summary_table(EventMetrics.from_json(metrics)),
    ):
        assert "< −62 %" in " ".join(cell.text for cell in table.rows[0]), table.title
