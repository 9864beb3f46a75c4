"""AgeMem with tools that are told apart from the messages: by a chat template, or in the request of a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import Says, agent, episode, rollout, script, store, task
from fake_server import Answer, Server, choice
from little_tokenizers import bpe, hermes
from transformers import Qwen3Config, Qwen3ForCausalLM

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core import tool_calls
from atommem_cli.core.calls import Expects
from atommem_cli.core.errors import UsageError
from atommem_cli.core.tool_calls import ToolCall
from atommem_cli.core.types import MemoryOp, OpKind, Trajectory
from atommem_cli.data import preparation
from atommem_cli.models import words
from atommem_cli.policies import hf
from atommem_cli.replay import replay
from atommem_cli.running.build import assemble
from atommem_cli.running.evaluation import evaluate, planned_tasks
from atommem_cli.runs.digests import prompt_hash
from atommem_cli.runs.reader import Run
from atommem_cli.training import demonstrations, grpo, learners, plan_grpo

NAMES = ["Add_memory", "Update_memory", "Delete_memory", "Retrieve_memory", "Summary_context", "Filter_context"]
ANSWER = "<answer>Velt</answer>"


def called(*calls: tuple[str, dict[str, Any]], said: str = "") -> str:
    return tool_calls.write(said, [ToolCall(*call) for call in calls])


def add(text: str) -> tuple[str, dict[str, Any]]:
    return "Add_memory", {"content": text}


def played(*replies: str, dropped: frozenset[OpKind] = frozenset(), **options: Any) -> Trajectory:
    where = store()
    by = agent("agemem", calling="native", **options)
    (trajectory,) = rollout(where).play(
        Says(script(*replies)), [episode(task(), where, by=by, size=5, dropped=dropped)]
    )
    return trajectory


# --- what the policy is told


def test_tools_are_told_apart_and_the_instructions_hold_no_manual() -> None:
    asked = played("", "", ANSWER).transitions[0].observation
    assert [tool.name for tool in asked.tools] == NAMES
    assert not any(name in message.content for message in asked.messages for name in NAMES)
    needed = {tool.name: json.loads(tool.parameters)["required"] for tool in asked.tools}
    assert needed == {  # the paper's schemas (papers.md 2.1)
        "Add_memory": ["content"],
        "Update_memory": ["memory_id", "content"],
        "Delete_memory": ["memory_id", "confirmation"],
        "Retrieve_memory": ["query"],
        "Summary_context": ["span"],
        "Filter_context": ["criteria"],
    }
    coded = played("", "", ANSWER, version="coded").transitions[0].observation
    assert coded.tools[-1].name == "Clear_context"
    less = played("", "", ANSWER, dropped=frozenset({OpKind.CREATE})).transitions[0].observation
    assert [tool.name for tool in less.tools] == NAMES[1:]


def test_prompts_with_other_tools_are_other_prompts() -> None:
    whole, less = (
        played("", "", ANSWER, dropped=dropped).transitions[0].observation
        for dropped in (frozenset[OpKind](), frozenset({OpKind.FILTER}))
    )
    assert [m.content for m in whole.messages] == [m.content for m in less.messages]
    assert prompt_hash(whole) != prompt_hash(less)


def test_tools_take_room_in_the_context() -> None:
    asked = played("", "", ANSWER).transitions[0].observation
    count = Says(str).tokenizer.spans
    told = sum(len(count(message.content)) for message in asked.messages)
    schemas = sum(len(count(json.dumps(tool.function))) for tool in asked.tools)
    assert schemas > 100
    assert asked.room == 8192 - told - schemas


def test_each_result_is_a_message_of_its_own_behind_its_call() -> None:
    both = called(add("Ada: Velt"), ("Fly", {}), ("Retrieve_memory", {"query": "Ada"}))
    steps = played(both, "", ANSWER).transitions
    roles = [(message.role, message.content.partition(":")[0]) for message in steps[1].observation.messages[2:]]
    assert roles == [
        ("assistant", both.partition(":")[0]),
        ("tool", "Add_memory"),
        ("tool", "Add_memory"),
        ("tool", "Retrieve_memory"),
        ("user", "Entries of your memory that are near to the next message"),
    ]
    assert "there is no tool Fly" in steps[1].observation.messages[4].content
    turns = tool_calls.turns(steps[1].observation.messages)
    assert len(turns[2]["tool_calls"]) == 3
    nothing = played("", "", ANSWER).transitions[1].observation
    assert [message.role for message in nothing.messages] == ["system", "user", "assistant", "user"]


def test_what_is_written_is_read_again() -> None:
    spoken: Any = agent("agemem", calling="native")
    ops = (MemoryOp(OpKind.CREATE, "a </tool_call> b"), MemoryOp(OpKind.DELETE, target=2), MemoryOp(OpKind.READ, "c"))
    text = spoken.write(Expects.ANSWER, ops, "Velt")
    assert spoken.parse(Expects.ANSWER, text) == ops
    assert spoken.answer(text).text == "Velt"
    assert len(tool_calls.read(text)[1]) == 3
    assert spoken.write(Expects.OPERATIONS, ()) == ""


def test_tags_are_no_calls() -> None:
    with pytest.raises(UsageError, match=r"^agent\.calling=native: calls are JSON there, and agent\.dialect=tiny"):
        agent("agemem", calling="native", dialect="tiny")


def test_the_default_says_nothing_of_it() -> None:
    plain = agent("agemem")
    assert "calling" not in plain.describe()
    assert plain.options.model_dump() == agent("agemem", calling="text").options.model_dump()  # type: ignore[attr-defined]
    assert "calling" not in plain.options.model_dump()  # type: ignore[attr-defined]


# --- runs


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks, and a model of noise whose template knows tools."""
    where = tmp_path_factory.mktemp("native")
    options = {"docs": 6, "questions": 1, "style": "rich"}
    preparation.prepare("stream", out=where / "data", split="validation", options=options, distractors=2, limit=4)
    tokenizer = hermes()
    tokenizer.save_pretrained(where / "model")
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, head_dim=16, eos_token_id=tokenizer.eos_token_id, max_position_embeddings=40_000,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(where / "model")
    return where


