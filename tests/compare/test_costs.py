"""What a comparison says of the price of scores, and of yardsticks that it is without."""

from __future__ import annotations

import pytest

from atommem_cli.compare import comparison, costs
from atommem_cli.compare.costs import Cost
from atommem_cli.config import recipe as recipes
from atommem_cli.data import preparation
from atommem_cli.reporting import publish
from atommem_cli.running import evaluation
from atommem_cli.runs.reader import Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Three tasks of six documents, played by four agents."""
    folder = tmp_path_factory.mktemp("costs")
    options = {"docs": 6, "questions": 2, "people": 2, "relations": 3}
    preparation.prepare("stream", out=folder / "stream", split="validation", options=options, limit=3)
    changes = ["policy={name: scripted, script: oracle}", "store.name=exact", f"task.folder={folder / 'stream'}"]
    for agent in ("a_mem", "memagent", "rag", "full_context"):
        evaluation.evaluate(
            recipes.load("smoke", [*changes, f"agent={{name: {agent}, dialect: tiny}}"]), folder / agent
        )
    return {name: Run(folder / name) for name in ("a_mem", "memagent", "rag", "full_context")}


def test_retrievals_and_entries_stand_beside_calls_and_tokens(runs: dict[str, Run]) -> None:
    sides = comparison.compare([runs["a_mem"], runs["rag"]]).sides
    assert (sides[0].calls, sides[0].retrievals, sides[0].entries) == (2 * 6 + 2 * 2, 5 + 2, 6)
    assert (sides[1].calls, sides[1].retrievals, sides[1].entries) == (2, 2, 6)
    table = next(
        table for table in publish.findings([runs["a_mem"], runs["rag"]], ["a", "b"]).shown if "Cost" in table.title
    )
    assert table.headers[:4] == ("run", "calls", "retrievals", "entries")
    assert table.rows[0][:4] == ("a", "16.0", "7.0", "6.0")


def test_a_run_of_many_times_the_calls_of_the_others_is_said_to_be_one() -> None:
    cheap, dear = Cost(10, 0, 0, 0, 200), Cost(401, 0, 0, 0, 200)
    assert costs.sentences({"a": dear, "b": cheap}) == [
        "a took 401.0 calls an episode, 2.0 a document, where the other took 10.0: its score has that price."
    ]
    (said,) = costs.sentences({"a": cheap, "b": dear, "c": cheap._replace(calls=12)})
    assert said.startswith("b took 401.0 calls an episode, 2.0 a document, where the median of the others is 11.0:")
    assert costs.sentences({"a": cheap, "b": cheap._replace(calls=19)}) == []


def test_memory_systems_without_a_yardstick_are_said_to_be_so(runs: dict[str, Run]) -> None:
    both = [runs["a_mem"], runs["memagent"]]
    assert costs.missing(both) == (
        "No run is of rag or full_context: whether these memory systems are worth more than retrieval alone or all "
        "documents at once is not shown."
    )
    assert costs.missing([*both, runs["rag"]]).startswith("No run is of full_context: whether")
    assert costs.missing([*both, runs["rag"], runs["full_context"]]) == ""
    assert costs.missing([runs["a_mem"], runs["a_mem"]]) == ""  # one system, twice
    sentences = publish.findings(both, ["a", "b"]).sentences
    assert costs.missing(both) in sentences
    assert any(said.startswith("a took 16.0 calls an episode, 2.7 a document") for said in sentences)
