"""Mem0 2.2.1: how replies are read, how entries are ranked by words and by names, and what is shown of earlier text."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from builders import Says, agent, episode, rollout, script, store, task

from atommem_cli.agents import _mem0_entities as entities
from atommem_cli.agents import _mem0_keywords as keywords
from atommem_cli.agents import _mem0_replies as added
from atommem_cli.core.calls import Expects
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import OpKind, Outcome, Question, Trajectory

ANSWER = agent().write(Expects.ANSWER, [], "velt")


def played(facts: list[str], *replies: str, k: int = 3, **options: object) -> Trajectory:
    where = store()
    one = episode(task(facts=facts), where, by=agent("mem0", variant="add_only", **options), k=k)
    (trajectory,) = rollout(where).play(Says(script(*replies, ANSWER)), [one])
    return trajectory


def additions(*texts: object) -> str:
    return json.dumps({"memory": [{"text": text} for text in texts]})


@pytest.mark.parametrize(
    ("reply", "texts", "broken"),
    [
        (additions(" a ", "b"), ["a", "b"], 0),
        (f"```json\n{additions('a')}\n```", ["a"], 0),
        (f"Here: {additions('a')} I hope.", ["a"], 0),
        (additions("a")[:-2], [], 0),  # cut off
        ("nothing", [], 0),
        ('{"memory": ["a"]}', ['"a"'], 1),
        ('{"memory": [{"text": "a"}, 3]}', ["a", "3"], 1),
        ('{"memory": [{"text": ["a"]}]}', None, 1),
        ('{"memory": [{"text": ""}, {"id": "1"}, {"text": 5}]}', [], 0),
        ('{"memory": "none"}', None, 1),
    ],
)
def test_a_reply_is_read_as_there(reply: str, texts: list[str] | None, broken: int) -> None:
    found = added.strict(reply)
    assert texts is None or [op.text for op in found] == texts
    assert [op.defect for op in found].count(Outcome.MALFORMED) == broken


def test_an_item_that_is_no_object_loses_the_whole_reply_unless_it_is_read_leniently() -> None:
    mixed = '{"memory": [{"text": "Ada: Velt"}, "Bo: Dorn"]}'
    as_there = played(["Ada was born in Velt."], mixed)
    made = [(one.op.kind, one.outcome) for one in as_there.transitions[0].results if one.op.kind is OpKind.CREATE]
    assert made == [(OpKind.CREATE, Outcome.MALFORMED)]
    mended = played(["Ada was born in Velt."], mixed, reading="lenient")
    assert mended.usage.entries == 2
    assert as_there.usage.entries == 0


def test_words_count_as_in_bm25_with_a_constant_mean_length() -> None:
    texts = ["the red boat of ada", "a red cat", "rain"]
    found = keywords.scores("red boats", texts, content=False, most=9)

    def weight(count: int, length: int) -> float:
        return count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / 256))

    def rare(holders: int) -> float:
        return math.log((3 - holders + 0.5) / (holders + 0.5) + 1)

    asked = weight(1, 2)  # two terms: red, boat
    first = asked * (rare(2) * weight(1, 3) + rare(1) * weight(1, 3))  # red, boat, ada
    second = asked * rare(2) * weight(1, 2)
    squeezed = [1 / (1 + math.exp(-0.7 * (raw - 5.0))) for raw in (first, second)]
    assert found == [pytest.approx(squeezed[0]), pytest.approx(squeezed[1]), 0.0]
    assert keywords.scores("red boats", texts, content=False, most=1)[1] == 0.0
    assert keywords.terms("It has become empty boats", content=True) == ["boat"]
    assert keywords.terms("It has become empty boats", content=False) == ["becom", "empti", "boat"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Ada Velt met the mayor of Port Dorn.", ["Ada Velt", "Port Dorn"]),
        ("She is the Queen of the Fenn, they say", ["Queen", "Fenn"]),
        ("The book is called 'old lute' by \"J. Quill\".", ["J. Quill", "old lute"]),
        ("Call os.path.join in U.S. user sessions", ["os.path.join", "U.S"]),
        ("nothing here", []),
    ],
)
def test_names_are_found_by_capitals_dots_and_quotes(text: str, named: list[str]) -> None:
    assert sorted(entities.entities(text)) == sorted(named)


def test_an_entry_gains_by_a_name_it_shares_and_less_the_more_entries_do() -> None:
    links = entities.Links()
    ada, bo = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)
    links.link(links.new({1: "Ada Velt sings", 2: "Ada Velt rows", 3: "Bo Dorn sings"}), [ada, ada, bo])
    assert links.new({1: "Ada Velt sings"}) == []
    shared = 0.5 / (1 + 0.001 * 1**2)
    assert links.boosts([ada]) == {1: pytest.approx(shared), 2: pytest.approx(shared)}
    assert links.boosts([bo]) == {3: pytest.approx(0.5)}
    assert links.boosts([np.array([0.4, 0.0], np.float32)]) == {}  # below 0.5
    assert entities.Links().boosts([ada]) == {}


def test_words_and_names_decide_where_vectors_do_not_and_nothing_far_is_found() -> None:
    chunks = ["Ada Velt keeps a red boat.", "bees near the bees"]
    replies = [additions("Ada Velt keeps a red boat."), additions("bees near the bees")]

    def shown(**options: object) -> list[str]:
        where = store()
        about = replace(task(facts=chunks), questions=(Question("q", "bees near Ada Velt", ("x",)),))
        one = episode(about, where, by=agent("mem0", variant="add_only", **{"threshold": -1.0, **options}), k=1, size=1)
        (trajectory,) = rollout(where).play(Says(script(*replies, ANSWER)), [one])
        return [entry.text for entry in trajectory.transitions[-1].shown]

    assert shown(entities=False) == ["bees near the bees"]
    assert shown() == ["Ada Velt keeps a red boat."]
    assert shown(threshold=1.0) == []


def test_the_beginnings_of_earlier_chunks_are_shown_as_many_as_are_wanted() -> None:
    long = "Ada " + "x" * 400
    trajectory = played([long, "Bo lives in Dorn, as he says.", "Cy sings in the choir of Velt."], "[]", "[]", "[]")
    prompts = [step.observation.messages[-1].content for step in trajectory.transitions[:3]]
    assert "x..." not in prompts[0]
    assert "x..." in prompts[1]
    assert "x" * 301 not in prompts[2]
    assert "Bo lives in Dorn, as he says." in prompts[2]
    alone = played([long, "Bo lives in Dorn."], "[]", "[]", earlier=0)
    assert "Ada x" not in alone.transitions[1].observation.messages[-1].content


@pytest.mark.parametrize(
    "options", [{"earlier": 3}, {"keyword_search": "none"}, {"entities": False}, {"threshold": 0.5}]
)
def test_what_belongs_to_one_release_is_refused_of_the_other(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"of mem0ai 2\.2\.1 alone: set agent\.variant=add_only"):
        agent("mem0", **options)
