"""Asks the questions of a finished run again on the rungs of its ladder, and writes down what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from atommem_cli.core import seeds, thoughts
from atommem_cli.core.calls import Finish, Generation, Observation
from atommem_cli.core.episode import Agent, Episode, Limits
from atommem_cli.core.errors import RunMismatch
from atommem_cli.core.files import Lines
from atommem_cli.core.types import Progress, Question, Task, Trajectory
from atommem_cli.replay.ladder_rungs import FROM_GOLD, Given, MemoryView, Rung, give, held, left_out, probe, seen, view
from atommem_cli.running import helpers
from atommem_cli.running.build import Parts, asked_by
from atommem_cli.running.evaluation import planned_tasks, score
from atommem_cli.running.stubs import vectors_for
from atommem_cli.runs.digests import prompt_hash
from atommem_cli.runs.layout import Line, recorded_reply
from atommem_cli.runs.reader import Run, failed
from atommem_cli.scoring.gold_facts import has_gold


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question of one episode on one rung."""

    episode: str
    number: int
    """Of the question within its task."""
    rung: Rung
    question: Question
    shown: MemoryView
    memory: str
    """Digest of what is shown."""


class Sheet:
    """The journal of a ladder: its lines are written when they are scored; a rollout finds replies in it."""

    def __init__(self, lines: Lines) -> None:
        self.asked: dict[str, _Asked] = {}
        """By the name of the episode that asks it."""
        self.lines = lines
        self._known: dict[str, tuple[str, int]] = {}
        for offset, line in lines.read_at():
            if line["finish"] != Finish.ERROR:
                self._known[name_of(line["episode"], line["question"], line["rung"])] = line["memory"], offset

    def finished(self, episode: str) -> bool:
        return self._known.get(episode, ("", 0))[0] == self.asked[episode].memory

    def recorded(self, episode: str, step: int, observation: Observation) -> Generation | None:
        if step or not self.finished(episode):
            return None
        line = self.lines.line_at(self._known[episode][1])
        return recorded_reply(line) if line["prompt"] == prompt_hash(observation) else None


@dataclass(frozen=True, slots=True)
class Climbing:
    """A run whose questions are asked again."""

    run: Run
    parts: Parts
    """The run's, with a memory that is given; without its budget, which was for a whole episode."""
    sheet: Sheet
    closed_book: Agent
    sees: frozenset[str]
    gold: Mapping[str, frozenset[int]]
    """Of each task, the questions of which the gold facts are known."""

    @property
    def left_out(self) -> dict[Rung, str]:
        """The rungs that no question is on, and why."""
        return left_out(self.sees, any(self.gold.values()))

    def has(self, rung: Rung, task: str, number: int) -> bool:
        """Whether a question is on a rung that is not left out."""
        return rung not in FROM_GOLD or number in self.gold[task]

    @property
    def asked(self) -> list[Rung]:
        """The rungs on which questions are asked again."""
        why = self.left_out
        return [rung for rung in Rung if rung is not Rung.OWN_MEMORY and rung not in why]

    def episodes(self) -> Iterator[Episode]:
        """One for each question and rung."""
        asked = self.asked
        for task in planned_tasks(self.run.recipe):
            for sample in range(self.run.recipe.eval.repeats):
                line = self.run.episodes[f"{task.id}#{sample}"]
                if not failed(line):
                    steps = self.run.steps(line["episode"])
                    for number in range(len(task.questions)):
                        for rung in (one for one in asked if self.has(one, task.id, number)):
                            yield self.asking(line, task, number, rung, steps)

    def asking(self, line: Line, task: Task, number: int, rung: Rung, steps: Sequence[Line]) -> Episode:
        """The episode that asks one question on one rung."""
        question, k = task.questions[number], self.run.recipe.memory.retrieve_k
        shown = view(rung, task, number, held(steps, number), k, self.sees)
        agent = self.closed_book if rung is Rung.CLOSED_BOOK else self.parts.agent
        seed = seeds.derive(self.run.recipe.seed, task.id, line["sample"], "ladder", rung, number)
        name = name_of(line["episode"], number, rung)
        episode = self.posed(name, replace(task, questions=(question,)), shown, agent, line["sample"], seed)
        self.sheet.asked[name] = _Asked(line["episode"], number, rung, question, shown, episode.memory.digest)
        return episode

    def posed(self, name: str, task: Task, shown: MemoryView, agent: Agent, sample: int = 0, seed: int = 0) -> Episode:
        """An episode without chunks."""
        recipe, policy = self.run.recipe, self.parts.policy
        memory = give(name, shown, frozenset(recipe.memory.drop), frozenset(recipe.memory.untold))
        limits = Limits(recipe.limits.reply, recipe.limits.answer, reads=0, window=policy.window)
        marks = thoughts.marks_of(recipe.policy.model_extra)
        return Episode(task, (), memory, agent, policy.tokenizer, limits, sample=sample, seed=seed, marks=marks)


