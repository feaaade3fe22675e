import numpy as np
import pytest

from hepda.adversarial.training.history import History
from hepda.errors import DataError
from hepda.plotting.base.style import Label
from hepda.plotting.training import LN2, history_panels, training_figure
from tests.plotting.checks import assert_legend_is_clear, assert_nothing_is_cut, marked

EPOCHS = 6


def columns(chance: float = LN2) -> dict[str, list[float]]:
    history = History()
    for epoch in range(EPOCHS):
        history.add({
            "class_loss": 0.6 - 0.01 * epoch, "validation_class_loss": 0.6, "class_accuracy": 0.7,
            "domain_loss": chance - 0.02 + 0.002 * epoch, "validation_domain_loss": chance - 0.01,
            "domain_accuracy": 0.55 - 0.01 * epoch, "domain_strength": epoch / EPOCHS, "domain_gradient": 0.1,
            "domain_chance": chance, "task_gradient": 0.3, "gradient_cosine": -0.1, "seconds": 1.0,
        })  # fmt: skip
    return history.columns


def test_gradients_of_the_players_of_a_game_are_not_those_of_an_encoder() -> None:
    game = {"generator_loss": [1.0, 0.5], "generator_gradient": [0.3, 0.2]}
    panels, _ = history_panels(game)
    assert "Gradient norm" in panels and "Gradient norm in encoder" not in panels


def test_the_history_of_an_adversarial_training_has_its_panels_and_lines() -> None:
    panels, levels = history_panels(columns())
    figure = training_figure(panels, model="dann", levels=levels, best_epochs=[4], label=Label(energy=None))
    result = {axes.get_ylabel(): axes for axes in figure.axes}
    assert list(result) == [
        "Class loss", "Domain loss", "Domain accuracy", "Strength λ", "Gradient norm in encoder",
        "Cosine of gradients",
    ]  # fmt: skip
    [line] = marked(result["Domain loss"], "level")
    assert line.get_ydata()[0] == pytest.approx(np.log(2))
    assert line.get_label() == "ln 2"
    [line] = marked(result["Domain accuracy"], "level")
    assert line.get_ydata()[0] == 0.5
    assert not marked(result["Class loss"], "level")
    assert result["Class loss"].get_legend_handles_labels()[1] == ["training", "validation", "epoch kept"]
    assert marked(result["Class loss"], "best")[0].get_xdata() == [4]
    assert all(axes.get_xlabel() == "Epoch" for axes in figure.axes)
    assert_legend_is_clear(figure)
    assert_nothing_is_cut(figure)


def test_negative_weights_lower_the_line_of_a_blind_head() -> None:
    panels, levels = history_panels(columns(chance=0.74 * LN2))
    assert levels["Domain loss"] == (pytest.approx(0.74 * LN2), "blind head (0.74 ln 2)")
    lowest, highest = training_figure(panels, model="dann", levels=levels).axes[1].get_ylim()
    assert lowest < 0.74 * LN2 < highest


def test_a_blind_head_of_three_domains_loses_ln_3_and_is_right_in_a_third_of_the_cases():
    _, levels = history_panels(columns(chance=float(np.log(3.0))))
    assert levels["Domain loss"] == (pytest.approx(np.log(3.0)), "ln 3")
    assert levels["Domain accuracy"] == (pytest.approx(1 / 3), "0.33")


def test_a_plain_training_has_one_panel_and_folds_share_a_colour() -> None:
    baseline = {k: v for k, v in columns().items() if "class" in k}
    panels, levels = history_panels(baseline, baseline)
    figure = training_figure(panels, model="network", levels=levels)
    [axes] = figure.axes
    first, second = axes.get_lines()[:2]
    assert first.get_color() == second.get_color()
    assert axes.get_legend_handles_labels()[1] == ["training", "validation"]


def test_what_was_never_measured_has_no_panel() -> None:
    panels = {"Class loss": {"training": [[0.5, None, 0.4]]}, "Cosine": {"x": [[None, None, float("nan")]]}}
    figure = training_figure(panels, model="network")
    assert [axes.get_ylabel() for axes in figure.axes] == ["Class loss"]
    with pytest.raises(DataError, match="history of network holds no finite value"):
        training_figure({"Cosine": {"x": [[None]]}}, model="network")


def test_two_trainings_that_kept_the_same_epoch_are_one_entry_of_the_legend() -> None:
    panels, levels = history_panels(columns(), columns())
    figure = training_figure(panels, model="dann", levels=levels, best_epochs=[4, 4])
    assert figure.axes[0].get_legend_handles_labels()[1].count("epoch kept") == 1


def test_the_first_epochs_of_a_domain_loss_do_not_set_its_range() -> None:
    loss = [5.0, *np.full(30, LN2 - 0.001)]
    panels = {"Domain loss": {"training": [loss]}}
    [axes] = training_figure(panels, model="dann", levels={"Domain loss": (LN2, "ln 2")}).axes
    low, high = axes.get_ylim()
    assert low < LN2 - 0.001 and LN2 < high < LN2 + 0.01


def test_many_trainings_have_a_line_for_their_median() -> None:
    folds = [[float(i), 2.0 * i, np.nan if i < 4 else 7.0] for i in range(5)]
    [axes] = training_figure({"Class loss": {"training": folds}}, model="network").axes
    [median] = marked(axes, "median")
    assert median.get_xydata().tolist() == [[1.0, 2.0], [2.0, 4.0]]  # one value of the third epoch is too few
    assert {line.get_alpha() for line in axes.get_lines()} == {0.35, None}
    [axes] = training_figure({"Class loss": {"training": folds[:4]}}, model="network").axes
    assert not marked(axes, "median")


def test_the_learning_rate_has_a_panel() -> None:
    panels, _ = history_panels(columns() | {"learning_rate": [0.001] * EPOCHS})
    assert panels["Learning rate"] == {"schedule": [[0.001] * EPOCHS]}


def test_a_single_epoch_is_drawn_as_points() -> None:
    [axes] = training_figure({"Class loss": {"training": [[0.5]]}}, model="network").axes
    assert axes.get_lines()[0].get_marker() == "o"
