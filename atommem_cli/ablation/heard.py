"""What the base was told holds for the arms: the same prompt with the same seed is not asked a second time.

An arm goes the base's way until its change shows, in some tasks to the end. Replies are taken from the base's journal
where they cannot be others: the policy is the same, has weights (it says how likely replies are; a script looks at the
episode, and a server need not answer twice alike), and cuts replies off where the base's did.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from atommem_cli.config.recipe import Recipe
from atommem_cli.core import seeds
from atommem_cli.core.calls import POLICY, Finish, Generation
from atommem_cli.core.chunking import Tokenizer
from atommem_cli.core.episode import Call, Policy, ServerPolicy
from atommem_cli.runs.digests import prompt_hash
from atommem_cli.runs.layout import Line, recorded_reply
from atommem_cli.runs.reader import Run


def of(policy: Policy | ServerPolicy, arm: Recipe, base: Recipe, played: Path) -> Policy | ServerPolicy:
    """The policy of an arm, spared what the base has asked; as it is where it must be asked.

    Args:
        played: the base's run folder.
    """
    alike = (arm.policy, arm.limits, arm.seed) == (base.policy, base.limits, base.seed)
    counted = arm.budget.new_tokens is not None or base.budget.new_tokens is not None  # what was written limits what is
    if isinstance(policy, ServerPolicy) or not hasattr(policy, "likelihoods") or not alike or counted:
        return policy
    return Heard(policy, Run(played))


class Heard:
    """A local policy that is not asked what a run of the same policy has been told."""

    def __init__(self, policy: Policy, run: Run) -> None:
        self._policy, self._run = policy, run
        self._told: dict[str, dict[tuple[str, int], Line]] = {}
        """Of the episodes in play, lines of steps by prompt and seed."""

    @property
    def tokenizer(self) -> Tokenizer:
        return self._policy.tokenizer

    @property
    def window(self) -> int | None:
        return self._policy.window

    @property
    def batch(self) -> int:
        return self._policy.batch

    def describe(self) -> dict[str, str]:
        return self._policy.describe()

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        episodes = {call.episode.id: call.episode.seed for call in calls if call.episode is not None}
        self._told = {name: self._told.get(name) or self._read(name, seed) for name, seed in episodes.items()}
        replies = [self._heard(call) for call in calls]
        asked = [call for call, reply in zip(calls, replies, strict=True) if reply is None]
        fresh = iter(self._policy.generate(asked) if asked else ())
        return [reply or next(fresh) for reply in replies]

    def _read(self, episode: str, seed: int) -> dict[tuple[str, int], Line]:
        return {
            (line["prompt"], seeds.derive(seed, line["step"])): line
            for line in self._run.steps(episode)
            if line["step"] >= 0 and line.get("to", POLICY) == POLICY and line["finish"] != Finish.ERROR
        }

    def _heard(self, call: Call) -> Generation | None:
        told = self._told[call.episode.id] if call.episode is not None else {}
        line = told.get((prompt_hash(call.observation), call.seed))
        return recorded_reply(line) if line is not None else None
