"""What cannot work, or does nothing, is said before the first call: limits that hold no prompt, drops of nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atommem_cli.config import plugins
from atommem_cli.config import recipe as recipes
from atommem_cli.core.chunking import WordTokenizer
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import OpKind, StopReason
from atommem_cli.data import preparation
from atommem_cli.running import build, evaluation
from atommem_cli.runs.reader import Run

ORACLE = "policy={name: scripted, script: oracle}"
TINY = "policy={name: hf, model: tiny}"
AGEMEM = "agent={name: agemem, dialect: tiny}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    preparation.prepare("stream", out=folder / "data" / "stream", limit=2)
    return folder


def run(home: Path, *changes: str) -> Path:
    folder = f"task.folder={home / 'data' / 'stream'}"
    out = home / f"run-{len([*home.iterdir()])}"
    evaluation.evaluate(recipes.load("tiny", [folder, "task.limit=1", "store={name: exact}", *changes]), out)
    return out


def stops(folder: Path) -> set[str]:
    return {line["stop"] for line in Run(folder).episodes.values()}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            [TINY, "policy.window=24", "limits.answer=24"],
            "window of 24 tokens holds no prompt beside a .* limits.answer=24",
        ),
        (
            [TINY, "policy.window=40", "limits={reply: 40, answer: 8}"],
            "window of 40 tokens .* limits.reply=40",
        ),
        ([ORACLE, AGEMEM, "agent.context_tokens=1"], r"agent.context_tokens=1 holds no prompt: .* takes 3 of 1 tokens"),
        ([ORACLE, AGEMEM, "agent.context_tokens=3"], r"takes 3 of 3 tokens"),
        ([ORACLE, AGEMEM, "agent.context_tokens=30", "agent.context_share=0.1"], r"takes 3 of 3 tokens"),
        (
            [ORACLE, "agent={name: agemem, context_tokens: 400}"],
            r"takes \d+ of 400 tokens, before any text",
        ),
        ([ORACLE, "agent={name: agemem, context_tokens: 400, calling: native}"], r"takes \d+ of 400 tokens"),
    ],
)
def test_a_limit_that_holds_no_prompt_is_said_before_anything_is_written(
    home: Path, changes: list[str], said: str
) -> None:
    before = {*home.iterdir()}
    with pytest.raises(UsageError, match=said):
        run(home, *changes)
    assert {*home.iterdir()} == before


def test_what_holds_the_shortest_prompt_is_played_and_an_agent_that_only_answers_needs_no_reply(home: Path) -> None:
    assert stops(run(home, ORACLE, AGEMEM, "agent.context_tokens=4")) == {StopReason.CONTEXT_OVERFLOW}
    closed = run(home, TINY, "agent={name: closed_book, dialect: tiny}", "policy.window=40", "limits.answer=2")
    assert stops(closed) == {StopReason.ANSWERED}


def test_the_least_is_what_the_shortest_prompt_of_agemem_takes() -> None:
    """Counted by hand: the instructions, and the shorter of the two messages with nothing in them."""
    agent = plugins.load("agents", "agemem").build(plugins.load("agents", "agemem").Options(dialect="tiny"))
    words = agent.words
    texts = [
        words.system(frozenset(), ()),
        words.message("first", {"chunk": ""}),
        words.message("third", {"question": ""}),
    ]
    system, *messages = (len(WordTokenizer().spans(text)) for text in texts)
    assert system + min(messages) == 3


@pytest.mark.parametrize(
    ("agent", "dropped", "said"),
    [
        ("rag", ["update", "read", "delete"], "memory.drop: update, delete: the agent rag has no such operation "
         "(it has: create, read)"),
        ("closed_book", ["read"], "memory.drop: read: the agent closed_book has no such operation (it has: none)"),
        ("agemem", ["scratchpad"], "memory.drop: scratchpad: the agent agemem has no such operation (it has: create, "
         "read, update, delete, summarize, filter, clear)"),
        ("atommem", ["filter"], "memory.drop: filter: the agent atommem has no such operation (it has: create, read, "
         "update, delete, scratchpad)"),
        ("atommem", ["update", "scratchpad"], ""),
        ("agemem", ["filter", "update"], ""),
        ("atommem", [], ""),
    ],
)  # fmt: skip
def test_dropped_operations_that_an_agent_lacks_are_named(agent: str, dropped: list[str], said: str) -> None:
    recipe = recipes.load("tiny", [ORACLE, f"agent={{name: {agent}}}", f"memory.drop={dropped}"])
    assert build.idly_dropped(recipe) == said


@pytest.mark.parametrize("agent", plugins.available("agents"))
def test_no_agent_lacks_what_it_has(agent: str) -> None:
    def dropping(*kinds: OpKind) -> Any:
        drop = [kind.value for kind in kinds]
        return recipes.load("tiny", [ORACLE, f"agent={{name: {agent}}}", f"memory.drop={drop}"])

    assert build.idly_dropped(dropping(*dropping().build("agent").operations)) == ""
