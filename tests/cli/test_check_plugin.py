"""`atommem check ROOM NAME`: the promises of one plug-in, kept or broken, and what is typed wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atommem_cli.cli.commands import app
from atommem_cli.core.errors import BackendError, RecipeError, SourceError, UsageError

HASTY = """
'''Answers nothing where the policy says nothing.'''
from atommem_cli import AgentOptions as Options, Speaker, ask


class Hasty(Speaker):
    name = "hasty"

    def play(self, episode):
        for number in range(len(episode.task.questions)):
            reply = yield from ask(self.answering(episode, number, {}))
            if reply.text:
                episode.give(number, self.dialect.answer(reply.text))


build = Hasty
"""
REWARD = """
from pydantic import BaseModel


class Options(BaseModel):
    weight: float


def build(options):
    return lambda pairs: [options.weight] * len(pairs)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hasty.py").write_text(HASTY)
    (tmp_path / "reward.py").write_text(REWARD)
    return tmp_path


def check(*words: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["check", *words])
    assert done.exit_code == status, (done.exception, done.output)
    return done.output


def test_each_promise_that_is_kept_is_named() -> None:
    lines = check("agents", "rag").splitlines()
    assert all(line.startswith("ok    ") for line in lines)
    assert (
        "ok    parse is the inverse of write: `parse` reads out of a reply the operations that `write` put in." in lines
    )
    assert check("agent", "rag").splitlines() == lines, "the word of recipes is known, as for `options`"


def test_a_broken_promise_is_one_sentence_and_the_status_is_1() -> None:
    lines = check("agents", "./hasty.py", status=1).splitlines()
    (failed,) = (line for line in lines if line.startswith("FAIL  no reply stops it: "))
    assert "scripted:mute no answer is handed in to question 0, 1 of 2, counted from 0: call episode.give(" in failed
    assert len(lines) == len(check("agents", "rag").splitlines()), "the others are looked at all the same"
    told = json.loads(check("agents", "./hasty.py", "--json", status=1))
    assert [one["name"] for one in told if not one["ok"]] == [
        line[6:].split(":")[0] for line in lines if line[:4] == "FAIL"
    ]


def test_a_module_that_cannot_be_built_is_looked_at_as_far_as_that_goes() -> None:
    assert check("rewards", "./reward.py", status=1).splitlines() == [
        "FAIL  it needs no key: Options needs weight: give every key a default"
    ]


def test_keys_are_set_as_for_a_run() -> None:
    told = {
        json.dumps(json.loads(check("policies", "scripted", "--set", f"policy.script={one}", "--json")))
        for one in ("mute", "random")
    }
    assert len(told) == 1
    assert check("agents", "atommem", "--recipe", "8b").startswith("ok")
    assert check("tasks", "stream", "--set", "style=rich").startswith("ok")


@pytest.mark.parametrize(
    ("words", "kind", "told"),
    [
        (["frogs"], UsageError, r"frogs: no such room \(there are: agents, .*, rewards, dialects\)"),
        (["agent"], UsageError, r"check agents: name one of them, or a file \(there are: a_mem, agemem, atommem"),
        (["agents", "rga"], RecipeError, r"no 'rga' in agents; did you mean 'rag'\?"),
        (["agents", "rag", "--set", "agent.dialekt=tiny"], RecipeError, "agent.dialekt: unknown key of rag"),
        (["policies", "openai_server"], RecipeError, "policy.url: openai_server needs this key"),
        (["dialects", "tinny"], UsageError, r"no 'tinny' in dialects; did you mean 'tiny'\?"),
        (["rewards", "emm"], UsageError, "no 'emm' in rewards"),
        (["tasks", "strem"], UsageError, r"strem: no such source; did you mean 'stream'\?"),
        (["tasks", "stream", "--set", "dox=3"], UsageError, r"stream has no option 'dox'; did you mean 'docs'\?"),
        (["tasks", "hotpotqa", "--source", "nowhere"], SourceError, "nowhere"),
        (["dialects", "tiny", "--set", "x=1"], UsageError, "--set: is not for dialects"),
        (["agents", "rag", "--source", "x"], UsageError, "--source: is not for agents"),
        (["rewards", "em", "--recipe", "8b"], UsageError, "--recipe: is not for rewards"),
        (["--source", "x"], UsageError, "--source: is for `atommem check tasks NAME`"),
        (["policies", "openai_server", "--set", "policy.url=http://127.0.0.1:9/v1", "--set", "policy.model=m", "--set",
          "policy.retries=0"], BackendError, "start it, or correct policy.url"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)  # fmt: skip
def test_what_is_typed_wrong_is_one_sentence(words: list[str], kind: type[Exception], told: str) -> None:
    done = CliRunner().invoke(app, ["check", *words])
    assert isinstance(done.exception, kind), (done.exception, done.output)
    with pytest.raises(kind, match=told):
        raise done.exception
