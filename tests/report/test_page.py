"""The report: every number is there, nothing is fetched, nothing of the config becomes markup."""

import copy
import html
import json
import re
import shutil
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hepda.events.results.tables import answers_table, conclude
from hepda.events.results.tables.sections import section_tables, terminal_table
from hepda.number_format import Cell, Table
from hepda.report import page as report_page
from hepda.report.page import SECTIONS, ReportFigure, ReportPage, Undrawn
from hepda.results.events import EventMetrics
from hepda.runtime.terminal import number_table

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NASTY = "tt<script>alert('x')</script>&\"jets\""


def write_report(path: Path, metrics: dict[str, Any], figures: Any = (), **more: Any) -> Path:
    """The report of a run of events."""
    run = EventMetrics.from_json(metrics)
    shown = {"tables": section_tables(run), "conclusions": conclude(run), "diagnostics": run.diagnostics}
    return report_page.write_report(path, ReportPage(metrics, figures, **shown, **more))


def png(width: int = 3, height: int = 2) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    rows = zlib.compress(bytes((width + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def interval(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def bias(ks: float, null: float) -> dict[str, Any]:
    return {
        "class": "background", "ks": ks, "ks_null": null, "wasserstein": ks / 3.1,
        "chi2_ndf": 1.317, "p_value": 0.0113,
        "efficiency_shift": {"0.3": -0.1021, "0.5": -0.0517, "0.7": -0.0207},
        "efficiency_shift_error": {"0.3": 0.0353, "0.5": 0.0201, "0.7": 0.0113},
    }  # fmt: skip


def ratio(value: float, half: float) -> dict[str, Any]:
    return interval(value, half) | {
        "plain": interval(-0.2345, 0.0456), "adapted": interval(-0.2345 * value, 0.0467), "resolved": True,
    }  # fmt: skip


def statistics(value: float) -> dict[str, Any]:
    names = ("ks", "wasserstein", "energy", "chi2", "jensen_shannon")
    return {n: {"value": value + i, "p_value": 0.0111 * (i + 1), "null": 0.3313 + i} for i, n in enumerate(names)}


def model(auc: float, ks: float, third: float) -> dict[str, Any]:
    points = {"0.3": {"judgement": "fell less", "text": "x"}, "0.1": {"judgement": "unresolved", "text": "y"}}
    working = {
        "signal_efficiency": 0.3012, "signal_efficiency_error": 0.0041, "background_efficiency": 0.0217,
        "background_efficiency_error": 0.0012, "rejection": 46.08, "rejection_error": 2.54, "significance": 3.217,
    }  # fmt: skip
    return {
        "auc": {"simulation": interval(auc, 0.0021), "alternative": interval(auc - 0.0037, 0.0023)},
        "auc_difference": {"simulation": interval(-0.0071, 0.0013), "alternative": interval(-0.0053, 0.0017)},
        "bias": {"simulation:alternative": bias(ks, 0.0141), "simulation:third": bias(third, 0.0173)},
        "shift_ratio": {
            "simulation:alternative": {"0.3": ratio(0.3125, 0.0631), "0.1": ratio(0.4375, 0.0937)},
            "simulation:third": {"0.3": ratio(0.8125, 0.0461), "0.1": ratio(0.9531, 0.0512)},
        },
        "verdict": {"domain": "alternative", "third": "third", "adapted": True, "points": points},
        "tests": {"simulation:alternative": {"background": statistics(0.31), "signal": statistics(0.35)}},
        "domain_auc": {"simulation:alternative": {"score": 0.5123, "embedding": 0.5678}},
        "probes": {"simulation:alternative": {"background": {
            "bdt": {"score": interval(0.5123, 0.0113), "embedding": interval(0.5678, 0.0127)},
            "mlp": {"score": interval(0.5157, 0.0117), "embedding": interval(0.5631, 0.0129)},
        }}},
        "significance": {"asimov": 0.6051, "asimov_with_bias": 0.2061, "binned": 0.6789, "bias_from": "third"},
        "working_points": {"0.3": {"simulation": working}},
        "calibration": {"simulation": {"expected_error": 0.0157}},
        "bins": {"simulation": {"background": {"bins": 9, "empty": 0, "negative": 1, "lowest_n_eff": 27.31}}},
        "overtraining": {"signal": {"ks": 0.0191, "p_value": 0.0413}, "background": {"ks": 0.0193, "p_value": 0.0419}},
        "flatness": {"ht": {"background": {"cvm": 0.00313, "ks": 0.0917, "p_value": 0.0217}}},
        "reweight": {"clipped": 0.0123, "n_eff": {"before": 6123.0, "after": 4876.0},
                     "domain_auc": {"before": interval(0.5817, 0.0043), "after": interval(0.5077, 0.0047)}},
        "training": {"seconds": 14.3125, "rows_per_second": 402311.0, "epochs": 31},
    }  # fmt: skip


GUARDS = {
    "class_priors": {"simulation": {"value": 0.0451, "error": 0.0013, "odds_ratio": 1.0},
                     "alternative": {"value": 0.0917, "error": 0.0017, "odds_ratio": 2.1361}},
    "inputs": {"simulation:alternative": {"background": {"bdt": {"inputs": interval(0.5711, 0.0119)},
                                                         "mlp": {"inputs": interval(0.5733, 0.0121)}}}},
    "importance": {"simulation:alternative": {"ht": {"value": 0.0213, "error": 0.0031}}},
    "separation": {"ht": {"value": 0.0713, "error": 0.0019, "auc": 0.6173}},
    "removal": {"simulation:alternative": {
        "inputs": ["ht"], "without": {"0": {"domains": interval(0.5711, 0.0119), "classes": interval(0.8407, 0.0083)},
                                      "1": {"domains": interval(0.5213, 0.0117), "classes": interval(0.8391, 0.0087)}},
    }},
    "gradient_cosine": {"dann": {"first": -0.613, "last": -0.811}},
    "warnings": ["Label shift: <b>signal</b> is 9 % of the yield in alternative."],
}  # fmt: skip
TRAINING_BIAS = {
    "signal_efficiency": 0.3,
    "models": {
        name: {"trained_on": domain, "tested_on": {
            "simulation": {"auc": interval(auc, 0.0019), "auc_difference": interval(auc - 0.8431, 0.0009),
                           "background_efficiency": interval(0.0361, 0.0011)}}}
        for name, domain, auc in (("network", "simulation", 0.8431), ("network_b", "alternative", 0.8379))
    },
}  # fmt: skip


@pytest.fixture
def metrics() -> dict[str, Any]:
    def sample(kind: str | None, domain: str, use: str) -> dict[str, Any]:
        return {
            "class": kind, "domain": domain, "use": use,
            "entries": 60012, "selected": 31022, "yield": 61.934,
            "yield_error": 0.353, "n_eff": 23017.0, "negative_fraction": 0.1313,
        }  # fmt: skip

    bdt = model(0.8451, 0.0371, 0.0283)
    bdt["domain_auc"]["simulation:alternative"] |= {"embedding": None, "why": "a BDT has no embedding"}
    return {
        "schema": 1, "name": "tth", "seed": 7, "luminosity": 1.0,
        "samples": {
            NASTY: sample("background", "simulation", "train"),
            "tt_alt": sample("background", "alternative", "train"),
            "tt_third": sample("background", "third", "evaluate"),
            "data": sample(None, "data", "evaluate"),
        },
        "models": {
            "network": model(0.8431, 0.0321, 0.0251), "dann": model(0.8423, 0.0121, 0.0152), "bdt": bdt,
        },
        "guards": copy.deepcopy(GUARDS), "training_bias": copy.deepcopy(TRAINING_BIAS),
    }  # fmt: skip


def numbers(node: object) -> list[float]:
    if isinstance(node, dict):
        return [x for key, child in node.items() if key != "schema" for x in numbers(child)]
    return [node] if isinstance(node, int | float) else []


class Tables(HTMLParser):
    """What a reader sees of the tables or points at, and every tag with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.cell = tag in ("td", "th") or (self.cell and tag == "button")
        if tag in ("td", "th"):
            self.seen += [value or "" for key, value in attrs if key in ("data-sort", "title")]

    def handle_data(self, data: str) -> None:
        if self.cell:
            self.seen.append(data)


def read(path: Path) -> tuple[str, Tables]:
    page, parser = path.read_text(), Tables()
    parser.feed(page)
    return page, parser


def test_every_number_stands_in_a_table(metrics: dict[str, Any], tmp_path: Path) -> None:
    _, parser = read(write_report(tmp_path / "report.html", metrics))
    seen = [float(x) for text in parser.seen for x in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)]
    facts = (metrics["seed"], metrics["luminosity"])  # in the line under the title
    for number in numbers(metrics):
        shown = any(min(abs(x - number), abs(x - 100 * number)) < 1e-9 for x in seen)  # or in per cent
        assert shown or number in facts or _is_half_width(number, parser.seen), number


def _is_half_width(number: float, texts: list[str]) -> bool:
    """An error is kept as the ends of its interval, "value [low, high]"."""
    for text in texts:
        result = re.fullmatch(r"\S+ \[(\S+), (\S+)\]", text)
        if result:
            half = 0.5 * (float(result[2]) - float(result[1]))
            if min(abs(half - number), abs(half - 100 * number)) < 1e-9:
                return True
    return False


def test_nothing_is_fetched_from_anywhere(metrics: dict[str, Any], tmp_path: Path) -> None:
    figures = [ReportFigure("inputs", "HT", "Caption", png())]
    page, parser = read(
        write_report(tmp_path / "report.html", metrics, figures, config_text="files: https://x.ch/a.root")
    )
    assert "default-src 'none'" in page
    for tag, attributes in parser.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for key in ("src", "href", "action", "srcset", "data"):
            assert (attributes.get(key) or "#").startswith(("#", "data:image/png;base64,"))
        assert tag != "script" or "src" not in attributes
    css = "".join(re.findall(r"<style>(.*?)</style>", page, re.S))
    assert "url(" not in css
    assert "@import" not in css


def test_a_figure_is_enlarged_by_a_click_and_links_to_its_files(metrics: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "run" / "plots"
    folder.mkdir(parents=True)
    for name in ("a b.png", "a b.pdf", "c.png"):
        (folder / name).write_bytes(png())
    figures = [ReportFigure("inputs", name, "", folder / f"{name}.png") for name in ("a b", "c")]
    figures.append(ReportFigure("inputs", "bytes", "", png()))
    _, parser = read(write_report(tmp_path / "run" / "report.html", metrics, figures))
    links = [attributes["href"] for tag, attributes in parser.tags if tag == "a" and attributes["href"][0] != "#"]
    assert links == ["plots/a%20b.png", "plots/a%20b.pdf", "plots/c.png"]
    zooms = [attributes for tag, attributes in parser.tags if attributes.get("class") == "zoom"]
    assert len(zooms) == 3 and [tag for tag, _ in parser.tags].count("dialog") == 1


def test_the_page_is_for_light_and_dark_and_prints_in_light_colours(metrics: dict[str, Any], tmp_path: Path) -> None:
    page, _ = read(write_report(tmp_path / "report.html", metrics))
    style = "".join(re.findall(r"<style>(.*?)</style>", page, re.S))
    assert "prefers-color-scheme: dark" in style
    root = re.findall(r":root \{([^}]*)\}", style)
    names = [set(re.findall(r"--\w+", text)) for text in root]
    assert names[0] >= names[1] and {"--page", "--ink"} <= names[2]
    ratios = [_contrast(text, "arrow", "wash") for text in root[:2]]
    assert min(ratios) >= 3.0  # of symbols, WCAG 1.4.11
    assert min(_contrast(text, "soft", "page") for text in root[:2]) >= 4.5


def _contrast(css: str, first: str, second: str) -> float:
    def luminance(name: str) -> float:
        text = re.search(rf"--{name}: #([0-9a-f]+)", css)[1]
        text = "".join(2 * letter for letter in text) if len(text) == 3 else text
        channels = [int(text[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_the_first_table_answers_whether_it_helped(metrics: dict[str, Any], tmp_path: Path) -> None:
    points = metrics["models"]["dann"]["verdict"]["points"]
    points["0.3"]["judgement"], points["0.1"]["judgement"] = "fell less", "unresolved"
    table = answers_table(EventMetrics.from_json(metrics))
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert rows["dann"] == [
        "less than it seems: the difference to third decreased less at 30 %", "−0.0071 ± 0.0013", "0.312 ± 0.063",
        "0.812 ± 0.046", "0.206",
    ]  # fmt: skip
    assert table.head[3:5] == ["Shift to alternative / baseline", "Shift to third (unseen) / baseline"]
    assert "network" not in rows and "at 30 % signal efficiency" in table.note
    page, _ = read(write_report(tmp_path / "report.html", metrics))
    assert page.index("Did the adaptation help?") < page.index("<h3>Summary")


@pytest.mark.parametrize(
    ("judgement", "answer"),
    [
        ("apparent only", "no: only"), ("fell", "yes: the difference to third"), ("untested", "unknown: the apparent"),
        ("cannot tell", "unknown: third has"), ("not fallen", "no: the apparent difference did not"),
        ("unresolved", "unknown: too few events"),
    ],
)  # fmt: skip
def test_every_judgement_has_an_answer(metrics: dict[str, Any], judgement: str, answer: str) -> None:
    metrics["models"]["dann"]["verdict"]["points"] = {"0.3": {"judgement": judgement}}
    rows = {row[0].text: row[1].text for row in answers_table(EventMetrics.from_json(metrics)).rows}
    assert rows["dann"].startswith(answer) and "%" not in rows["dann"]
    metrics["models"]["dann"]["verdict"]["adapted"] = False
    assert "dann" not in {row[0].text for row in answers_table(EventMetrics.from_json(metrics)).rows}


def test_the_glossary_has_the_words_of_the_page(metrics: dict[str, Any], tmp_path: Path) -> None:
    page, _ = read(write_report(tmp_path / "report.html", metrics))
    assert {"Shift", "Baseline", "Probe", "Held-out (unseen) domain"} <= set(re.findall(r"<dt>(.*?)</dt>", page))
    table = Table("Rates", ["Name", "Shift [%]"], [[Cell("a", "a"), Cell("1", 1.0)]])
    path = tmp_path / "small.html"
    report_page.write_report(path, ReportPage({"name": "small"}, tables={"summary": [table]}, conclusions=["Fine."]))
    assert re.findall(r"<dt>(.*?)</dt>", path.read_text()) == ["Shift"]
    report_page.write_report(path, ReportPage({"name": "small"}, conclusions=["Fine."]))
    assert "Words on this page" not in path.read_text()


def test_a_scaled_yield_says_its_factor(metrics: dict[str, Any], tmp_path: Path) -> None:
    metrics["samples"]["tt_alt"]["scale"] = 30
    page, _ = read(write_report(tmp_path / "report.html", metrics))
    assert "61.93 ± 0.35 (× 30)</td>" in page.replace("\u202f", " ") and page.count("(× 30)") == 1


def test_names_from_the_analysis_file_are_text_and_never_markup(metrics: dict[str, Any], tmp_path: Path) -> None:
    metrics["name"] = NASTY
    metrics["models"] = {NASTY: metrics["models"]["dann"]}
    path = write_report(
        tmp_path / "report.html", metrics, [("inputs", NASTY, NASTY, png())], config_text=NASTY,
        manifest={"files": [NASTY]}, warnings=[NASTY], notes=[NASTY],
    )  # fmt: skip
    page, parser = read(path)
    assert "<script>alert" not in page
    assert [tag for tag, _ in parser.tags].count("script") == 1
    assert page.count(html.escape(NASTY).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")) >= 6


def test_sections_stand_in_the_order_of_the_questions(metrics: dict[str, Any], tmp_path: Path) -> None:
    figures = [(key, f"figure of {key}", "", png()) for key in reversed(SECTIONS)]
    page, _ = read(write_report(tmp_path / "report.html", metrics, figures))
    result = re.findall(r'<section id="(\w+)">', page)
    assert result == list(SECTIONS)
    for key, following in zip(result, [*result[1:], None], strict=True):
        start = page.index(f'<section id="{key}"')
        end = page.index(f'<section id="{following}"') if following else len(page)
        assert f"figure of {key}" in page[start:end]


def test_a_section_without_anything_is_left_out(tmp_path: Path) -> None:
    page, _ = read(write_report(tmp_path / "report.html", {"name": "empty", "models": {}}))
    assert re.findall(r'<section id="(\w+)">', page) == ["missing", "details"]
    assert "No number is missing" in page


def test_a_table_of_dashes_is_left_out_and_its_reason_is_not(metrics: dict[str, Any], tmp_path: Path) -> None:
    nothing = {"score": None, "embedding": None}
    for entry in metrics["models"].values():
        entry["probes"]["simulation:alternative"]["background"] = {"bdt": nothing, "mlp": nothing, "why": "not asked"}
    del metrics["guards"]["inputs"]
    page, _ = read(write_report(tmp_path / "report.html", metrics))
    assert "Probes, background" not in page and "not asked" in page
    metrics["models"]["dann"]["probes"]["simulation:alternative"]["background"]["bdt"] = {"score": 0.51}
    page, _ = read(write_report(tmp_path / "report.html", metrics))
    assert "Probes, background" in page


def test_nulls_are_listed_with_their_reason_and_notes_with_them(metrics: dict[str, Any], tmp_path: Path) -> None:
    page, _ = read(write_report(tmp_path / "report.html", metrics, notes=["data above 0.7 are blinded"]))
    missing = page[page.index('<section id="missing">') :]
    assert "a BDT has no embedding" in missing
    assert "data above 0.7 are blinded" in missing


def test_figures_are_inside_whole_and_many_small_ones_are_folded(metrics: dict[str, Any], tmp_path: Path) -> None:
    image = tmp_path / "wide.png"
    image.write_bytes(png(width=1400))
    figures = [("inputs", "overview", "all", image)] + [("inputs", f"f{i}", "", png()) for i in range(9)]
    page, parser = read(write_report(tmp_path / "report.html", metrics, figures))
    images = [attributes for tag, attributes in parser.tags if tag == "img"]
    assert len(images) == 10
    assert all(attributes["alt"] for attributes in images)
    assert images[0]["width"] == "1400"
    assert "9 more figures" in page
    assert page.index("overview") < page.index("9 more figures")
    wide = [("fit", f"w{i}", "", image) for i in range(8)]
    page, _ = read(write_report(tmp_path / "report.html", metrics, [*wide[:7], ("fit", "narrow", "", png()), wide[7]]))
    places = [page.index(f"<b>{name}</b>") for name in ("w0", "w5", "w6", "narrow", "w7")]
    assert places == sorted(places)  # what is folded keeps its order
    assert places[1] < page.index("3 more figures") < places[2]


@pytest.mark.parametrize(
    ("figure", "message"),
    [(("nonsense", "x", "", png()), "section 'nonsense'"), (("inputs", "x", "", b"<svg/>"), "no PNG")],
)
def test_a_figure_that_cannot_be_shown_is_refused(
    metrics: dict[str, Any], tmp_path: Path, figure: tuple, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_report(tmp_path / "report.html", metrics, [figure])
    assert not list(tmp_path.iterdir())


def test_the_page_holds_config_manifest_and_metrics(metrics: dict[str, Any], tmp_path: Path) -> None:
    manifest = {"versions": {"hepda": "9.9.9"}, "git_commit": "abc123", "files": [{"path": "ttH.root"}]}
    page, _ = read(write_report(tmp_path / "report.html", metrics, config_text="epochs: 40 # all", manifest=manifest))
    text = html.unescape(page)
    assert "epochs: 40 # all" in text
    assert json.dumps(manifest, indent=1) in text
    assert json.dumps(metrics, indent=1, ensure_ascii=False) in text
    assert "9.9.9" in page
    assert "Seed: <b>7</b>" in page


def test_the_same_numbers_give_the_same_page(metrics: dict[str, Any], tmp_path: Path) -> None:
    first = write_report(tmp_path / "a" / "report.html", metrics).read_bytes()
    assert write_report(tmp_path / "b" / "report.html", copy.deepcopy(metrics)).read_bytes() == first


def judged(metrics: dict[str, Any], **judgements: str) -> str:
    """What is said of dann if its shifts are judged so (at 30, 20 and 10 %)."""
    entry = metrics["models"]["dann"]
    points = {f"0.{key[2:]}": {"judgement": result} for key, result in judgements.items()}
    entry["verdict"]["points"] = points
    return conclude(EventMetrics.from_json(metrics))[0]


@pytest.mark.parametrize(
    ("judgements", "words"),
    [
        ({"at3": "fell", "at2": "fell", "at1": "unresolved"}, ", at 30 and 20 %: the bias decreased."),
        ({"at3": "fell", "at2": "not fallen"}, ", at 30 % only; not at the other working points."),
        (
            {"at3": "apparent only"},
            "WARNING: the apparent simulation–alternative difference decreased, but the difference to the held-out "
            "domain third",
        ),
        (
            {"at3": "fell less", "at2": "fell less"},
            "WARNING: the apparent simulation–alternative difference decreased much more than",
        ),
        ({"at3": "fell", "at1": "apparent only"}, "did not (at 10 %)"),
        ({"at3": "not fallen", "at1": "unresolved"}, "did not decrease significantly (at 30 %)"),
        ({"at3": "cannot tell"}, "third has too few events to test whether the bias did"),
        ({"at3": "untested"}, "there is no held-out domain to test whether the bias did, so it must not be quoted"),
        ({"at3": "unresolved"}, "too few events for a conclusion"),
    ],
)
def test_the_shift_ratios_decide_the_wording(metrics: dict[str, Any], judgements: dict[str, str], words: str) -> None:
    message = judged(metrics, **judgements)
    assert words in message.splitlines()[0]
    assert ("the bias decreased" in message) == (words == ", at 30 and 20 %: the bias decreased.")


def test_the_evidence_stands_below_the_verdict(metrics: dict[str, Any]) -> None:
    first, trained, third, ks = judged(metrics, at3="fell less").splitlines()
    assert first.endswith("At 10 % the shift to third is 0.953 ± 0.051 of that of the baseline.")
    assert trained == (
        "Shift from simulation to alternative at 30 and 10 % signal efficiency: −7.3 and −10.3 %, against −23.4 and "
        "−23.4 % for network (ratio 0.31 and 0.44)."
    )
    assert "to third" in third and "(ratio 0.81 and 0.95)" in third
    assert ks == "KS distance to alternative: 0.012, compatible with two samples of one generator, against 0.032."


def test_a_shift_that_fell_to_the_unseen_domain_alone_is_told(metrics: dict[str, Any]) -> None:
    message = judged(metrics, at3="not fallen", at1="unresolved").splitlines()[0]
    assert "The difference to the held-out domain third decreased nevertheless (at 30 %)." in message
    metrics["models"]["dann"]["shift_ratio"]["simulation:third"]["0.3"] |= {"value": 0.95}
    assert "nevertheless" not in judged(metrics, at3="not fallen")


def test_a_model_that_was_trained_elsewhere_is_no_adaptation(metrics: dict[str, Any]) -> None:
    del metrics["models"]["dann"]["verdict"]
    assert not any("dann" in message for message in conclude(EventMetrics.from_json(metrics)))


def test_a_model_that_was_not_adapted_is_not_judged(metrics: dict[str, Any]) -> None:
    metrics["models"]["dann"]["verdict"] = {"domain": "alternative", "third": "third", "adapted": False}
    *paragraphs, last = conclude(EventMetrics.from_json(metrics))
    assert last == "No verdict without adaptation (the tables have the shifts): dann."
    assert paragraphs and not any("dann" in message for message in paragraphs)


def test_a_ks_that_falls_says_nothing_of_the_bias(metrics: dict[str, Any]) -> None:
    """The KS falls to 0.38 of the plain one's in both domains; the shifts say that the bias did not."""
    for pair in ("simulation:alternative", "simulation:third"):
        metrics["models"]["dann"]["bias"][pair]["ks"] = 0.38 * metrics["models"]["network"]["bias"][pair]["ks"]
    assert judged(metrics, at3="apparent only").startswith("dann: WARNING")
    for key in ("shift_ratio", "verdict"):
        del metrics["models"]["dann"][key]
    message = conclude(EventMetrics.from_json(metrics))[0]
    assert "Shifts in the tail were not compared" in message and "bias decreased" not in message


def test_without_a_third_generator_the_difference_stays_apparent(metrics: dict[str, Any]) -> None:
    del metrics["samples"]["tt_third"]
    for entry in metrics["models"].values():
        del entry["bias"]["simulation:third"], entry["shift_ratio"]["simulation:third"]
        entry["verdict"] |= {"third": None, "points": {"0.3": {"judgement": "untested"}}}
    *sentences, last = conclude(EventMetrics.from_json(metrics))
    assert last.startswith("No held-out domain was evaluated")
    assert all("systematic uncertainty" in words for words in sentences)


def test_samples_too_small_to_say_anything_are_called_so(metrics: dict[str, Any]) -> None:
    metrics["models"]["network"]["bias"]["simulation:alternative"]["ks"] = 0.0139
    assert (
        "That of network is compatible with two samples of one generator"
        in conclude(EventMetrics.from_json(metrics))[0]
    )


def test_cautions_stand_in_their_section_and_the_summary_points_there(metrics: dict[str, Any], tmp_path: Path) -> None:
    page, _ = read(write_report(tmp_path / "report.html", metrics))
    summary, guards = (
        page[page.index(f'<section id="{key}">') :].split("</section>")[0] for key in ("summary", "guards")
    )
    assert "1 more warning under “Caveats and checks”" in summary
    assert "Label shift: &lt;b&gt;signal&lt;/b&gt;" in guards
    assert "decreased much more than" in summary


def test_the_console_table_fits_and_never_cuts_a_number(metrics: dict[str, Any]) -> None:
    metrics["models"] = {
        "a_model_with_quite_a_long_name": metrics["models"]["dann"],
        "[bold]x": metrics["models"]["bdt"],
    }
    for entry in metrics["models"].values():
        entry["auc"]["third"] = interval(0.8401, 0.0034)
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(terminal_table(EventMetrics.from_json(metrics)))
    text = console.export_text()
    for expected in ("0.8423(21)", "0.8401(34)", "−10.2(3.5)", "0.605", "0.206", "[bold]x"):
        assert expected in text
    assert "…" not in text


def test_the_console_shows_the_table_of_the_kind_of_data_with_its_intervals() -> None:
    table = Table(
        "Word errors [%]", ["Model", "Clean"], [[Cell("plain"), Cell("1.9 (0.8 to 3.1)", 0.019, brief="1.9")]], "x"
    )
    console = Console(width=60, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(number_table("digits", table))
    text = console.export_text()
    for expected in ("digits", "Clean", "1.9 (0.8 to 3.1)", "Word errors [%]. x"):
        assert expected in text
    assert "AUC" not in text


def test_the_report_needs_no_matplotlib() -> None:
    code = "import sys, hepda.report.page; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_sorts_the_tables_and_stays_within_a_narrow_window(metrics: dict[str, Any], tmp_path: Path) -> None:
    figures = [
        ("inputs", "HT", "Caption", png(1400, 700)),
        *[("domains", f"f{i}", "", png(677, 600)) for i in range(9)],
    ]
    path = write_report(tmp_path / "report.html", metrics, figures, manifest={"git_commit": 40 * "a"})
    probe = """<script>
      const table = [...document.querySelectorAll("table.sortable")].find(t => t.textContent.includes("KS"));
      const names = () => [...table.tBodies[0].rows].map(r => r.cells[0].textContent).join(",");
      const column = [...table.tHead.rows[0].cells].findIndex(c => c.textContent === "KS");
      const button = table.tHead.rows[0].cells[column].firstElementChild;
      button.click(); document.body.dataset.up = names();
      button.click(); document.body.dataset.down = names();
      const page = document.documentElement;
      document.body.dataset.over = String(page.scrollWidth - page.clientWidth);
      document.body.dataset.wide = String(page.clientWidth);
      dispatchEvent(new Event("beforeprint"));
      document.body.dataset.folded = String(document.querySelectorAll("details.folded:not([open])").length);
    </script></body>"""
    path.write_text(path.read_text().replace("</body>", probe))
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-sync",
    ]
    flags += [
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    done = subprocess.run(
        [str(CHROMIUM), *flags, "--window-size=390,900", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    body = re.search(r"<body[^>]*>", done.stdout)[0]
    assert 'data-up="dann,network,bdt"' in body
    assert 'data-down="bdt,network,dann"' in body
    assert 'data-over="0"' in body
    assert int(re.search(r'data-wide="(\d+)"', body)[1]) <= 500  # some versions make no window narrower than that
    assert 'data-folded="0"' in body  # printing shows all


def test_figures_that_are_not_drawn_are_named_with_the_command(metrics: dict[str, Any], tmp_path: Path) -> None:
    titles = {"inputs": ["HT", NASTY], "training": [f"History {n}" for n in range(8)]}
    undrawn = Undrawn(titles, "hepda report runs/a --plots all")
    page, _ = read(write_report(tmp_path / "report.html", metrics, undrawn=undrawn))
    assert "10 figures are not drawn. All figures, as PNG and PDF: <code>hepda report runs/a --plots all</code>" in page
    assert "2 figures are not drawn: HT;" in page and NASTY not in page and html.escape(NASTY, quote=False)[:9] in page
    assert "History 5; and 2 more" in page and "History 6" not in page
    figures = [ReportFigure("inputs", "MET", "", png())]
    under_way = Undrawn({"inputs": ["HT"]}, "x", under_way=True)
    page, _ = read(write_report(tmp_path / "report.html", metrics, figures, undrawn=under_way))
    assert "1 more figure is not drawn yet: HT" in page and "load this page again in a moment" in page
    page, _ = read(write_report(tmp_path / "report.html", metrics, figures))
    assert "not drawn" not in page