def recipe(home: Path, *changes: str, **sections: Any) -> Recipe:
    content: dict[str, Any] = {
        "name": "native",
        "task": {"folder": str(home / "data")},
        "chunk": {"tokens": 40, "overlap": 0, "by": "documents", "most": None},
        "memory": {"retrieve_k": 3},
        "limits": {"reply": 400, "answer": 100, "reads": 1},
        "agent": {"name": "agemem", "calling": "native"},
        "policy": {"name": "scripted", "script": "oracle"},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
        **sections,
    }
    return recipes.resolve(content, changes, origin="native")


def test_a_perfect_policy_is_always_right_and_a_replay_finds_nothing(home: Path, tmp_path: Path) -> None:
    result = evaluate(recipe(home), tmp_path / "run")
    assert result["scores"]["em"]["mean"] == 1.0
    assert replay.verify(Run(tmp_path / "run"), retrieve=True).findings == ()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["agent"]["calling"] == "native"


def test_calls_of_every_kind_in_their_own_blocks_end_and_are_replayed(home: Path, tmp_path: Path) -> None:
    tools = {"name": str(Path(__file__).parents[1] / "support" / "tool_calls.py")}
    chosen = recipe(home, "eval.repeats=3", policy=tools)
    result = evaluate(chosen, tmp_path / "run")
    assert sum(result["stops"].values()) == 12
    assert "error" not in result["stops"]
    assert replay.verify(Run(tmp_path / "run"), retrieve=True).findings == ()
    evaluate(chosen.changed(["policy.batch=1"]), tmp_path / "alone")
    ends = [
        sorted(
            (line["episode"], line["steps"]) for line in map(json.loads, (tmp_path / name / "episodes.jsonl").open())
        )
        for name in ("run", "alone")
    ]
    assert ends[0] == ends[1]


def prompts(home: Path) -> Iterator[tuple[Trajectory, Any]]:
    """Episodes of the model of noise, with the tokens of each prompt as it was asked."""
    chosen = recipe(home, policy={"name": "hf", "model": str(home / "model"), "temperature": 1.0, "batch": 4})
    chosen = chosen.changed(["limits={reply: 12, answer: 8, reads: 0}", "agent.context_tokens=30000"])
    parts = assemble(chosen)
    asked: Any = parts.policy
    for trajectory in parts.play(parts.episodes([*planned_tasks(chosen)][:2])):
        yield trajectory, asked


def test_a_model_in_this_process_is_told_by_its_template_and_keeps_its_replies_as_tokens(home: Path) -> None:
    for trajectory, asked in prompts(home):
        before: list[int] = []
        for step in trajectory.transitions:
            told = step.observation
            ids = asked._chat.prompt(told.messages, told.tools)
            text = asked._words.tokenizer.decode(ids)
            assert all(f'"name": "{name}"' in text for name in NAMES)
            assert len(ids) == step.generation.prompt_tokens
            cleared = len(told.messages) == 2
            assert cleared or ids[: len(before)] == before
            before = [*ids, *step.generation.token_ids]


def test_demonstrations_are_rows_with_the_tools_in_the_model_s_own_words(home: Path, tmp_path: Path) -> None:
    evaluate(recipe(home), tmp_path / "run")
    model = {"name": "hf", "model": str(home / "model")}
    chosen = recipe(home, policy=model, sft={"runs": [str(tmp_path / "run")]})
    _, known = words.load(hf.Options(model=str(home / "model")))
    found = demonstrations.collect(chosen, known, None)
    assert found.rows
    for row in found.rows:
        assert '"name": "Add_memory"' in known.tokenizer.decode(row.prompt)
    said = [known.tokenizer.decode(row.completion) for row in found.rows]
    assert any(tool_calls.read(text.removesuffix("<|im_end|>"))[1] for text in said)


