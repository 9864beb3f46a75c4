"""What evaluations would take, before anything loads but the policy's tokenizer.

Chunks, calls and new tokens are counted and bounded. Prompt tokens are estimated. The low figure: the first tasks are
really played by a policy that says nothing, so one call per chunk and question, in the prompts as they are rendered,
with an empty memory. The high one uses up every read, and adds two whole replies to each prompt: one for the
scratchpad, one for what is retrieved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.config.schema import chunks_of
from atommem_cli.core.calls import Expects, Generation
from atommem_cli.core.chunking import Span, Tokenizer
from atommem_cli.core.episode import Agent, Call
from atommem_cli.core.types import CONTEXT_OPS, Chunk, OpKind, Progress, Question, Task
from atommem_cli.core.workload import Declares, Shape, shape_of, workload_of
from atommem_cli.data.files import verify
from atommem_cli.running.build import assemble
from atommem_cli.running.evaluation import check_scorers, planned_tasks
from atommem_cli.running.judge_pass import TOKENS, TRIES
from atommem_cli.running.stubs import StubPolicy
from atommem_cli.runs.shards import WHOLE, Shard
from atommem_cli.runs.tables import Cost
from atommem_cli.scoring.llm_judge import NAME, instructions, judge_messages

PLAYED = 2
"""Tasks that are played for the length of their prompts."""


def plan(recipe: Recipe) -> Cost:
    """What one evaluation would take.

    Raises:
        SourceError: the tasks are not there.
        MissingExtra: the model's tokenizer is not here.
    """
    return plans([("", recipe)])[0][1]


def plans(
    named: Sequence[tuple[str, Recipe]], progress: Progress | None = None, shard: Shard = WHOLE
) -> list[tuple[str, Cost]]:
    """What several evaluations would take; each way to cut the tasks is counted once.

    Args:
        progress: called with tasks done, planned, and a remark.
        shard: whose share of each is meant.

    Raises:
        SourceError, MissingExtra: as `plan`.
    """
    counted: dict[str, _Counts] = {}
    measured: dict[str, Prompts] = {}
    for _, recipe in named:
        check_scorers(recipe, recipe.eval.scorers)
        counted.setdefault(_cut(recipe), _Counts(recipe))
    _count(list(counted.values()), progress, shard)
    found = []
    for name, recipe in named:
        counts, key = counted[_cut(recipe)], f"{_cut(recipe)} {recipe.agent!r} {recipe.memory.untold}"
        if key not in measured:
            measured[key] = prompts(recipe, counts.tokenizer, counts.first)
        found.append((name, _cost(recipe, counts, measured[key])))
        if NAME in recipe.eval.scorers and recipe.eval.judge is not None:
            found.append((f"{name}: {NAME}".removeprefix(": "), _judging(recipe, counts)))
    return found


def remarks(recipes: Sequence[Recipe]) -> list[str]:
    """What a reader of the plan must know of how the tokens in it are counted."""
    policies = [recipe.policy.model_extra or {} for recipe in recipes]
    models = [policy for policy in policies if "script" not in policy]  # a script has no tokens but words
    if not any("tokenizer" in policy and policy["tokenizer"] is None for policy in models):
        return []
    return ["policy.tokenizer is not set: what is called tokens here are words and marks, and the model's are more"]


@dataclass(slots=True)
class _Counts:
    """Tasks cut in one way."""

    recipe: Recipe
    tokenizer: Tokenizer = field(init=False)
    first: list[tuple[Task, tuple[Chunk, ...], int]] = field(default_factory=list)
    sizes: list[tuple[Shape, int]] = field(default_factory=list)
    """Per task its size, and the tokens of its chunks."""
    asked: list[Question] = field(default_factory=list)
    """Every question."""


def _cut(recipe: Recipe) -> str:
    return f"{recipe.task!r} {recipe.chunk!r} {_whose(recipe)}"


def _whose(recipe: Recipe) -> str:
    return f"{recipe.task!r} {recipe.policy!r}"


def _count(every: Sequence[_Counts], progress: Progress | None, shard: Shard) -> None:
    """Cut every task, each text only once into tokens."""
    alike: dict[str, list[_Counts]] = {}
    for one in every:
        alike.setdefault(_whose(one.recipe), []).append(one)
    for group in alike.values():
        recipe = group[0].recipe
        verify(Path(recipe.task.folder) / recipe.task.split)  # before anything loads
        tasks = shard.deal(planned_tasks(recipe))
        inner = recipe.tokenizer()
        tokenizer = _Once(inner, inner.name)
        for one in group:
            one.tokenizer = tokenizer
        planned = recipe.task.limit and shard.share(recipe.task.limit)
        for number, task in enumerate(tasks, start=1):
            for one in group:
                chunks, cut = chunks_of(one.recipe.chunk, task.documents, tokenizer)
                one.sizes.append((shape_of(chunks, len(task.questions)), sum(chunk.tokens for chunk in chunks)))
                one.asked += task.questions
                if len(one.first) < PLAYED:
                    one.first.append((task, chunks, cut))
            if progress:
                progress(number, planned or number, "")


@dataclass(slots=True)
class _Once:
    """A tokenizer that remembers the last text: arms cut the same one in several ways."""

    inner: Tokenizer
    name: str
    last: tuple[str, Sequence[Span]] = ("", ())

    def spans(self, text: str) -> Sequence[Span]:
        if text != self.last[0]:
            self.last = text, self.inner.spans(text)
        return self.last[1]


# --- prompts


@dataclass(frozen=True, slots=True)
class Prompts:
    """Lengths in tokens, means over the tasks that were played."""

    shown: float
    """Of one prompt, with an empty memory."""
    asking: float
    """Of one about a question, likewise."""
    remembered: int
    """What the memory may add to it."""
    stored: float
    """Of what lies in the store, or what the agent puts there, before its first call, per episode."""


def prompts(recipe: Recipe, tokenizer: Tokenizer, tasks: Sequence[tuple[Task, tuple[Chunk, ...], int]]) -> Prompts:
    """Play tasks with a policy that says nothing, and measure what it is shown.

    Args:
        tasks: each with its chunks, and the tokens that none of them shows.
    """
    shown: list[int] = []
    asking: list[int] = []

    def measured(calls: Sequence[Call]) -> list[Generation]:
        for observation in (call.observation for call in calls):
            # The few tokens of the chat template are not in it.
            shown.append(sum(len(tokenizer.spans(text)) for text in observation.texts))
            if observation.expects is Expects.ANSWER:
                asking.append(shown[-1])
        return [Generation("")] * len(calls)

    plain = recipe.changed(["store={name: exact}", "embedder={name: hashing}", "budget={}"])
    parts = assemble(plain, playing=StubPolicy(tokenizer, on_calls=measured))
    stored = []
    try:
        for task, chunks, cut in tasks:
            (played,) = parts.play([parts.episode(task, 0, chunks, cut)])
            texts = [*(result.op.text for result in played.opening), *(entry.text for entry in played.noise)]
            stored.append(sum(len(tokenizer.spans(text)) for text in texts))
    finally:
        parts.close()
    remembered = 2 * recipe.limits.reply if _writes(parts.agent) else 0
    return Prompts(fmean(shown or [0]), fmean(asking or [0]), remembered, fmean(stored or [0]))


def _writes(agent: Agent) -> bool:
    """Whether what a model writes can come back in a prompt."""
    return agent.calls_per_chunk > 0 or isinstance(agent, Declares)


# --- bounds


@dataclass(frozen=True, slots=True)
class EpisodeBound:
    """What one episode may take; see `tables.Cost`."""

    calls_low: int
    calls_high: int
    questions: int
    asking_high: int
    """Of `calls_high`, those about questions."""
    new_tokens_high: int
    retrievals_low: int
    retrievals_high: int


def bound_episode(recipe: Recipe, agent: Agent, shape: Shape) -> EpisodeBound:
    """Bound the calls and new tokens of one episode of a task of that size."""
    limits, budget, questions = recipe.limits, recipe.budget, shape.questions
    work = workload_of(agent, shape, limits.reply)
    looks = {OpKind.READ, *CONTEXT_OPS} & {*agent.operations}  # what a reply is asked again after, unless it is refused
    again = agent.reads_again and not looks <= {*recipe.memory.drop}
    tries = 1 + limits.reads * again
    low, most = work.calls
    high = most * tries if budget.reads is None else min(most * tries, most + budget.reads)
    longest = ((most - questions) * limits.reply + questions * limits.answer) * tries
    looked = (0, 0) if OpKind.READ in recipe.memory.drop else (work.retrievals[0], work.retrievals[1] * tries)
    return EpisodeBound(
        calls_low=min(low, budget.calls or low),
        calls_high=min(high, budget.calls or high),
        questions=questions,
        asking_high=min(questions * tries, budget.calls or high),
        new_tokens_high=min(longest, budget.new_tokens or longest),
        retrievals_low=looked[0],
        retrievals_high=looked[1],
    )


def _cost(recipe: Recipe, counts: _Counts, measured: Prompts) -> Cost:
    agent: Agent = recipe.build("agent")
    bounds = [bound_episode(recipe, agent, shape) for shape, _ in counts.sizes]
    repeats, most = recipe.eval.repeats, recipe.budget.prompt_tokens
    episodes = len(bounds) * repeats
    keys = ("calls_low", "calls_high", "new_tokens_high", "retrievals_low", "retrievals_high")
    low, high, new, *looked = (repeats * sum(getattr(bound, key) for bound in bounds) for key in keys)
    shown = [round(low * measured.shown), round(high * (measured.shown + measured.remembered))]
    stored = round(episodes * measured.stored)
    return Cost(
        tasks=len(bounds),
        questions=sum(shape.questions for shape, _ in counts.sizes),
        episodes=episodes,
        chunks=sum(shape.chunks for shape, _ in counts.sizes),
        tokens=sum(tokens for _, tokens in counts.sizes),
        calls_low=low,
        calls_high=high,
        new_tokens_high=new,
        prompt_tokens_low=min(shown[0], episodes * most) if most else shown[0],
        prompt_tokens_high=min(shown[1], episodes * most) if most else shown[1],
        embedded_low=stored,
        embedded_high=stored + (new if OpKind.READ in {*agent.operations} - {*recipe.memory.drop} else 0),
        retrievals_low=looked[0],
        retrievals_high=looked[1],
    )


def _judging(recipe: Recipe, counts: _Counts) -> Cost:
    """One verdict per answer; every one of its tries, at most. Counted in the tokens of the policy."""
    repeats, spans = recipe.eval.repeats, counts.tokenizer.spans
    judging = instructions(recipe.eval.judging, counts.first[0][0].source)
    shown = sum(
        len(spans(message.content))
        for question in counts.asked
        for message in judge_messages(question, question.answers[0], judging)
    )
    asked = len(counts.asked) * repeats
    blank: dict[str, Any] = dict.fromkeys(("chunks", "tokens"), 0)
    return Cost(
        tasks=len(counts.sizes),
        questions=len(counts.asked),
        episodes=len(counts.sizes) * repeats,
        calls_low=asked,
        calls_high=asked * TRIES,
        new_tokens_high=asked * TRIES * TOKENS,
        prompt_tokens_low=shown * repeats,
        prompt_tokens_high=(shown * repeats + asked * recipe.limits.answer) * TRIES,
        **blank,
    )


def total(planned: Sequence[tuple[str, Cost]]) -> Cost:
    """All of it together."""
    first = planned[0][1]
    return replace(first, **{key: sum(getattr(cost, key) for _, cost in planned) for key in first.__dataclass_fields__})
