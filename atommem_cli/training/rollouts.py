"""Episodes inside a trainer: played with the model that is being trained, whole groups in lock-step.

With several ranks each plays its own episodes, and they may differ in length. Generation is collective
(sharded weights, one vLLM engine), so all ranks take part in every round until the last one is done.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any

import torch
from trl.models import unwrap_model_for_generation

from atommem_cli.core.calls import Generation, GoldReply
from atommem_cli.core.chunking import Tokenizer
from atommem_cli.core.clock import Clock
from atommem_cli.core.episode import Call
from atommem_cli.core.errors import Diverged
from atommem_cli.core.types import Chunk, Task, Trajectory
from atommem_cli.models import likelihood
from atommem_cli.models.batching import PromptRow, prompt_batches
from atommem_cli.models.generation import Sampling, complete
from atommem_cli.running.build import Parts
from atommem_cli.training import curriculum
from atommem_cli.training.distributed import gather
from atommem_cli.training.learners import Learner

_GREEDY = Sampling(temperature=0.0)
Credits = dict[int, tuple[float, ...]]
"""A number for each token of a reply, by the number of its call."""


class LearningPolicy:
    """The policy of a rollout whose weights a TRL trainer holds."""

    def __init__(self, student: Learner) -> None:
        self.tokenizer: Tokenizer = student.words.counter
        self.window = student.turns.window
        self.batch = sys.maxsize
        """Episodes at once: all of a generation batch, whatever its size."""
        self.trainer: Any = None
        """Set once the trainer is there."""
        self.finite = True
        """Whether all logits were, on this rank; episodes end at once where they are not."""
        self.scored = 0
        """Replies whose likelihood was asked, so far."""
        self._student = student

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        """One reply per call, in order, with the tokens of prompt and reply."""
        turns = self._student.turns
        rows, replies = turns.rows(calls)
        written, logprobs = self._write(rows)
        for row in rows:
            ids = turns.cut(row, written[row.index])
            replies[row.index] = replace(
                turns.reply(row, ids),
                prompt_ids=tuple(row.prompt),
                token_ids=tuple(ids),
                logprobs=tuple(logprobs[row.index][: len(ids)]) if logprobs else (),
            )
        return [replies[index] for index in range(len(calls))]

    def text(self, ids: Sequence[int]) -> str:
        """What tokens of a reply say; see `Turns.text`."""
        return self._student.turns.text(ids)

    def likelihoods(self, asked: Sequence[GoldReply]) -> list[float]:
        """See `calls.Likelihoods`: by the model as it is now, on every rank at once."""

        def said(replies: list[likelihood.Reply]) -> dict[likelihood.Reply, tuple[float, ...]]:
            found: dict[likelihood.Reply, tuple[float, ...]] = self.trainer.logprobs_of(replies)
            self.scored += len(found)
            return found

        return likelihood.means(self._student.words, asked, said)

    def join(self) -> None:
        """Own episodes are over: take part in the others' rounds until every rank is done."""
        while self._write([], over=True) is not None:
            pass

    def describe(self) -> dict[str, str]:
        """What a run of kept rollouts records about it."""
        options = self._student.options
        return {
            "name": f"grpo: {self._student.words.name}",
            "update": str(self.trainer.state.global_step),
            "chat_template": self._student.words.chat.digest,
            "thinking": str(options.thinking).lower(),
        }

    def _write(self, rows: Sequence[PromptRow], *, over: bool = False) -> Any:
        """New tokens and log-probabilities by row index; None once every rank is over."""
        trainer = self.trainer
        engine = trainer.use_vllm or trainer.use_transformers_continuous_batching
        budget = self._student.options.micro_batch_tokens
        parts = [list(rows)] if engine and rows else prompt_batches(rows, budget, self.window)
        everywhere = gather([(over, len(parts), max(map(len, parts), default=0))])
        if all(done for done, _, _ in everywhere):
            return None
        # A rank with fewer batches, or an engine's batch with fewer rows, is filled up.
        rounds, most = max(n for _, n, _ in everywhere), max(size for _, _, size in everywhere)
        filler = PromptRow(-1, [self._student.turns.pad], 1, 0)
        parts += [[filler]] * (rounds - len(parts))
        written: dict[int, list[int]] = {}
        logprobs: dict[int, list[float]] = {}
        for part in parts:
            if engine:
                self._ask_engine([*part, *[filler] * (most - len(part))], written, logprobs)
            else:
                written.update(self._ask_model(part))
        return written, logprobs

    def _ask_model(self, rows: Sequence[PromptRow]) -> dict[int, list[int]]:
        trainer, args = self.trainer, self.trainer.args
        training = trainer.model.training
        with (
            unwrap_model_for_generation(
                trainer.model_wrapped,
                trainer.accelerator,
                gather_deepspeed3_params=args.ds3_gather_for_generation,
                gradient_checkpointing_kwargs=args.gradient_checkpointing_kwargs,
            ) as model,
            torch.no_grad(),
            trainer._dist.summon_full_params(trainer.model_wrapped, recurse=False),
            trainer.accelerator.autocast(),
        ):
            model.eval()  # no dropout: the reply is drawn from the policy that evaluation plays
            sampling = Sampling(args.temperature, args.top_p) if training else _GREEDY
            try:
                return complete(model, rows, self._student.turns, sampling, self._student.options.micro_batch_tokens)
            except Diverged:
                self.finite = False  # the ranks stop together, once their episodes are over
                return {row.index: [self._student.turns.pad] for row in rows}
            finally:
                model.train(training)

    def _ask_engine(
        self, rows: Sequence[PromptRow], written: dict[int, list[int]], logprobs: dict[int, list[float]]
    ) -> None:
        """vLLM or continuous batching, through TRL: tokens in, tokens and log-probabilities out."""
        with self._mode():
            ids, said = self.trainer._generate_single_turn([row.prompt for row in rows], None, {}, 1)
        for at, row in enumerate(rows):
            written[row.index] = list(ids[at])
            if said is not None:
                logprobs[row.index] = list(said[at])

    @contextmanager
    def _mode(self) -> Iterator[None]:
        """Validation is greedy, whatever the engine samples with."""
        trainer = self.trainer
        engine, key, greedy = (
            (trainer.vllm_generation, "temperature", 0.0)
            if trainer.use_vllm
            else (trainer.generation_config, "do_sample", False)
        )
        sampling = getattr(engine, key)
        if not trainer.model.training:
            setattr(engine, key, greedy)
        try:
            yield
        finally:
            setattr(engine, key, sampling)


