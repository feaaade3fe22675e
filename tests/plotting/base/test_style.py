from pathlib import Path

import matplotlib as mpl
import pytest

from hepda.plotting.base import style
from hepda.plotting.base.files import write_atomically


def test_a_model_keeps_its_colour_whoever_else_is_there() -> None:
    few, many = (
        style.model_styles(["network", "dann"]),
        style.model_styles(["bdt", "other", "dann", "network"]),
    )
    assert few["dann"] == many["dann"]
    assert few["network"] == many["network"]


def test_twenty_models_all_look_different() -> None:
    styles = style.model_styles([f"m{i}" for i in range(20)])
    assert len({(s.colour, str(s.dashes)) for s in styles.values()}) == 20


def test_no_colour_of_a_model_is_that_of_a_domain_or_of_a_sample() -> None:
    models = {s.colour for s in style.model_styles([f"m{i}" for i in range(10)]).values()}
    others = set(style.DOMAIN_COLOURS.values()) | set(style.sample_colours([*"abcdef", "s"], ["s"]).values())
    assert len(models) == 10 and not models & others


def test_domains_are_told_apart_and_data_are_black() -> None:
    colours = style.domain_colours(["simulation", "alternative", "third", "data", "fast", "full"])
    assert colours["data"] == "#000000"
    assert len(set(colours.values())) == 6


def test_signal_is_red_and_no_background_is() -> None:
    colours = style.sample_colours(["tt+light", "tt+b", "ttH"], ["ttH"])
    assert colours["ttH"] == style.PALETTE[1]
    assert len(set(colours.values())) == 3


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (style.Label(luminosity=1.0), "√s = 13 TeV, 1.0 fb$^{-1}$"),
        (style.Label(luminosity=140.0, energy=13.6), "√s = 13.6 TeV, 140 fb$^{-1}$"),
        (style.Label(luminosity="45 nb$^{-1}$"), "√s = 13 TeV, 45 nb$^{-1}$"),
        (style.Label(energy=None), ""),
    ],
)
def test_the_label_states_energy_and_luminosity(label: style.Label, text: str) -> None:
    assert label.right == text


def test_nothing_of_the_style_leaks() -> None:
    before = dict(mpl.rcParams)
    figure, axes = style.styled(style.figure)()
    axes.plot([0, 1], [0, 1])
    style.png(figure)
    assert dict(mpl.rcParams) == before


def test_saving_twice_gives_the_same_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    def draw(folder: Path) -> tuple[bytes, bytes]:
        figure, axes = style.styled(style.figure)()
        axes.plot([0, 1], [0, 1], label="line")
        return tuple(path.read_bytes() for path in style.save(figure, folder, "x"))

    first, second = draw(tmp_path / "a"), draw(tmp_path / "a")
    assert first == second
    assert first[0].startswith(b"\x89PNG")
    assert first[1].startswith(b"%PDF")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["x.pdf", "x.png"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    write_atomically(path, b"old")

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_the_legend_never_covers_what_is_drawn_on_either_scale() -> None:
    for scale in ("linear", "log"):
        _, axes = style.styled(style.figure)()
        axes.set_yscale(scale)
        axes.plot([0, 1, 2], [1, 100, 100], label="a")
        axes.set_ylim(0.5, 100)
        legend = style.styled(style.legend_above)(axes, note="two\nlines")
        top = axes.transAxes.inverted().transform(axes.transData.transform((1, 100)))[1]
        assert top < style.legend_bottom(legend)


@pytest.mark.parametrize(
    ("top", "label", "tick"),
    [
        (5e3, "Events / bin", None),
        (2e5, "$10^{3}$ events / bin", "100"),
        (3e7, "$10^{6}$ events / bin", "0.1"),
    ],
)
def test_large_counts_say_their_power_of_ten(top: float, label: str, tick: str | None) -> None:
    _, axes = style.styled(style.figure)()
    axes.set_ylim(0, top)
    style.scale_counts(axes, "Events / bin")
    assert axes.get_ylabel() == label
    if tick is not None:
        assert axes.yaxis.get_major_formatter()(1e5, 0) == tick
