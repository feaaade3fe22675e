"""The site is built without a warning, has every page, and takes nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY

pytestmark = pytest.mark.slow

pytest.importorskip("mkdocs")
sys.path.insert(0, str(REPOSITORY / "docs" / "tools"))

LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?([^"'\s>]+)|<link\b[^>]*\bhref=["']?([^"'\s>]+)"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    environment = os.environ | {
        "NO_MKDOCS_2_WARNING": "1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_is_in_the_site_and_in_the_navigation(site: Path) -> None:
    sources = [path.relative_to(REPOSITORY / "docs") for path in (REPOSITORY / "docs").rglob("*.md")]
    index = (site / "index.html").read_text()
    for source in sources:
        page = source.with_suffix(".html")
        assert (site / page).is_file()
        assert f'href="{page}"' in index, f"{page} is not in the navigation"
    for page in ("examples/tth.html", "examples/images.html", "examples/speech.html", "reference/commands.html",
                 "reference/configuration/events.html", "reference/python/adversarial.html"):  # fmt: skip
        assert (site / page).is_file()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        loaded = [one or other for one, other in LOADED.findall(page.read_text())]
        assert loaded
        outside = [address for address in loaded if re.match(r"(https?:)?//", address)]
        assert outside == [], f"{page.name}: {outside}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", sheet.read_text()), sheet.name


def test_formulas_diagrams_and_docstrings_are_in_the_pages(site: Path) -> None:
    assert "<math" in (site / "numbers.html").read_text()
    assert "$`" not in (site / "numbers.html").read_text()
    assert "<svg" in (site / "concepts.html").read_text().partition('class="diagram"')[2]
    adversarial = (site / "reference/python/adversarial.html").read_text()
    assert 'id="hepda.adversarial.DANNClassifier"' in adversarial
    assert "test: over" not in (site / "howto/regions.html").read_text()


def test_link_to_no_file_is_an_error() -> None:
    import hooks
    from mkdocs.exceptions import PluginError

    with pytest.raises(PluginError, match="leads to no file"):
        hooks._moved("[a](../nothing.yaml)", "docs/page.md", "page.md")


def test_links_out_of_the_folder_lead_into_the_site() -> None:
    import hooks

    text = "[a](../../analyses/tth/README.md#the-samples) [b](../../configs/tth.yaml) [c](../../README.md) [d](https://x.org)"
    assert hooks._moved(text, "docs/howto/page.md", "howto/page.md") == (
        "[a](../examples/tth.md#the-samples) [b](../files/configs/tth.yaml) [c](../index.md) [d](https://x.org)"
    )