@dataclass(slots=True)
class PlayedBatch:
    """The trajectories of one generation batch on this rank, in the order of TRL's rows."""

    tasks: list[Task]
    trajectories: list[Trajectory]
    clock: Clock
    seconds: float
    """Wall time of it all, generation included."""
    turn: int = 0
    """Tells this generation apart from others of the same task."""
    credits: list[Credits] = field(default_factory=list)
    """Of each trajectory what its tokens have beside its advantage; empty where there is no such credit."""

    @property
    def groups(self) -> list[int]:
        """Which rows are rollouts of one task, from 0."""
        changes = [before is not after for before, after in pairwise(self.tasks)]
        return list(accumulate(changes, initial=0))


def play(
    parts: Parts,
    policy: LearningPolicy,
    tasks: Sequence[Task],
    samples: Sequence[int],
    turn: int,
    stages: Sequence[int] = curriculum.STAGES,
) -> PlayedBatch:
    """Play one episode per row to its end.

    Args:
        tasks: one per row; rows of one task stand together.
        samples: which rollout of its group each row is.
        turn: tells this generation apart from others of the same task.
        stages: those that are played, of an agent that has some.
    """
    started, clock = time.perf_counter(), Clock()
    episodes = []
    chunks: tuple[Chunk, ...] = ()
    left_out, of = 0, None
    given: Task | None = None
    for task, sample in zip(tasks, samples, strict=True):
        if of is not task:
            chunks, left_out = parts.cut(task)
            of = given = task
            if len(stages) < len(curriculum.STAGES):
                given, chunks = curriculum.part(task, chunks, stages)
        assert given is not None
        episodes.append(parts.episode(given, sample, chunks, left_out, turn=turn))
    played = parts.rollout(clock=clock).play(policy, episodes)
    trajectories = [curriculum.whole(one, task) for one, task in zip(played, tasks, strict=True)]
    policy.join()
    return PlayedBatch(list(tasks), trajectories, clock, time.perf_counter() - started, turn)
