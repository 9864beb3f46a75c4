"""A-MEM: what is kept with a document, how notes rewrite each other, and how they are found."""

from __future__ import annotations

import json

import pytest
from builders import Says, agent, episode, prompt, rollout, script, store, task

from atommem_cli.agents import _a_mem_notes as notes
from atommem_cli.agents import a_mem
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Agent
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Trajectory

THREE = task(facts=["Ada was born in Velt.", "Bo lives in Dorn.", "Cy plays the lute."])
ANSWER = agent().write(Expects.ANSWER, [], "velt")
QUIET = json.dumps({"should_evolve": False})


def analysed(*keywords: str, context: str = "People.") -> str:
    return json.dumps({"keywords": keywords, "context": context, "tags": ["person"]})


def evolved(links: list[int], contexts: list[str], tags: list[list[str]]) -> str:
    return json.dumps(
        {
            "should_evolve": True,
            "actions": ["strengthen", "update_neighbor"],
            "suggested_connections": links,
            "tags_to_update": ["linked"],
            "new_context_neighborhood": contexts,
            "new_tags_neighborhood": tags,
        }
    )


def played(by: Agent, *replies: str, k: int = 3) -> Trajectory:
    where = store()
    (trajectory,) = rollout(where).play(Says(script(*replies)), [episode(THREE, where, by=by, k=k)])
    return trajectory


def kept(trajectory: Trajectory) -> dict[int, dict[str, str]]:
    """Metadata of each entry at the end."""
    steps = (trajectory.opening, *(step.results for step in trajectory.transitions))
    ops = [result for results in steps for result in results if result.op.meta]
    return {result.entry: dict(result.op.meta) for result in ops if result.entry is not None}


def test_a_note_is_linked_and_rewrites_what_it_is_shown() -> None:
    trajectory = played(
        agent("a_mem"),
        *(analysed("ada", "velt"), QUIET),
        *(analysed("bo"), evolved([1, 7], ["Places."], [["town", "birth"]])),
        *(analysed("lute"), QUIET),
        *('{"keywords": ["velt", "birth"]}', ANSWER),
    )
    assert [step.observation.expects for step in trajectory.transitions[:7]] == [
        *(Expects.FACTS, Expects.CHOICE) * 3,
        Expects.FACTS,
    ]
    assert "Notes nearest to it:\nnone" in prompt(trajectory, 1)  # the paper's code asks of the first note, too
    first = "Note 1: Ada was born in Velt.\nContext: People.\nKeywords: ada, velt\nTags: person"
    assert first in prompt(trajectory, 3)
    assert kept(trajectory) == {
        1: {"context": "Places.", "keywords": "ada, velt", "tags": "town, birth"},
        2: {"context": "People.", "keywords": "bo", "tags": "linked", "links": "1"},
        3: {"context": "People.", "keywords": "lute", "tags": "person"},
    }
    assert trajectory.usage.calls == 2 * 3 + 2 * 3
    assert trajectory.usage.reads == 2 + 3  # keywords that cannot be read are the question


def test_the_paper_finds_by_context_and_keywords_and_shows_linked_notes_beside() -> None:
    replies = (
        *(analysed("fish"), QUIET),  # Ada
        *(analysed("stone"), evolved([1], [], [])),  # Bo, linked with Ada
        *(analysed("lute"), QUIET),
        *('{"keywords": ["stone"]}', ANSWER),
    )
    alone = played(agent("a_mem", k=1), *replies)
    seen = prompt(alone, 7)
    assert seen.index("Bo lives") < seen.index("Ada was born")  # the note found, and the one that it links
    assert "Cy plays" not in seen
    assert [entry.id for entry in alone.transitions[7].shown] == [2, 1]


