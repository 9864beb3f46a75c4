"""Entity swap: the old names are gone, everything else stays as it was, and the task can still be solved."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_records import SHARED, hotpot, musique, real_data, write

from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Document, Question, Support, Task
from atommem_cli.data.preparation import prepare, read_manifest, read_tasks
from atommem_cli.running import evaluation
from atommem_cli.tasks._swap import Own, extent, names, swap

ADA = "Ada Lovelace (mathematician)"
DOCUMENTS = (
    Document(ADA, "Ada Lovelace wrote the first program. Lovelace's mother was Anne Isabella Byron. LOVELACE was ill."),
    Document("University of Tarnow", "The University of Tarnow honours the Lovelaces. An Ada Prize is given there."),
    Document("Tarnow", "Tarnow is a town. Some adas are stones."),
)
QUESTION = Question(
    "q",
    "Who was the mother of ada lovelace, honoured by the University of Tarnow?",
    ("Anne Isabella Byron", "Baroness Wentworth", "Isabella Byron"),
    (Support(0, "Lovelace's mother was Anne Isabella Byron."), Support(1, "An Ada Prize is given there.")),
)


def swapped(
    question: Question = QUESTION, documents: tuple[Document, ...] = DOCUMENTS, filler: tuple[Document, ...] = ()
) -> Task:
    own = [Own(question, documents, documents[:2])]
    task = Task("t-0", "test", (*documents, *filler), (question,))
    made = swap(task, names(own), own, Random(1))
    assert made == swap(task, names(own), own, Random(1))
    return made


def whole(task: Task) -> str:
    lines = [f"{document.title}\n{document.text}" for document in task.documents]
    lines += ["\n".join([q.text, *q.answers, *(s.text for s in q.supporting)]) for q in task.questions]
    return "\n".join(lines)


def stands(text: str, where: str) -> bool:
    """By its own reckoning: as whole words."""
    words, inside = re.findall(r"\w+", text), re.findall(r"\w+", where)
    return bool(words) and any(inside[at : at + len(words)] == words for at in range(len(inside)))


# --- one task, by eye


def test_full_names_surnames_possessives_plurals_and_capitals_are_one_and_the_same_person() -> None:
    task = swapped()
    first, second, third = task.documents
    found = re.fullmatch(r"(\w+) (\w+) \(mathematician\)", first.title)
    assert found
    ada, lovelace = found.groups()
    assert first.text.startswith(f"{ada} {lovelace} wrote the first program. {lovelace}'s mother was ")
    assert first.text.endswith(f" {lovelace.upper()} was ill.")
    assert f"the {lovelace}s. An {ada} Prize is given there." in second.text
    assert f"the mother of {ada} {lovelace}, honoured by the {second.title}?" in task.questions[0].text
    tarnow = second.title.removeprefix("University of ")
    assert third == Document(tarnow, f"{tarnow} is a town. Some adas are stones.")
    assert ada[0].lower() in "aeiou", "an Ada stays right behind `an`"
    assert not re.search(r"\b(?:Ada|Lovelace|LOVELACE|Tarnow|Byron)\b", whole(task))


def test_answers_change_with_their_documents_and_an_alias_that_only_a_model_knows_goes() -> None:
    (question,) = swapped().questions
    assert len(question.answers) == 2
    assert question.answers[0].endswith(question.answers[1])
    assert stands(question.answers[0], question.supporting[0].text)
    assert "Wentworth" not in whole(swapped())


@pytest.mark.parametrize("answer", ["yes", "no", "1815", "10 December 1815", "a town", "the first program"])
def test_answers_that_are_no_names_stay_and_the_question_s_names_go(answer: str) -> None:
    question = Question("q", QUESTION.text, (answer,), QUESTION.supporting)
    task = swapped(question)
    assert task.questions[0].answers == (answer,)
    assert not stands("Lovelace", whole(task))
    assert extent(question, names([Own(question, DOCUMENTS, DOCUMENTS[:2])])) == "question"


def test_an_answer_that_stands_nowhere_keeps_its_words_everywhere() -> None:
    question = Question("q", "Whose mother was ill?", ("Lady Lovelace",), QUESTION.supporting)
    task = swapped(question)
    assert task.questions[0].answers == ("Lady Lovelace",)
    assert "Lovelace wrote the first program. Lovelace's mother" in task.documents[0].text
    assert not task.documents[0].text.startswith("Ada ")


def test_words_that_say_what_a_thing_is_stay_and_a_title_of_such_words_goes_as_a_whole() -> None:
    documents = (
        Document("World War", "The World War was a war of the world. World records are no war."),
        Document("Tarnow County", "Tarnow County is a county."),
    )
    question = Question("q", "What was the world war?", ("Tarnow County",), (Support(1, "Tarnow County is a county."),))
    own = [Own(question, documents, documents)]
    made = swap(Task("t", "test", documents, (question,)), names(own), own, Random(3))
    title = made.documents[0].title
    assert len(title.split()) == 2
    assert made.documents[0].text == f"The {title} was a war of the world. World records are no war."
    assert made.questions[0].text == f"What was the {title}?"
    assert re.fullmatch(r"\w+ County", made.questions[0].answers[0])
    assert made.questions[0].answers[0] != "Tarnow County"


def test_common_words_as_titles_stay() -> None:
    documents = (
        Document("Animal", "An animal lives. Every animal dies."),
        Document("Ada Pell", "Ada Pell has an animal."),
    )
    question = Question("q", "Who has an animal?", ("Ada Pell",), (Support(1, "Ada Pell has an animal."),))
    own = [Own(question, documents, documents)]
    made = swap(Task("t", "test", documents, (question,)), names(own), own, Random(3))
    assert made.documents[0] == documents[0]
    assert made.questions[0].answers[0] != "Ada Pell"


def test_a_supporting_fact_that_begins_within_a_name_takes_in_the_whole_of_it() -> None:
    """2WikiMultiHopQA cuts "Two Family House is a 2000 film" behind "Two Family"."""
    documents = (
        Document("Two Family House", "Two Family House is a film. It won."),
        Document("Ada Pell", "Ada Pell won."),
    )
    support = Support(0, "House is a film.")
    question = Question("q", "Who won Two Family House?", ("Ada Pell",), (support, Support(1, "Ada Pell won.")))
    own = [Own(question, documents, documents)]
    made = swap(Task("t", "test", documents, (question,)), names(own), own, Random(3))
    assert made.questions[0].supporting[0].text == f"{made.documents[0].title} is a film."
    assert made.documents[0].text == f"{made.documents[0].title} is a film. It won."


def test_sentences_without_a_space_between_them_stay_verbatim() -> None:
    documents = (Document("Ada Pell", "The first was Pell.Ada Pell won.No one else."), Document("Lorn", "Lorn."))
    supporting = (Support(0, "The first was Pell."), Support(0, "Ada Pell won."))
    question = Question("q", "Who was first?", ("Ada Pell",), supporting)
    own = [Own(question, documents, documents)]
    made = swap(Task("t", "test", documents, (question,)), names(own), own, Random(3))
    assert made.documents[0].text == "".join(s.text for s in made.questions[0].supporting) + "No one else."
    assert "Pell" not in whole(made)


def test_new_names_occur_nowhere_in_the_task() -> None:
    """Every name that the first choice would be is taken by the filler, again and again."""
    filler: tuple[Document, ...] = ()
    seen: set[str] = set()
    for _ in range(30):
        task = swapped(filler=filler)
        fresh = set(re.findall(r"\w+", whole(task))) - set(re.findall(r"\w+", whole_of(filler)))
        title = task.documents[0].title.split()[0]
        assert title in fresh
        assert title not in seen
        seen.add(title)
        filler = (*filler, Document("", title))


def whole_of(documents: Sequence[Document]) -> str:
    return "\n".join(f"{document.title}\n{document.text}" for document in documents)


# --- prepared folders

NAMES = ("Velda", "Orrin", "Pell", "Tarnow", "Ibsley", "Quent", "Marsk", "O'Dell", "Jean-Luc", "LORNE", "Zürn", "Ada")
KINDS = ("{} {}", "{}", "The {} of {}", "{} University", "{} (film)", "{} {} (1931 film)", "{}'s House")


@st.composite
def records(draw: st.DrawFn) -> list[dict[str, Any]]:
    """HotpotQA records about few names, so that they are parts of one another, in all the ways names come."""
    rows = []
    for number in range(draw(st.integers(2, 5))):
        titles: list[str] = []
        while len(titles) < 4:
            kind = draw(st.sampled_from(KINDS))
            title = kind.format(*(draw(st.sampled_from(NAMES)) for _ in range(kind.count("{}"))))
            titles.append(title if title not in titles else f"{title} {number}-{len(titles)}")
        bare = [re.sub(r"\s*\([^()]*\)$", "", title) for title in titles]
        joint = draw(st.sampled_from(["", " "]))
        sentences = [
            [f"{b} is a thing.", f"{joint}It is near {draw(st.sampled_from(bare))}, not {b.upper()} or {b}'s."]
            for b in bare
        ]
        answer = draw(
            st.sampled_from([bare[0], bare[1], bare[1].split()[-1], "yes", "1931", "a thing", "Nobody Known"])
        )
        context = {"title": titles, "sentences": sentences}
        question = f"What is {draw(st.sampled_from([bare[0], bare[0].lower()]))} number {number}?"
        rows.append(hotpot(number, answer=answer, question=question, context=context))
        rows[-1]["supporting_facts"] = {"title": titles[:2], "sent_id": [0, 1]}
    return rows


def pair(name: str, rows: Sequence[dict[str, Any]], **options: Any) -> tuple[list[Task], list[Task]]:
    folder = Path(tempfile.mkdtemp())
    try:
        write(folder / "validation.jsonl", rows)
        made = []
        for extra in ({}, {"swap": True}):
            prepare(name, source=str(folder), out=folder / f"out{len(made)}", options={**options, **extra}, seed=3)
            made.append(list(read_tasks(folder / f"out{len(made)}" / "validation")))
    finally:
        shutil.rmtree(folder)
    return made[0], made[1]


def bare(title: str) -> str:
    return re.sub(r"\s*\([^()]*\)\s*$", "", title).strip()


def insist(before: Task, after: Task) -> Counter[str]:
    """Everything that must hold of a swapped task; how its questions came out."""
    assert (before.id, before.source) == (after.id, after.source)
    assert len(before.documents) == len(after.documents)
    assert len({d.title for d in after.documents}) == len({d.title for d in before.documents})
    assert [q.id for q in before.questions] == [q.id for q in after.questions]
    text, found = whole(after), Counter[str]()
    for old, new in zip(before.questions, after.questions, strict=True):
        assert [s.document for s in old.supporting] == [s.document for s in new.supporting]
        assert all(s.text in after.documents[s.document].text for s in new.supporting)
        gold = {s.document for s in old.supporting}
        shown = [whole_of([task.documents[i] for i in sorted(gold)]) for task in (before, after)]
        if stands(old.answers[0], shown[0]):
            assert stands(new.answers[0], shown[1])
        for was, now in [(bare(before.documents[i].title), bare(after.documents[i].title)) for i in gold]:
            assert was == now or not stands(was, text), was
            found["title" if was != now else "title kept"] += 1
        if old.answers[0] != new.answers[0]:
            assert not stands(old.answers[0], whole_of(after.documents)), old.answers
            found["answer"] += 1
        else:
            found["question" if old.text != new.text else "neither"] += 1
    return found


@settings(max_examples=60, deadline=None)
@given(rows=records(), questions=st.integers(1, 3))
def test_whatever_the_names_are_gold_stays_verbatim_and_old_names_are_gone(
    rows: list[dict[str, Any]], questions: int
) -> None:
    before, after = pair("hotpotqa", rows, docs=4, questions=questions)
    for old, new in zip(before, after, strict=True):
        insist(old, new)


GOLDEN = "a64ba482a35de111c7eba15d9995262addc3daac35a18d05ec07f73ac6f2dba9"


def test_without_swap_the_bytes_are_those_of_before_there_was_one(tmp_path: Path) -> None:
    """The digest is that of the program before this option; a folder of that time has no such key."""
    write(tmp_path / "validation.jsonl", [hotpot(n) for n in range(12)])
    digests = {}
    for name, options in (("none", {}), ("false", {"swap": False}), ("true", {"swap": True})):
        made = prepare("hotpotqa", source=str(tmp_path), out=tmp_path / name, options={"docs": 20, **options})
        digests[name] = made.sha256
    assert digests["none"] == digests["false"] == GOLDEN
    assert digests["true"] != digests["none"]
    texts = {name: (tmp_path / name / "validation" / "manifest.json").read_bytes() for name in digests}
    assert texts["none"] == texts["false"]
    assert b"swap" not in texts["none"]
    assert json.loads(texts["true"])["options"]["swap"] is True
    again = prepare("hotpotqa", source=str(tmp_path), out=tmp_path / "none", options={"docs": 20, "swap": False})
    assert again.sha256 == digests["none"]
    with pytest.raises(UsageError, match="swap"):
        prepare("hotpotqa", source=str(tmp_path), out=tmp_path / "none", options={"docs": 20, "swap": True})


def test_any_number_of_workers_makes_the_same_bytes_and_a_task_does_not_depend_on_the_others(tmp_path: Path) -> None:
    write(tmp_path / "validation.jsonl", [musique(n, answer=f"Velda Tarn{'abcdefghijkl'[n]}") for n in range(12)])
    options = {"docs": 20, "swap": True}
    one = prepare("musique", source=str(tmp_path), out=tmp_path / "1", options=options)
    two = prepare("musique", source=str(tmp_path), out=tmp_path / "2", options=options, workers=2)
    prepare("musique", source=str(tmp_path), out=tmp_path / "3", options=options, limit=2)
    assert one.sha256 == two.sha256
    tasks = {name: list(read_tasks(tmp_path / name / "validation")) for name in "13"}
    assert tasks["1"][:2] == tasks["3"]


# --- real records


@real_data
@pytest.mark.parametrize("name", ["hotpotqa", "2wikimultihopqa", "musique"])
def test_real_records_keep_their_gold_lose_their_names_and_can_be_solved(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"docs": 30}
    prepare(name, source=str(SHARED / name), out="plain", options=options, limit=40)
    prepare(name, source=str(SHARED / name), out=f"data/{name}", options={**options, "swap": True}, limit=40)
    found = Counter[str]()
    for before, after in zip(read_tasks("plain/validation"), read_tasks(f"data/{name}/validation"), strict=True):
        found += insist(before, after)
    manifest = read_manifest(f"data/{name}/validation")
    assert sum(manifest.swapped.values()) == manifest.questions_used
    assert manifest.swapped["answer"] == found["answer"]
    assert found["answer"] > 0.55 * manifest.questions_used
    assert found["title"] > 10 * found["title kept"]
    words = ["agent.dialect=paper", "chunk={tokens: 1024, overlap: 100}", "memory.retrieve_k=6", "store={name: exact}"]
    changes = [f"task={{folder: data/{name}, limit: 10}}", "policy={name: scripted, script: oracle}", *words]
    result = evaluation.evaluate(recipes.load("tiny", changes), tmp_path / "run")
    assert result["scores"]["em"]["mean"] == 1.0
