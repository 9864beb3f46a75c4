"""Whole runs against a server with a fault: what ends up in the run folder, and what a person reads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from commands import ATOMMEM, atommem
from fake_server import Server

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import BackendError
from atommem_cli.data import preparation
from atommem_cli.running import evaluation
from atommem_cli.runs import provenance

TASKS = 8


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    preparation.prepare("stream", out="data/stream", limit=TASKS, options={"style": "rich"})


def changes(url: str, **more: str) -> list[str]:
    policy = f"policy={{name: openai_server, url: '{url}', model: m, retries: 0}}"
    asked = ["agent.dialect=paper", "store={name: exact}", "chunk.by=documents", "chunk.tokens=64", policy]
    return [*asked, *(f"{key}={value}" for key, value in more.items())]


def recipe(url: str, **more: str) -> Recipe:
    return recipes.load("tiny", changes(url, **more))


def played(url: str, folder: str = "run", **more: str) -> dict[str, Any]:
    return evaluation.evaluate(recipe(url, **more), Path(folder))


@pytest.mark.parametrize("mode", ["key", "forbidden", "model", "quota", "refused", "reasoned", "notopp", "nosystem"])
def test_a_fault_of_every_call_is_one_sentence_however_many_episodes_wait(mode: str) -> None:
    with Server(latency=0.01) as server:
        url = server.at(mode)
        given = [word for change in changes(url) for word in ("--set", change)]
        done = atommem("eval", *given, "--out", "run", cwd=Path.cwd(), status=3)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) <= 3, done.stderr
    assert url in lines[-1]


def test_a_server_that_dies_under_many_episodes_is_one_sentence() -> None:
    with Server(latency=0.01) as server:
        url = server.at("operations")
        given = [word for change in [*changes(url), "policy.retries=1"] for word in ("--set", change)]
        dying = subprocess.Popen(
            [*ATOMMEM, "eval", *given, "--out", "run"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        while len(server.bodies) < 8 and dying.poll() is None:
            time.sleep(0.01)
    _, told = dying.communicate(timeout=120)
    lines = [line for line in told.splitlines() if line.startswith("atommem: ")]
    assert (dying.returncode, len(lines)) == (3, 1), told
    assert "Traceback" not in told
    assert f"no server answers at {url}" in lines[0]


def test_an_outage_is_a_failed_episode_that_the_next_command_plays_again() -> None:
    with Server() as server:
        first = played(server.at("broken"))
        assert (first["stops"], len(first["failed"])) == ({"error": TASKS}, TASKS)
        assert "upstream failed" in first["failed"][0]["error"]
        told = provenance.told(Path("run"), TASKS, len(first["failed"]))
        assert told == f"written; {TASKS} of {TASKS} episodes failed: the same command tries them again"


def test_what_a_filter_withholds_is_counted_by_its_own_name_and_not_played_again() -> None:
    with Server() as server:
        result = played(server.at("filter"))
        assert (result["stops"], result["failed"]) == ({"filtered": TASKS}, [])
        asked = len(server.bodies)
        assert played(server.at("filter"))["stops"] == {"filtered": TASKS}
        assert len(server.bodies) == asked


@pytest.mark.parametrize("mode", ["vllm", "gemini", "lmstudio"])
def test_an_overflow_is_one_on_every_server(mode: str) -> None:
    with Server() as server:
        result = played(server.at(mode))
    assert (result["stops"], result["failed"]) == ({"context_overflow": TASKS}, [])


def test_replies_without_a_word_are_replies() -> None:
    with Server() as server:
        result = played(server.at("spent"))
    assert result["stops"] == {"answered": TASKS}
    calls = result["steps"]["all"]
    assert [result["replies"][name] for name in ("all", "cut", "other", "empty")] == [calls, calls, 0, calls]
    assert f"| replies | {calls} cut at their limit, {calls} empty of {calls} |" in Path("run/table.md").read_text()
    assert "words (policy.tokenizer is not set) by documents" in Path("run/table.md").read_text()
    assert {json.loads(line)["finish"] for line in Path("run/steps.jsonl").read_text().splitlines()} == {"length"}


def test_an_end_that_is_not_known_is_counted() -> None:
    with Server() as server:
        result = played(server.at("grue"))
        whole = played(server.at("operations"), "whole")
    assert result["replies"]["other"] == result["steps"]["all"]
    assert "ended for a reason that is not known" in Path("run/table.md").read_text()
    assert not any(whole["replies"][name] for name in ("cut", "other", "empty"))
    assert "| replies |" not in Path("whole/table.md").read_text()


def test_settings_that_the_sentences_name_help() -> None:
    with Server() as server:
        for mode, key, value in (("nosystem", "policy.system", "merge"), ("notopp", "policy.extra", "{top_p: null}")):
            assert played(server.at(mode), mode, **{key: value})["stops"] == {"answered": TASKS}


@pytest.mark.parametrize("mode", ["noindex", "plain"])
def test_embeddings_of_a_server(mode: str) -> None:
    with Server() as server:
        embedder = f"{{name: openai_server, url: '{server.at(mode) if mode != 'plain' else server.url}', model: e, "
        result = played(server.at("operations"), mode, embedder=embedder + "dimension: 3}")
    assert result["stops"] == {"answered": TASKS}


def test_a_text_that_is_too_long_for_the_embedder_names_its_episode_and_the_key_that_helps() -> None:
    with Server() as server:
        embedder = f"{{name: openai_server, url: '{server.at('short')}', model: e, dimension: 3%s}}"
        wordy = server.at("wordy")
        with pytest.raises(BackendError, match=r"^stream-validation-0000\d#0: a text of \d+ characters") as caught:
            played(wordy, embedder=embedder % "")
        assert "embedder.max_tokens" in str(caught.value)
        cut = played(wordy, "cut", embedder=embedder % ", max_tokens: 20")
    assert cut["stops"] == {"answered": TASKS}


def test_a_run_that_was_killed_comes_to_the_digest_of_an_undisturbed_one() -> None:
    with Server(latency=0.02) as server:
        url = server.at("operations")
        undisturbed = played(url, "undisturbed")["digest"]
        given = [word for change in changes(url) for word in ("--set", change)]
        asked = len(server.bodies)
        killed = subprocess.Popen([*ATOMMEM, "eval", *given, "--out", "run"], stderr=subprocess.DEVNULL)
        while len(server.bodies) < asked + 20 and killed.poll() is None:
            time.sleep(0.01)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        assert not Path("run/summary.json").exists()
        assert played(url)["digest"] == undisturbed
