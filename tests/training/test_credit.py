"""Credit of single operations: its tokens have what it was worth, and no others have anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import agent, task
from training_recipes import recipe

from atommem_cli.config import plugins
from atommem_cli.core.calls import Expects, Generation, GoldReply, Observation
from atommem_cli.core.calls import Message as Said
from atommem_cli.core.chunking import WordTokenizer
from atommem_cli.core.episode import Call
from atommem_cli.core.types import Answer, OpKind, StopReason, Trajectory, Usage
from atommem_cli.models import likelihood
from atommem_cli.policies import hf
from atommem_cli.replay import operation_prices
from atommem_cli.replay.answer_stage import Place
from atommem_cli.replay.operation_prices import OperationPrice
from atommem_cli.running import gold
from atommem_cli.running.stubs import StubPolicy
from atommem_cli.scoring import rewards
from atommem_cli.training import credit
from atommem_cli.training.rollouts import LearningPolicy
from training.test_trainer import made, published_gradient, trained

CREATE, DELETE = OpKind.CREATE, OpKind.DELETE
READING = ("chunk={tokens: 8, overlap: 0, by: documents, most: null}", "limits={reply: 24, answer: 10, reads: 1}")
SINGLE = "grpo.credit={name: operation, weight: 0.5}"


class Scripted(LearningPolicy):
    """Says what the demonstrator says, in the tokens of the model that learns."""

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        scripted = plugins.load("policies", "scripted")
        replies = scripted.build(scripted.Options(script="sloppy")).generate(calls)
        turns, words = self._student.turns, self._student.words
        rows, _ = turns.rows(calls)
        said = []
        for row, reply in zip(rows, replies, strict=True):
            ids = (*words.chat.reply(reply.text), words.end)
            said.append(replace(turns.reply(row, ids), prompt_ids=tuple(row.prompt), token_ids=ids))
        return said


def demonstrated(out: Path, *changes: str) -> Any:
    """One update of 2 tasks x 4 rollouts that the demonstrator played."""
    given = recipe(*READING, SINGLE, "grpo.rewards={em: 1.0}", *changes, max_steps=1)
    done = made(given, out, playing=Scripted)
    done.train()
    return done


# --- the centre


def price(kind: OpKind, value: float | None) -> OperationPrice:
    return OperationPrice(Place(0, 0), kind, value)


def test_a_rare_operation_keeps_its_price_and_what_everybody_does_has_none_left() -> None:
    everybody = [(0, [price(CREATE, -1.0)])] * 3 + [(0, [price(CREATE, -1.0), price(DELETE, 1.0)])]
    found = credit.centres([*everybody, (1, [price(CREATE, 1.0)])], 4)
    assert found[0, CREATE] == -1.0
    assert found[0, DELETE] == 0.25
    assert found[1, CREATE] == 0.25  # the others of that group wrote none
    several = [price(CREATE, 1.0), price(CREATE, 0.0), price(CREATE, None)]
    assert credit.centres([(0, several), (0, [])], 2)[0, CREATE] == 0.25


def test_what_is_seen_of_prices() -> None:
    ops = [[price(CREATE, 1.0), price(CREATE, None)], [price(DELETE, -0.5), price(CREATE, 0.0)]]
    expected = {"credit/priced": 1.5, "credit/unknown": 0.25, "credit/price/create": 0.5, "credit/price/delete": -0.5}
    assert credit.metrics(ops) == expected
    assert credit.metrics([[]]) == {"credit/priced": 0}


# --- which tokens


def test_the_tokens_of_an_operation_have_its_price_and_all_others_nothing(tmp_path: Path) -> None:
    done = demonstrated(tmp_path)
    played, advantages = done.seen[0]
    pairs = list(zip(played.tasks, played.trajectories, strict=True))
    parts, vocabulary = done._parts, done._policy._student.words.tokenizer
    found = operation_prices.prices(parts, pairs, rewards.of("em"), turn=played.turn)
    kinds = ("create", "read", "update", "delete")
    tags = [vocabulary.convert_tokens_to_ids(f"{bracket}{kind}>") for bracket in ("<", "</") for kind in kinds]
    opens, closes = tags[:4], tags[4:]
    expected, priced = {}, 0
    for at, (trajectory, ops) in enumerate(zip(played.trajectories, found.episodes, strict=True)):
        group = range(at // 4 * 4, at // 4 * 4 + 4)
        known = {op.place: op for op in ops if op.price is not None}
        for number, step in enumerate(trajectory.transitions):
            ids = step.generation.token_ids
            each = [advantages[at]] * len(ids)
            where = [i for i, token in enumerate(ids) if token in opens]
            assert len(where) == len(step.results)
            for place, begin in enumerate(where):
                op = known.get(Place(number, place))
                if op is None:
                    continue
                end = next(i for i in range(begin, len(ids)) if ids[i] in closes)
                means = []
                for other in group:
                    same = [o.price for o in found.episodes[other] if o.kind is op.kind and o.price is not None]
                    means.append(sum(same) / len(same) if same else 0.0)
                assert op.price is not None
                for token in range(begin, end + 1):
                    each[token] += 0.5 * (op.price - sum(means) / 4)
                priced += 1
            expected[step.generation.prompt_ids, ids, at] = each
    assert priced >= 8
    learned = 0
    for batch in (batch for slot in done.dealt[0] for batch in slot):
        for row in range(len(batch["prompt_ids"])):
            mask = batch["completion_mask"][row].bool()
            if not batch["tool_mask"][row].any():
                continue  # a filler
            prompt = tuple(batch["prompt_ids"][row][batch["prompt_mask"][row].bool()].tolist())
            reply = tuple(batch["completion_ids"][row][mask].tolist())
            has = batch["advantages"][row].expand(len(mask))[mask].tolist()
            assert any(
                has == pytest.approx(each, abs=1e-6)
                for (p, r, _), each in expected.items()
                if (p, r) == (prompt, reply)
            )
            learned += 1
    assert learned == sum(any(abs(value) > 1e-6 for value in each) for each in expected.values())


def test_the_gradient_has_the_credit_in_it(tmp_path: Path) -> None:
    done = demonstrated(tmp_path)
    played, advantages = done.seen[0]
    assert any(step for step in played.credits)
    truth = published_gradient(done.starts[0], played, advantages, "token", played.credits)
    without = published_gradient(done.starts[0], played, advantages, "token")
    scale = max(g.abs().max() for g in truth.values())
    for name, expected in truth.items():
        assert (done.gradients[0][name].double() - expected).abs().max() < 2e-6 * scale, name
    assert max((truth[name] - without[name]).abs().max() for name in truth) > 0.05 * scale


def test_prices_and_further_calls_are_measured(tmp_path: Path) -> None:
    done = demonstrated(tmp_path)
    line = done.state.log_history[0]
    played, _ = done.seen[0]
    found = operation_prices.prices(
        done._parts, list(zip(played.tasks, played.trajectories, strict=True)), rewards.of("em"), turn=played.turn
    )
    ops = [op for each in found.episodes for op in each]
    known = [op.price for op in ops if op.price is not None]
    assert line["credit/calls"] == found.calls > 0
    assert line["credit/priced"] == len(known) / 8
    assert line["credit/unknown"] == pytest.approx(1 - len(known) / len(ops))
    assert line["credit/price/create"] == pytest.approx(
        sum(op.price for op in ops if op.kind is CREATE and op.price is not None)
        / sum(op.kind is CREATE and op.price is not None for op in ops)
    )
    assert line["time/credit"] > 0


def test_without_weight_it_is_the_plain_training(tmp_path: Path) -> None:
    changes = ("agent.name=memagent", "grpo.rewards={format: 1.0}")
    plain = trained(recipe(*changes, max_steps=1), tmp_path / "plain")
    none = trained(recipe(*changes, "grpo.credit={name: operation, weight: 0}", max_steps=1), tmp_path / "none")
    for name, gradient in plain.gradients[0].items():
        assert torch.equal(none.gradients[0][name], gradient), name
    assert "credit/calls" not in plain.state.log_history[0]


# --- the gold's likelihood


def observation(text: str) -> Observation:
    return Observation((Said("user", text),), 10, Expects.ANSWER, question=0)


def test_the_likelihood_of_a_reply_is_the_models_own() -> None:
    policy = hf.build(hf.Options(model="tiny", init_seed=3))
    asked = [
        GoldReply(observation(prompt), reply, reply.index(word), reply.index(word) + len(word))
        for prompt in ("chunk : zorn home velt", "question : zorn home answer")
        for reply, word in (("<answer> velt </answer>", "velt"), ("<answer> dorn </answer>", "dorn"))
    ]
    found = policy.likelihoods([*asked, asked[0]])
    words = policy._words
    for one, value in zip(asked, found, strict=False):
        prompt, reply = words.chat.prompt(one.observation.messages), words.chat.reply(one.reply)
        logits = policy.model(input_ids=torch.tensor([[*prompt, *reply]])).logits[0].double().log_softmax(-1)
        gold_token = words.tokenizer.convert_tokens_to_ids(one.reply.split()[1])
        at = reply.index(gold_token)
        assert value == pytest.approx(logits[len(prompt) + at - 1, gold_token].item(), abs=1e-5)
    assert found[-1] == found[0]
    assert len(set(found)) == 4


def test_a_prompt_beyond_the_window_is_not_likely_at_all() -> None:
    policy = hf.build(hf.Options(model="tiny", window=8))
    asked = GoldReply(observation("zorn " * 20), "<answer> velt </answer>", 9, 13)
    assert policy.likelihoods([asked]) == [float("-inf")]
    assert likelihood.row(policy._words, asked) is None


def test_trainer_and_policy_say_the_same(tmp_path: Path) -> None:
    """The one shares tokens between rows, the other pads them."""
    done = made(recipe("grpo.micro_batch_tokens=60"), tmp_path)
    policy = hf.build(hf.Options(model="tiny"))
    policy.model.load_state_dict(done.model.state_dict())
    replies = ["<answer> velt </answer>", "<answer> unknown </answer>"]
    asked = [
        GoldReply(observation(f"zorn home velt {'dorn ' * n}"), reply, 9, len(reply) - 10)
        for n in range(7)
        for reply in replies
    ]
    assert done._policy.likelihoods(asked) == pytest.approx(policy.likelihoods(asked), abs=1e-4)
    assert done._policy.scored == 14


def test_the_likelihood_is_a_reward_and_a_price(tmp_path: Path) -> None:
    single = "grpo.credit={name: operation, price: likelihood, weight: 1}"
    done = trained(recipe("agent.name=memagent", single, "grpo.rewards={likelihood: 1.0}", max_steps=1), tmp_path)
    played, advantages = done.seen[0]
    policy = hf.build(hf.Options(model="tiny"))
    policy.model.load_state_dict(done.starts[0])
    value = gold.value(done._parts.agent, policy.likelihoods)
    pairs = list(zip(played.tasks, played.trajectories, strict=True))
    worth = value(pairs)
    mean = [sum(worth[at // 4 * 4 : at // 4 * 4 + 4]) / 4 for at in range(8)]
    assert advantages == pytest.approx([a - b for a, b in zip(worth, mean, strict=True)], abs=1e-4)
    assert max(map(abs, advantages)) > 1e-3
    silent = replace(done._parts, policy=StubPolicy(WordTokenizer()))  # nobody is asked
    found = operation_prices.prices(silent, pairs, value, held=True, turn=played.turn)
    assert found.calls == 0
    spread = [op.price for ops in found.episodes for op in ops if op.price is not None]
    assert len(spread) == 8
    assert len(set(spread)) > 4
    line = done.state.log_history[0]
    assert line["credit/price/scratchpad"] == pytest.approx(sum(spread) / 8, abs=1e-4)
    assert 0 < line["credit/calls"] <= 16


def test_a_question_that_was_not_asked_is_worth_the_least() -> None:
    def never(asked: Sequence[GoldReply]) -> list[float]:
        return [-50.0] * len(asked)

    about = task()
    nothing = (Answer(""), Answer(""))
    unasked = Trajectory("t-0#0", "t-0", 0, nothing, StopReason.STEP_LIMIT, (), Usage(), ())
    assert gold.value(agent(), never)([(about, unasked)]) == [gold.FLOOR]
