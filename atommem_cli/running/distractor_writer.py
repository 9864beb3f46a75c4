"""The recipe's policy as a writer of distractors, for `--distractors-by` of `atommem prepare`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import resources
from string import Template

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core import seeds, thoughts
from atommem_cli.core.calls import Expects, Finish, Generation, Message, Observation
from atommem_cli.core.episode import Call, Policy, ServerPolicy
from atommem_cli.core.errors import BackendError
from atommem_cli.data.written import Wish
from atommem_cli.running import asking

LONGEST = 256
"""Tokens of a reply; one that is longer is no passage."""
TITLE = "The first line is its title alone; the passage follows on the next line."


class DistractorWriter:
    """Implements `data.written.Writer`; the model is built when something is asked."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._whom = json.dumps(recipe.content["policy"], sort_keys=True)  # wherever it is served
        self._template = (resources.files("atommem_cli") / "running" / "distractor.txt").read_text(encoding="utf-8")

    @cached_property
    def _policy(self) -> Policy | ServerPolicy:
        policy: Policy | ServerPolicy = self._recipe.build("policy")
        return policy

    def key(self, wish: Wish) -> str:
        told = [self.describe(), self._seed(wish), self.prompt(wish)]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def __call__(self, wishes: Sequence[Wish]) -> Iterator[tuple[int, str]]:
        calls = [
            Call(None, Observation((Message("user", self.prompt(wish)),), LONGEST, Expects.NOTES), self._seed(wish))
            for wish in wishes
        ]
        for number, generation in asking.answers(self._policy, calls):
            yield number, self._said(wishes[number], generation)

    def describe(self) -> dict[str, str]:
        return {
            "policy": self._whom,
            "seed": str(self._recipe.seed),
            "prompt": hashlib.sha256(self._template.encode()).hexdigest()[:16],
        }

    def prompt(self, wish: Wish) -> str:
        """What the model is shown."""
        barred = f"It must not say: {'; '.join(wish.barred)}." if wish.barred else ""
        made = Template(self._template).substitute(
            titled=TITLE if wish.titled else "",
            number=wish.number + 1,
            count=wish.count,
            barred=barred,
            questions=" ".join(" ".join(question.text.split()) for question in wish.task.questions),
        )
        return "\n".join(line for line in made.splitlines() if line.strip())

    def _seed(self, wish: Wish) -> int:
        return seeds.derive(self._recipe.seed, wish.task.id, "distractor", wish.number, wish.attempt)

    def _said(self, wish: Wish, generation: Generation) -> str:
        """The reply without thoughts; nothing where it was cut off, withheld or did not fit.

        Raises:
            BackendError: the call failed.
        """
        if generation.finish is Finish.ERROR:
            raise BackendError(f"--distractors-by: passage {wish.number + 1} of {wish.task.id}: {generation.error}")
        if generation.finish not in (Finish.STOP, Finish.OTHER):
            return ""
        return thoughts.split(generation.text, thoughts.marks_of(self._recipe.policy.model_extra)).said


def of(recipe: str) -> DistractorWriter:
    """The writer that a recipe's policy is, sampling settings included."""
    return DistractorWriter(recipes.load(recipe))
