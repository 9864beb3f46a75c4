"""Answers that say that nothing tells it are told from others."""

from __future__ import annotations

import pytest

from atommem_cli.scoring.abstention import says_so


@pytest.mark.parametrize(
    "text",
    ["unknown", " Unknown. ", "No information available", "It was NOT MENTIONED, I think", "(not mentioned)"],
)
def test_it_says_so(text: str) -> None:
    assert says_so(text)


@pytest.mark.parametrize("text", ["", "no", "Lisbon", "the unknown soldier", "no information", "mentioned"])
def test_it_does_not(text: str) -> None:
    assert not says_so(text)
