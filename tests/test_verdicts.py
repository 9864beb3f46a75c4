"""The judge: a named scorer, resumable, and never a score that it did not give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from policies._server import Server, completion

from atommem_cli import evaluation, preparation
from atommem_cli import recipe as recipes
from atommem_cli.errors import AtommemError
from atommem_cli.recipe import Recipe

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