def name_of(episode: str, question: int, rung: str) -> str:
    return f"{episode} question {question} {rung}"


def assemble(run: Run, sheet: Sheet) -> Climbing:
    """The run's policy and agent.

    Raises:
        RunMismatch: they are others now.
    """
    recipe = run.recipe
    closed_book = recipe.changed(["agent.name=closed_book"]).build("agent")
    unlimited = recipe.changed(["budget={}"])
    agent = recipe.build("agent")
    models = helpers.build(recipe, asked_by(agent), {}, {})
    parts = Parts(unlimited, agent, recipe.build("policy"), Given(), vectors_for(recipe, agent), helpers=models)
    gold = {
        task.id: frozenset(n for n, question in enumerate(task.questions) if has_gold(task, question))
        for task in planned_tasks(recipe)
    }
    climbing = Climbing(run, parts, sheet, closed_book, frozenset(), gold)
    for what, now in (("policy", parts.policy.describe()), ("agent", parts.agent.describe())):
        then = run.identity[what]
        if keys := sorted(key for key in {**then, **now} if then.get(key) != now.get(key)):
            raise RunMismatch(f"{run.path}: its {what} is another one now ({', '.join(keys)} differ): run it again")
    return replace(climbing, sees=seen(climbing.posed("probe", *probe(), parts.agent), parts.rollout()))


def ask(climbing: Climbing, scorers: Sequence[str], progress: Progress | None) -> None:
    """Ask and write down what is not there yet."""
    sheet, lines = climbing.sheet, [line for line in climbing.run.episodes.values() if not failed(line)]
    numbers = [(line["task"], number) for line in lines for number in range(len(line["answers"]))]
    planned, wrong = sum(climbing.has(rung, *each) for rung in climbing.asked for each in numbers), 0
    for trajectory in climbing.parts.play(climbing.episodes(), sheet):
        asked = sheet.asked[trajectory.episode]
        if not sheet.finished(trajectory.episode):
            line = _line(asked, trajectory, scorers)
            sheet.lines.append(line)
            wrong += line["finish"] == Finish.ERROR
        if progress:
            progress(len(sheet.asked), planned, f"({wrong} failed)" if wrong else "")


def _line(asked: _Asked, trajectory: Trajectory, scorers: Sequence[str]) -> Line:
    (answer,), last = trajectory.answers, trajectory.transitions[-1]
    return {
        "episode": asked.episode,
        "question": asked.number,
        "rung": asked.rung,
        "memory": asked.memory,
        "prompt": prompt_hash(last.observation),
        "scratchpad": asked.shown.scratchpad,
        "query": asked.shown.query,
        "shown": [[entry.id, entry.text] for entry in asked.shown.entries],
        "reply": last.generation.text,
        "finish": last.generation.finish,
        **({"error": trajectory.error} if trajectory.error else {}),
        "prompt_tokens": trajectory.usage.prompt_tokens,
        "new_tokens": trajectory.usage.new_tokens,
        "answer": answer.text,
        "tagged": answer.tagged,
        "scores": {name: scores[0] for name, scores in score((asked.question,), (answer,), scorers).items()},
    }