def test_an_update_of_grpo_trains_the_prompts_with_tools_that_were_played(home: Path, tmp_path: Path) -> None:
    """Its rows are the prompts' own tokens; their number is what the template makes of each prompt, tools included."""
    keywords = {
        "num_generations": 2, "per_device_train_batch_size": 4, "max_steps": 1, "save_steps": 1, "learning_rate": 1e-3,
        "gradient_checkpointing": False, "scale_rewards": "none", "use_cpu": True,
    }  # fmt: skip
    section = {"rewards": {"format": 1.0}, "validation": 1, "keep_rollouts": 1, "trainer": keywords}
    section |= {"split": "validation", "micro_batch_tokens": 20_000}
    model = {"name": "hf", "model": str(home / "model")}
    chosen = recipe(home, "limits={reply: 12, answer: 8, reads: 0}", policy=model, grpo=section)
    chosen = chosen.changed(["agent.context_tokens=30000"])
    plan = plan_grpo.grpo(chosen)
    grpo.train(chosen, tmp_path / "grpo")
    kept = Run(tmp_path / "grpo" / "rollouts" / "step-00000")
    _, known = words.load(hf.Options(model=str(home / "model")))
    assert replay.verify(kept).findings == ()
    steps = [step for _, trajectory in replay.play(kept) for step in trajectory.transitions]
    for step in steps:
        told = step.observation
        assert [tool.name for tool in told.tools] == NAMES
        ids = known.chat.prompt(told.messages, told.tools)
        assert len(ids) == step.generation.prompt_tokens
    schemas = sum(len(known.counter.spans(json.dumps(tool.function))) for tool in steps[0].observation.tools)
    assert plan.prompt.low > schemas


def test_a_model_whose_template_has_no_tools_is_refused_before_it_loads(home: Path, tmp_path: Path) -> None:
    bpe().save_pretrained(tmp_path / "model")
    Qwen3Config().save_pretrained(tmp_path / "model")  # and no weights
    chosen = recipe(home, policy={"name": "hf", "model": str(tmp_path / "model")})
    for command in (lambda: evaluate(chosen, tmp_path / "run"), lambda: learners.check(chosen)):
        with pytest.raises(UsageError, match=r"^the chat template of \S+ shows no tools: set agent\.calling=text"):
            command()


# --- behind a server


class Serving(Server):
    """Calls one tool while it reads and answers in the end; refuses what OpenAI's servers refuse."""

    def _right(self, request: str, body: dict[str, Any]) -> Answer:
        if not request.startswith("POST /v1/chat/completions "):
            return super()._right(request, body)
        waiting: list[str] = []
        for turn in body["messages"]:
            if turn["role"] == "tool":
                assert turn["tool_call_id"] == waiting.pop(0)
            else:
                assert not waiting
            waiting += [call["id"] for call in turn.get("tool_calls", ())]
            assert all(type(json.loads(c["function"]["arguments"])) is dict for c in turn.get("tool_calls", ()))
        assert not waiting
        last = body["messages"][-1]["content"]
        if "Question:" in last:
            return choice("stop", role="assistant", content=ANSWER)
        functions = [
            {"name": "Add_memory", "arguments": json.dumps({"content": last[-40:]})},
            {"name": "Filter_context", "arguments": json.dumps({"messages": [len(body["messages"]) // 3]})},
            {"name": "Add_memory", "arguments": '{"content": "cut' if "Memory 2" in last else "{}"},
        ]
        calls = [{"id": str(n), "type": "function", "function": one} for n, one in enumerate(functions)]
        return choice("tool_calls", role="assistant", content=None, tool_calls=calls)


def test_a_server_gets_tools_and_its_calls_are_played_and_replayed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with Serving() as server:
        policy = {"name": "openai_server", "url": server.url, "model": "m", "retries": 0}
        result = evaluate(recipe(home, policy=policy), tmp_path / "run")
        bodies = server.bodies
    assert result["stops"] == {"answered": 4}
    assert result["failed"] == []
    assert [tool["function"]["name"] for tool in bodies[0]["tools"]] == NAMES
    assert any("tool_calls" in turn for turn in bodies[-1]["messages"])
    lines = [json.loads(line) for line in (tmp_path / "run" / "steps.jsonl").open()]
    outcomes = {(op["kind"], op["outcome"]) for line in lines for op in line["ops"]}
    assert {("create", "ok"), ("filter", "ok"), ("create", "malformed")} <= outcomes
    assert replay.verify(Run(tmp_path / "run"), retrieve=True).findings == ()