def test_vectors_are_of_the_time_of_adding_until_so_many_notes_have_evolved(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = (
        *(analysed("ada"), QUIET),
        *(analysed("bo"), evolved([], ["Zebras."], [["zebra"] * 4])),  # the first note becomes one of zebras
        *(analysed("striped"), QUIET),
        *('{"keywords": ["zebra", "zebra", "zebra", "striped"]}', ANSWER),
    )

    def nearest() -> int:
        return played(agent("a_mem", k=1), *replies).transitions[7].shown[0].id

    before = nearest()
    monkeypatch.setattr(a_mem, "REBUILD", 1)
    assert (before, nearest()) == (3, 1)


def test_the_library_finds_by_documents_and_asks_nothing_of_the_first() -> None:
    by = agent("a_mem", variant="library", k=2)
    trajectory = played(
        by,
        analysed("x"),
        *(analysed("y"), evolved([1], ["Places."], [["town"]])),
        *(analysed("z"), QUIET),
        ANSWER,
    )
    assert trajectory.usage.calls == 3 + 2 + 3
    assert trajectory.usage.reads == 2 + 3
    assert len(trajectory.transitions[5].shown) == 2  # links add nothing
    assert kept(trajectory)[1]["context"] == "Places."


def test_a_fault_of_the_library_rewrites_the_first_notes_of_the_memory() -> None:
    def rewritten(neighbours: str) -> dict[int, dict[str, str]]:
        by = agent("a_mem", variant="library", neighbours=neighbours)
        facts = ["Bo lives in Dorn.", "Ada was born in Velt.", "Ada was born in Velt, they say."]
        about, where = task(facts=facts), store()
        change = evolved([1], ["Nearest."], [["near"]])
        says = Says(script(analysed(), analysed(), QUIET, analysed(), change, ANSWER))
        (trajectory,) = rollout(where).play(says, [episode(about, where, by=by)])
        return kept(trajectory)

    right, wrong = rewritten("ids"), rewritten("positions")
    assert [right[n]["context"] for n in (1, 2, 3)] == ["People.", "Nearest.", "People."]
    assert right[3]["links"] == "2"
    assert [wrong[n]["context"] for n in (1, 2, 3)] == ["Nearest.", "People.", "People."]
    assert "links" not in wrong[3]


def test_the_library_before_it_analysed() -> None:
    trajectory = played(agent("a_mem", variant="library", analysis=False), QUIET, QUIET, ANSWER)
    assert trajectory.usage.calls == 2 + 3
    assert kept(trajectory)[1] == {"context": "General", "keywords": "", "tags": ""}


def test_faults_of_the_library_belong_to_it() -> None:
    for wrong in ({"neighbours": "positions"}, {"analysis": False}):
        with pytest.raises(UsageError, match=r"set agent\.variant=library"):
            agent("a_mem", **wrong)


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("", notes.Evolution()),
        ("[1, 2]", notes.Evolution()),
        ('{"should_evolve": false, "actions": ["strengthen"], "suggested_connections": [1]}', notes.Evolution()),
        ('{"should_evolve": "True", "actions": "strengthen"}', notes.Evolution(tags="", evolved=True)),
        (
            '{"should_evolve": true, "actions": ["update_neighbor"], "new_context_neighborhood": ["a"], '
            '"new_tags_neighborhood": [["b", 3, "c"], "d", null]}',
            notes.Evolution(neighbours=(("a", "b, c"), (None, "d"), (None, "")), evolved=True),
        ),
        (
            '{"should_evolve": true, "actions": ["update_neighbor"], "new_context_neighborhood": ["a", "b"], '
            '"new_tags_neighborhood": [["c"]]}',
            notes.Evolution(neighbours=(("a", "c"),), evolved=True),
        ),
    ],
)
def test_an_evolution_is_read_out_of_whatever_a_model_writes(reply: str, found: notes.Evolution) -> None:
    assert notes.evolution(reply) == found


def test_an_analysis_that_cannot_be_read_leaves_a_general_note() -> None:
    assert notes.analysis("no idea") == notes.Note()
    assert notes.analysis('{"keywords": "a, b", "context": 3}') == notes.Note(keywords="a, b")


def test_an_entry_without_metadata_is_a_general_note() -> None:
    assert notes.Note.of(()) == notes.Note("General", "", "", ())
    assert notes.Note.of((("links", "3 1"),)).links == (3, 1)
