"""The manual in `docs/`: what cites it finds what it cites, and its links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import keys_page
import map_page
import pytest
from manual import DOCS, ROOT, page, prose

import atommem_cli

PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
CITED = ("papers", "findings", "peers")


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def citations() -> Iterator[tuple[str, str, str]]:
    """Where, which page and which section, of every `papers.md 1.2` and the like."""
    folders = ("atommem_cli", "recipes", "tests", "results", "data")
    files = [path for name in folders for path in sorted((ROOT / name).rglob("*")) if path.is_file()]
    said = re.compile(rf"\b({'|'.join(CITED)})\.md[`,]?[\s#]+(?:section\s+)?(\d+(?:\.\d+)?)")
    for path in [*PAGES, *files]:
        if path.suffix in (".py", ".yaml", ".md"):
            for match in said.finditer(text(path)):
                yield str(path.relative_to(ROOT)), match[1], match[2]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.*?)\s*$", prose(text(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_manual_is_installed_with_the_package() -> None:
    (patterns,) = tomllib.loads(text(ROOT / "pyproject.toml"))["tool"]["setuptools"]["data-files"].values()
    installed = {path for pattern in patterns for path in ROOT.glob(pattern)}
    assert {*PAGES} <= installed


def test_every_section_that_is_cited_is_shipped() -> None:
    found = list(citations())
    assert len(found) > 40
    for where, name, section in found:
        heading = rf"^#+ {re.escape(section)}[. ]"
        assert re.search(heading, page(f"{name}.md"), re.MULTILINE), f"{where}: {name}.md {section}"


@pytest.mark.parametrize("path", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])
def test_links_lead_to_what_is_there(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(text(path)))):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


def test_the_page_of_keys_is_what_the_code_says() -> None:
    assert text(keys_page.PAGE) == keys_page.page(), "python tests/support/keys_page.py"


def test_the_map_shows_the_house_as_it_stands() -> None:
    assert text(map_page.PAGE) == map_page.page(), "python tests/support/map_page.py"


def test_the_manual_names_no_module_that_may_move() -> None:
    """`python -m atommem_cli.cli` is the command line."""
    named = {name for path in DOCS.glob("*.md") for name in re.findall(r"\batommem_cli[./](\w+)", text(path))}
    assert named <= {"cli", *atommem_cli.__all__}


def test_the_index_names_every_page() -> None:
    assert {path.name for path in DOCS.glob("*.md")} == {
        *re.findall(r"\]\(([\w-]+\.md)\)", page("README.md")),
        "README.md",
    }
