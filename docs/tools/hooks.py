"""What MkDocs does besides its own: pages made from the code, files from outside docs/, formulas and diagrams.

Everything is made when the site is built and is part of its pages: no script, font or picture comes from elsewhere.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

import latex2mathml.converter
import markdown
import mmdr
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

sys.path.insert(0, str(Path(__file__).resolve().parent))

import commands
import expressions
import python_pages
import reference

REPOSITORY = Path(__file__).resolve().parents[2]
OUTSIDE = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "analyses/tth/README.md": "examples/tth.md",
    "analyses/images/README.md": "examples/images.md",
    "analyses/speech/README.md": "examples/speech.md",
    "benchmarks/README.md": "project/benchmarks.md",
}
"""Pages of the repository outside docs/, and their place in the site."""
PLACES = OUTSIDE | {"README.md": "index.md"}

LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
WORKER = "https://unpkg.com/iframe-worker/shim"
"""What the theme loads for the search; docs/assets/search.js does the same."""

MARKER = re.compile(r"^<!-- test:.*?-->\n", re.MULTILINE)
BLOCK = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add formulas and diagrams to the Markdown."""
    config.mdx_configs["pymdownx.superfences"] = {
        "custom_fences": [
            {"name": "math", "class": "math", "format": _formula_block},
            {"name": "mermaid", "class": "diagram", "format": _diagram},
        ]
    }
    config.markdown_extensions.append(Formulas())  # type: ignore[arg-type]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code, those of the repository, and the files that any page links to."""
    made = reference.pages() | expressions.pages() | commands.pages() | python_pages.pages()
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    for source, path in OUTSIDE.items():
        text = (REPOSITORY / source).read_text(encoding="utf-8")
        files.append(File.generated(config, path, content=_moved(text, source, path)))
    linked = set()
    for file in files.documentation_pages():
        source = _source_of(file.src_uri)
        if file.src_uri in made:
            continue
        text = (REPOSITORY / source).read_text(encoding="utf-8")
        linked |= {target for target in _targets(text, source) if _is_plain_file(target)}
    for target in sorted(linked):
        if files.get_file_from_path(f"files/{target}") is None:
            files.append(File.generated(config, f"files/{target}", abs_src_path=str(REPOSITORY / target)))
    return files


def on_page_markdown(text: str, page: Page, **_: Any) -> str:
    """Let links that leave docs/ lead to the place of the file in the site, and leave out the marks of the tests."""
    path = page.file.src_uri
    source = _source_of(path)
    if source.startswith("docs/") and page.file.generated_by is None:
        text = _moved(text, source, path)
    return MARKER.sub("", text)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Take the script with which a search works in a folder from the site itself."""
    return output.replace(WORKER, get_relative_url("assets/search.js", page.url))


def on_post_template(output_content: str, template_name: str, **_: Any) -> str:
    """Do the same on pages without a source, such as 404.html."""
    return output_content.replace(WORKER, get_relative_url("assets/search.js", template_name))


def _source_of(path: str) -> str:
    """Return the file of a page, from the root of the repository."""
    return next((source for source, place in OUTSIDE.items() if place == path), f"docs/{path}")


def _is_plain_file(target: str) -> bool:
    return target not in PLACES and not target.startswith("docs/")


def _targets(text: str, source: str) -> list[str]:
    """Return the files of the repository that a page links to."""
    folder = str(PurePosixPath(source).parent)
    plain = BLOCK.sub("", text)
    links = [link for _, link, _ in LINK.findall(plain) if not re.match(r"[a-z]+:", link)]
    targets = [normpath(f"{folder}/{link}") for link in links]
    return [target for target in targets if (REPOSITORY / target).is_file()]


def _moved(text: str, source: str, path: str) -> str:
    """Return the text of a page with the links that are right at its place in the site.

    Args:
        text: the page.
        source: its file, from the root of the repository.
        path: its place, from the root of the site's sources.

    Raises:
        PluginError: a link leads to no file.

    """
    folder = str(PurePosixPath(source).parent)

    def replaced(match: re.Match[str]) -> str:
        link = match[2]
        if re.match(r"[a-z]+:", link):
            return match[0]
        target = normpath(f"{folder}/{link}")
        if target in PLACES:
            place = PLACES[target]
        elif target.startswith("docs/"):
            place = target.removeprefix("docs/")
        elif (REPOSITORY / target).is_file():
            place = f"files/{target}"
        elif (REPOSITORY / target / "README.md").is_file():
            place = OUTSIDE[f"{target}/README.md"]
        else:
            raise PluginError(f"{source}: the link {link!r} leads to no file of the repository")
        return f"{match[1]}{relpath(place, str(PurePosixPath(path).parent))}{match[3]}"

    return "".join(part if part.lstrip().startswith("```") else LINK.sub(replaced, part) for part in BLOCK.split(text))


class Formulas(Extension):
    """Formulas within a line, $`a^2`$ as GitHub writes them, as MathML."""

    def extendMarkdown(self, md: markdown.Markdown) -> None:  # noqa: N802 - Markdown's own name
        """Register the pattern before that of code, whose backticks it has."""
        md.inlinePatterns.register(_Formula(r"\$`([^`]+)`\$", md), "formula", 195)


class _Formula(InlineProcessor):
    def handleMatch(self, m: re.Match[str], data: str) -> tuple[Any, int, int]:  # type: ignore[override]  # noqa: N802
        text = latex2mathml.converter.convert(m[1]).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
        return self.md.htmlStash.store(text), m.start(0), m.end(0)


def _formula_block(source: str, *_: Any, **__: Any) -> str:
    return f'<div class="formula">{latex2mathml.converter.convert(source, display="block")}</div>'


def _diagram(source: str, *_: Any, **__: Any) -> str:
    """Return a Mermaid diagram as a drawing within the page."""
    drawing = ET.fromstring(mmdr.render(source, backend="mermaid-rs-renderer").svg())  # noqa: S314 - our own text
    ET.register_namespace("", "http://www.w3.org/2000/svg")
    width = drawing.attrib.pop("width")
    drawing.attrib.pop("height", None)
    drawing.set("style", f"width: 100%; max-width: {float(width):.0f}px; height: auto")
    return f'<div class="diagram">{ET.tostring(drawing, encoding="unicode")}</div>'
