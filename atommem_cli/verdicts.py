"""The judge's pass over a run: after the episodes, one verdict per answer, appended as they come.

    verdicts.jsonl   one line per episode: `correct`, one 0 or 1 per question; `replies`, where there is something to
                     say of how the judge's came: thought, cut or empty, once for each

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
from atommem_cli.replies import marked
from atommem_cli.thoughts import Marks, marks_of
from atommem_cli.types import UNANSWERED, Expects, Finish, Generation, Observation, Question

TRIES = 3
"""Askings per answer."""
TOKENS = 512
"""New tokens of a verdict; some judges think first."""


def judge(recipe: Recipe, run: RunFolder, questions: Mapping[str, Sequence[Question]]) -> None:
    """Judge every episode that has no verdict yet, given the questions of each task by the task's name.

    Raises:
        AtommemError: the judge gave no readable verdict on a sample; names it, when all others are judged.
        BackendError: the judge cannot be reached; the verdicts that had come are kept.
    """
    assert recipe.eval.judge is not None
    verdicts = Lines(run.path / "verdicts.jsonl")
    try:
        judged = {line["episode"]: line["steps"] for line in verdicts.read()}
        # A failed episode that was played again has other steps, and is judged again.
        waiting = [line for line in latest(run.episodes.read()) if judged.get(line["episode"]) != line["steps"]]
        module, options = recipes.plugin("policies", recipe.eval.judge)
        policy = module.build(options)
        marks = marks_of(recipe.eval.judge.model_extra)
        problems: list[str] = []
        for at in range(0, len(waiting), policy.batch):
            lines = waiting[at : at + policy.batch]
            cases = [
                (f"{line['episode']} question {i}", question, answer["text"])
                for line in lines
                for i, (question, answer) in enumerate(zip(questions[line["task"]], line["answers"], strict=True))
            ]
            # An empty answer is wrong without asking.
            found: list[float | None] = [None if answer else 0.0 for _, _, answer in cases]
            came: list[list[str]] = [[] for _ in cases]
            try:
                problems += _ask_until_readable(policy, cases, found, came, recipe.seed, marks)
            finally:
                correct, told = iter(found), iter(came)
                for line in lines:
                    scores = [next(correct) for _ in line["answers"]]
                    how = [name for _ in line["answers"] for name in next(told)]
                    if None not in scores:
                        verdict = {"episode": line["episode"], "steps": line["steps"], "correct": scores}
                        verdicts.append({**verdict, **({"replies": how} if how else {})})
        if problems:
            more = f" (and on {len(problems) - 1} more answers)" if problems[1:] else ""
            raise AtommemError(f"the judge gave no verdict after {TRIES} tries on {problems[0]}{more}")
    finally:
        verdicts.close()


def _ask_until_readable(
    policy: Policy | ServerPolicy,
    cases: Sequence[tuple[str, Question, str]],
    scores: list[float | None],
    came: list[list[str]],
    seed: int,
    marks: Marks,
) -> list[str]:
    """Fill in the scores that are None, and how the replies came, one per case; what is wrong with those that stay so.

    Raises:
        BackendError: the judge cannot be reached; what it had said before is filled in.
    """
    problems: dict[int, str] = {}
    for attempt in range(TRIES):
        open_cases = [i for i, score in enumerate(scores) if score is None]
        calls = []
        for i in open_cases:
            name, question, answer = cases[i]
            messages = judge_messages(question.text, question.answers, answer)
            observation = Observation(messages, TOKENS, Expects.ANSWER)
            calls.append(Call(None, observation, seeds.derive(seed, "judge", name, attempt)))
        replies, down = _replies(policy, calls)
        for i, reply in zip(open_cases, replies, strict=True):
            if reply is not None:
                if reply.finish not in UNANSWERED:
                    came[i] += marked(reply.text, reply.finish, marks)
                try:
                    scores[i] = _verdict(reply, marks)
                except UnreadableVerdict as error:
                    problems[i] = f"{cases[i][0]}: {error}"
        if down is not None:
            raise down
    return [problem for i, problem in problems.items() if scores[i] is None]


def _verdict(reply: Generation, marks: Marks) -> float:
    """1 or 0.

    Raises:
        UnreadableVerdict: the reply holds none.
    """
    if reply.finish in UNANSWERED:
        raise UnreadableVerdict(reply.error or "the judge's window is too small")
    try:
        return float(parse_verdict(reply.text, marks))
    except UnreadableVerdict as error:
        if reply.finish is not Finish.LENGTH:
            raise
        raise UnreadableVerdict(
            f"{error}, which its limit cut off: {TOKENS} new tokens, unless eval.judge.extra says more, as in "
            "{max_tokens: 4096}"
        ) from None


def _replies(
    policy: Policy | ServerPolicy, calls: Sequence[Call]
) -> tuple[Sequence[Generation | None], BaseException | None]:
    """The replies; None in the place of those that had not come when the server failed for good, and that failure."""
    if not calls:
        return [], None
    if not isinstance(policy, ServerPolicy):
        return policy.generate(calls), None
    server = policy

    async def ask_all() -> list[Generation | BaseException]:
        slots = asyncio.Semaphore(server.batch)

        async def ask(call: Call) -> Generation:
            async with slots:
                return await server.reply(call)

        asked = [asyncio.ensure_future(ask(call)) for call in calls]
        try:
            await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for one in asked:
                one.cancel()
            ended = await asyncio.gather(*asked, return_exceptions=True)
            await server.close()
        return ended

    ended = asyncio.run(ask_all())
    failures = (e for e in ended if not isinstance(e, Generation | asyncio.CancelledError))
    return [e if isinstance(e, Generation) else None for e in ended], next(failures, None)
