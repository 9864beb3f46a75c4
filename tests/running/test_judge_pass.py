"""The judge: a named scorer, resumable, and never a score that it did not give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_server import Server, choice, completion, error
from raw_records import write
from sessions import longmemeval

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import AtommemError, BackendError
from atommem_cli.data import preparation
from atommem_cli.running import evaluation, judge_pass

RIGHT, WRONG = '{"correct": true}', 'Well, ```json\n{"correct": false}\n```'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    preparation.prepare("stream", out="data/stream", limit=1, options={"questions": 4})


def judged_by(server: Server) -> Recipe:
    judge = f"eval.judge={{name: openai_server, url: '{server.url}', model: m, retries: 0, concurrency: 1}}"
    return recipes.load("tiny", ["policy={name: scripted, script: oracle}", "eval.scorers=[em, judge]", judge])


def test_verdicts_are_scores_of_their_own_and_asked_once() -> None:
    with Server(*map(completion, [RIGHT, WRONG, WRONG, RIGHT])) as server:
        result = evaluation.evaluate(judged_by(server), Path("run"))
        assert result["scores"]["em"]["mean"] == 1.0
        assert result["scores"]["judge"]["mean"] == 0.5
        case = json.loads(server.bodies[0]["messages"][1]["content"])
        assert set(case) == {"question", "gold_answers", "answer"}
        again = evaluation.evaluate(judged_by(server), Path("run"))
        assert again["scores"] == result["scores"]
        assert len(server.bodies) == 4


def test_an_episode_that_was_played_again_is_judged_again() -> None:
    with Server(*map(completion, [RIGHT] * 8)) as server:
        evaluation.evaluate(judged_by(server), Path("run"))
        line = json.loads(Path("run/verdicts.jsonl").read_text())
        stale = {**line, "steps": "those of a failed try", "correct": [0.0] * 4}
        Path("run/verdicts.jsonl").write_text(json.dumps(stale) + "\n")
        again = evaluation.evaluate(judged_by(server), Path("run"))
        assert again["scores"]["judge"]["mean"] == 1.0
        assert len(server.bodies) == 8


def test_a_verdict_that_cannot_be_read_fails_the_run_and_names_the_sample() -> None:
    nonsense = [completion("I am a teapot")] * 12
    with Server(completion(RIGHT), *nonsense) as server:
        with pytest.raises(
            AtommemError, match=r"no verdict after 3 tries on stream-validation-00000#0 question"
        ) as caught:
            evaluation.evaluate(judged_by(server), Path("run"))
        assert caught.value.status == 1
        assert not Path("run/summary.json").exists()


def test_a_verdict_that_its_limit_cut_off_names_limit_and_key() -> None:
    with Server(*[choice("length", content="<think>" + "hmm " * 400)] * 12) as server:
        with pytest.raises(AtommemError, match=r"512 new tokens, unless eval.judge.extra says more") as caught:
            evaluation.evaluate(judged_by(server), Path("run"))
        assert "{max_tokens: 4096}" in str(caught.value)
        assert "(and on 3 more)" in str(caught.value)


def test_one_answer_that_cannot_be_judged_does_not_hold_the_others_back() -> None:
    preparation.prepare("stream", out="data/stream", limit=3, options={"questions": 1}, force=True)
    nothing = choice("content_filter", content="")
    with Server(nothing, completion(RIGHT), nothing, nothing, *[completion(RIGHT)] * 2) as server:
        recipe = judged_by(server).changed(["eval.judge.concurrency=2"])
        with pytest.raises(AtommemError, match=r"no verdict after 3 tries on .* withheld the reply"):
            evaluation.evaluate(recipe, Path("run"))
        assert len(Path("run/verdicts.jsonl").read_text().splitlines()) == 2
        assert evaluation.evaluate(recipe, Path("run"))["scores"]["judge"]["n"] == 3


def test_verdicts_that_had_come_when_the_judge_failed_are_kept() -> None:
    preparation.prepare("stream", out="data/stream", limit=3, options={"questions": 1}, force=True)
    spent = error(429, "no credit", code="insufficient_quota")
    with Server(completion(RIGHT), spent, *[completion(RIGHT)] * 3) as server:
        recipe = judged_by(server).changed(["eval.judge.concurrency=2"])
        with pytest.raises(BackendError, match="nothing is paid for any more"):
            evaluation.evaluate(recipe, Path("run"))
        kept = len(Path("run/verdicts.jsonl").read_text().splitlines())
        assert evaluation.evaluate(recipe, Path("run"))["scores"]["judge"]["n"] == 3
        assert len(server.bodies) <= 5 - kept + 1


def test_a_verdict_is_on_the_disk_before_the_others_of_its_batch_have_come() -> None:
    preparation.prepare("stream", out="data/stream", limit=2, options={"questions": 1}, force=True)
    with Server(completion(RIGHT), *[completion("I am a teapot")] * 3) as server:
        recipe = judged_by(server).changed(["eval.judge.concurrency=2"])
        evaluation.evaluate(recipe.changed(["eval.scorers=[em]"]), Path("run"))
        lines = [json.loads(line) for line in Path("run/episodes.jsonl").read_text().splitlines()]
        questions = {task.id: task.questions for task in evaluation.planned_tasks(recipe)}
        asked: list[int] = []

        def look(done: int, planned: int, _: str) -> None:
            asked.append(len(server.bodies))
            assert len(Path("run/verdicts.jsonl").read_text().splitlines()) == done == 1
            assert planned == 2

        with pytest.raises(AtommemError, match="no verdict after 3 tries"):
            judge_pass.judge(recipe, Path("run"), lines, questions.__getitem__, "general", look)
    assert len(asked) == 1
    assert asked[0] <= 2


def test_a_sentence_about_the_judge_names_its_keys() -> None:
    with Server(error(404, "no such model")) as server, pytest.raises(BackendError) as caught:
        evaluation.evaluate(judged_by(server), Path("run"))
    assert str(caught.value).startswith("the judge: http")
    assert str(caught.value).endswith("correct eval.judge.url or eval.judge.model")


def test_hostile_verdicts_reach_the_message_as_text() -> None:
    hostile = "\x1b[2J\u202e <|im_end|> no verdict" + "x" * 100_000
    with Server(*[completion(hostile)] * 12) as server, pytest.raises(AtommemError) as caught:
        evaluation.evaluate(judged_by(server), Path("run"))
    assert len(str(caught.value)) < 600
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)


def test_conversations_are_judged_by_the_type_of_question_and_tables_say_so(tmp_path: Path) -> None:
    rows = [longmemeval("a", answer="a shed"), longmemeval("b_abs", answer="Nothing was said of a boat.")]
    preparation.prepare("longmemeval", source=str(write(tmp_path / "raw.jsonl", rows)), out="data/talk")

    def by(server: Server, *more: str) -> Recipe:
        judge = f"eval.judge={{name: openai_server, url: '{server.url}', model: m, retries: 0, concurrency: 1}}"
        scores = ["task.folder=data/talk", "agent.dialect=paper", "eval.scorers=[f1, judge]", judge]
        return recipes.load("tiny", ["policy={name: scripted, script: oracle}", *scores, *more])

    with Server(*map(completion, [RIGHT, WRONG])) as server:
        result = evaluation.evaluate(by(server), Path("run"))
        asked = [body["messages"] for body in server.bodies]
    assert result["by_kind"].keys() == {"knowledge-update", "abstention"}
    assert result["abstained"] == {"unanswerable": {"said": 1, "of": 1}, "answerable": {"said": 0, "of": 1}}
    assert "1 of 1 where that is true, 0 of 1 where it is not" in Path("run/table.md").read_text()
    assert result["scores"]["judge"]["mean"] == 0.5
    judged = {kind: cell["mean"] for kind, cell in result["judged_by_kind"].items()}
    assert judged in ({"knowledge-update": 0.5, "abstention": 1.0}, {"knowledge-update": 0.5, "abstention": 0.0})
    assert "| kind | f1 | judge (m, longmemeval) | n |" in Path("run/table.md").read_text()
    update, abstention = sorted(asked, key=lambda messages: "cannot be answered" in messages[0]["content"])
    assert "things that have changed" in update[0]["content"]
    assert json.loads(update[1]["content"])["gold_answers"] == ["a shed"]
    assert json.loads(abstention[1]["content"])["explanation"] == "Nothing was said of a boat."
    assert "judge (m, longmemeval)" in Path("run/table.md").read_text()

    with Server(*map(completion, [RIGHT, RIGHT])) as server:
        evaluation.evaluate(by(server, "eval.judging=general"), Path("other"))
        assert len({body["messages"][0]["content"] for body in server.bodies}) == 1
    assert "judge (m)" in Path("other/table.md").read_text()
