"""The judge's pass over a run: after the episodes, one verdict per answer, appended as they come.

    verdicts.jsonl   one line per episode: `correct`, one 0 or 1 per question

A reply without a readable verdict is asked for again; if it stays so, the run fails with the sample's
name. It never becomes a score.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from atommem_cli import recipe as recipes
from atommem_cli import seeds
from atommem_cli.episode import Call, Policy, ServerPolicy
from atommem_cli.errors import AtommemError
from atommem_cli.jsonlines import Lines
from atommem_cli.judging import UnreadableVerdict, judge_messages, parse_verdict
from atommem_cli.recipe import Recipe
from atommem_cli.records import RunFolder, latest
from atommem_cli.types import UNANSWERED, Expects, Generation, Observation, Question

TRIES = 3
"""Askings per answer."""
_TOKENS = 512
"""New tokens of a verdict; some judges think first."""


def judge(recipe: Recipe, run: RunFolder, questions: Mapping[str, Sequence[Question]]) -> None:
    """Judge every episode that has no verdict yet, given the questions of each task by the task's name.

    Raises:
        AtommemError: the judge gave no readable verdict on a sample; names it.
        BackendError: the judge cannot be reached.
    """
    assert recipe.eval.judge is not None
    verdicts = Lines(run.path / "verdicts.jsonl")
    try:
        judged = {line["episode"]: line["steps"] for line in verdicts.read()}
        # A failed episode that was played again has other steps, and is judged again.
        waiting = [line for line in latest(run.episodes.read()) if judged.get(line["episode"]) != line["steps"]]
        module, options = recipes.plugin("policies", recipe.eval.judge)
        policy = module.build(options)
        for at in range(0, len(waiting), policy.batch):
            lines = waiting[at : at + policy.batch]
            cases = [
                (f"{line['episode']} question {i}", question, answer["text"])
                for line in lines
                for i, (question, answer) in enumerate(zip(questions[line["task"]], line["answers"], strict=True))
            ]
            correct = iter(_ask_until_readable(policy, cases, recipe.seed))
            for line in lines:
                scores = [next(correct) for _ in line["answers"]]
                verdicts.append({"episode": line["episode"], "steps": line["steps"], "correct": scores})
    finally:
        verdicts.close()


def _ask_until_readable(
    policy: Policy | ServerPolicy, cases: Sequence[tuple[str, Question, str]], seed: int
) -> list[float]:
    """One score per case. An empty answer is wrong without asking."""
    scores: dict[int, float] = {i: 0.0 for i, (_, _, answer) in enumerate(cases) if not answer}
    problem = ""
    for attempt in range(TRIES):
        open_cases = [i for i in range(len(cases)) if i not in scores]
        calls = []
        for i in open_cases:
            name, question, answer = cases[i]
            messages = judge_messages(question.text, question.answers, answer)
            observation = Observation(messages, _TOKENS, Expects.ANSWER)
            calls.append(Call(None, observation, seeds.derive(seed, "judge", name, attempt)))
        for i, reply in zip(open_cases, _replies(policy, calls), strict=True):
            try:
                if reply.finish in UNANSWERED:
                    raise UnreadableVerdict(reply.error or "the judge's window is too small")
                scores[i] = float(parse_verdict(reply.text))
            except UnreadableVerdict as error:
                problem = f"{cases[i][0]}: {error}"
    if len(scores) < len(cases):
        raise AtommemError(f"the judge gave no verdict after {TRIES} tries on {problem}")
    return [scores[i] for i in range(len(cases))]


def _replies(policy: Policy | ServerPolicy, calls: Sequence[Call]) -> list[Generation]:
    if not calls:
        return []
    if not isinstance(policy, ServerPolicy):
        return policy.generate(calls)
    server = policy

    async def ask_all() -> list[Generation]:
        slots = asyncio.Semaphore(server.batch)

        async def ask(call: Call) -> Generation:
            async with slots:
                return await server.reply(call)

        try:
            return list(await asyncio.gather(*map(ask, calls)))
        finally:
            await server.close()

    return asyncio.run(ask_all())
