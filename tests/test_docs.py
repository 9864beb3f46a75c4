"""The manual in `docs/`: what cites it finds what it cites, and its links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import keys_page
import map_page
import pytest

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
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


def prose(path: Path) -> str:
    """A page without what is shown as code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text(path), flags=re.DOTALL | re.MULTILINE))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    bare = re.sub(r"^```.*?^```", "", text(path), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ +(.*?)\s*$", bare, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_section_that_is_cited_is_shipped() -> None:
    found = list(citations())
    assert len(found) > 40
    for where, page, section in found:
        heading = rf"^#+ {re.escape(section)}[. ]"
        assert re.search(heading, text(ROOT / "docs" / f"{page}.md"), re.MULTILINE), f"{where}: {page}.md {section}"


@pytest.mark.parametrize("page", PAGES, ids=[path.name for path in PAGES])
def test_links_lead_to_what_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


def test_the_page_of_keys_is_what_the_code_says() -> None:
    assert text(keys_page.PAGE) == keys_page.page(), "python tests/support/keys_page.py"


def test_the_map_shows_the_house_as_it_stands() -> None:
    assert text(map_page.PAGE) == map_page.page(), "python tests/support/map_page.py"
