import pytest

from hepda import tables
from hepda.cells import THIN, Quantity


@pytest.mark.parametrize(
    ("holder", "text", "short"),
    [
        ({"x": {"value": 0.8431, "low": 0.841, "high": 0.8452}}, "0.8431 ± 0.0021", "0.8431(21)"),
        ({"x": {"value": -10.21, "error": 3.46}}, "−10.2 ± 3.5", "−10.2(3.5)"),
        ({"x": 34812.4, "x_error": 171.2}, f"34{THIN}812 ± 171", f"34{THIN}812(171)"),
        ({"x": 0.0123456}, "0.0123", "0.0123"),
        ({"x": 41233}, f"41{THIN}233", f"41{THIN}233"),
        ({"x": 0}, "0", "0"),
        ({"x": None}, "–", "–"),
        ({"x": float("nan")}, "–", "–"),
        ({"x": True}, "–", "–"),
        ({}, "", ""),
        (None, "", ""),
    ],
)
def test_numbers_are_written_with_two_digits_of_their_error(holder: object, text: str, short: str) -> None:
    cell = Quantity.read(holder, "x").cell()
    assert (cell.text, cell.short) == (text, short)


def test_the_full_number_is_kept_for_sorting_and_for_the_pointer() -> None:
    cell = Quantity.read({"x": {"value": 0.123456789, "low": 0.12, "high": 0.13}}, "x").cell()
    assert cell.sort == 0.123456789
    assert cell.title == "0.123456789 [0.12, 0.13]"


def test_nulls_take_the_nearest_reason() -> None:
    metrics = {
        "models": {
            "bdt": {
                "domain_auc": {
                    "a:b": {"score": 0.5, "embedding": None, "why": {"embedding": "no embedding"}}
                },
                "training": {"seconds": 1.0, "epochs": None, "why": "no epochs"},
                "closure": {"data": {"mu": None, "pull": None, "why": "blinded"}},
                "bias": None,
                "bias_why": "one domain only",
                "significance": {"asimov": float("nan"), "binned": 1.0},
            }
        },
        "samples": {"data": {"class": None, "entries": 3}},
    }
    assert {(null.path, null.why) for null in tables.nulls(metrics)} == {
        ("models › bdt › domain_auc › a:b › embedding", "no embedding"),
        ("models › bdt › training › epochs", "no epochs"),
        ("models › bdt › closure › data", "blinded"),
        ("models › bdt › bias", "one domain only"),
        ("models › bdt › significance › asimov", "no reason is given"),
    }


def test_models_without_an_entry_have_empty_cells() -> None:
    metrics = {
        "models": {"a": {"auc": {"sim": {"value": 0.8, "low": 0.79, "high": 0.81}}}, "b": {}, "c": None}
    }
    table = tables.by_domain_table(metrics, "auc", "AUC")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "0.800 ± 0.010"],
        ["b", ""],
        ["c", ""],
    ]
    assert tables.bias_tables(metrics) == []
    assert not tables.closure_table(metrics).rows
    assert not tables.samples_table(metrics).rows
    assert tables.summary_table({}).rows == []


def test_shifts_stand_in_per_cent_with_their_errors_and_a_ks_inside_the_null_is_marked() -> None:
    bias = {
        "class": "background", "ks": 0.012, "ks_null": 0.014, "efficiency_shift": {"0.5": -0.05, "0.3": -0.1},
        "efficiency_shift_error": {"0.3": 0.035},
    }  # fmt: skip
    [table] = tables.bias_tables({"models": {"dann": {"bias": {"simulation:alternative": bias}}}})
    assert table.title == "Apparent simulation–alternative difference"
    assert list(table.head[:5]) == ["Model", "KS", "Null KS", "Shift at 30 %", "Shift at 50 %"]
    assert [cell.text for cell in table.rows[0][:5]] == ["dann", "0.0120", "0.0140", "−10.0 ± 3.5 %", "−5 %"]
    assert table.rows[0][1].good


@pytest.mark.parametrize(
    "entry", [{"ks_null": 0.014}, {"null": 0.014}, {"null": {"quantile": 0.014, "level": 0.95}}]
)
def test_the_null_is_found_in_each_of_its_shapes(entry: dict) -> None:
    assert tables.null_of(entry).value == 0.014
    assert not tables.null_of({}).present


def test_a_domain_is_held_out_if_nothing_of_it_was_trained_on() -> None:
    samples = {
        "tt": {"domain": "simulation", "use": "train"},
        "tt_third": {"domain": "third", "use": "evaluate"},
        "ttH_alt": {"domain": "alternative", "use": "evaluate"},
        "tt_alt": {"domain": "alternative", "use": "train"},
        "data": {"domain": "data", "use": "evaluate"},
    }
    assert tables.held_out({"samples": samples}) == {"third"}


def test_cost_and_gain_are_held_against_the_plain_model() -> None:
    def model(auc: float, ks: float) -> dict:
        return {"auc": {"sim": {"value": auc, "low": auc, "high": auc}}, "bias": {"sim:alt": {"ks": ks}}}

    metrics = {"models": {"dann": model(0.83, 0.01), "network": model(0.84, 0.04), "cut": {}}}
    table = tables.adaptation_table(metrics)
    assert list(table.head) == ["Model", "ΔAUC sim", "KS ratio, alt"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["dann", "−0.010", "0.25"],
        ["cut", "–", "–"],
    ]


def test_metrics_of_other_kinds_get_their_own_table() -> None:
    metrics = {
        "models": {"dann": {"accuracy": {"source": {"value": 0.99, "low": 0.98, "high": 1.0}, "target": 0.9}}}
    }
    [table] = tables.other_tables(metrics)
    assert (table.title, list(table.head)) == ("Accuracy", ["Model", "source", "target"])
    assert tables.summary_table(metrics).rows[0][2].text == "0.9000"
