"""Room for a prompt: whether a window, or a limit of the agent's own, can hold one at all."""

from __future__ import annotations

from atommem_cli.core.errors import UsageError
from atommem_cli.core.workload import Declares
from atommem_cli.running.build import Parts


def insist(parts: Parts) -> None:
    """Insist that a prompt fits, of no more than what every one says; before the first call.

    An agent with a limit of its own may declare `insist_room(tokenizer, untold)`, which raises UsageError: `untold` are
    the kinds of operation that its prompts do not tell of.

    Raises:
        UsageError: none does, so that every episode would end with `context_overflow`.
    """
    recipe, window = parts.recipe, parts.policy.window
    limits = {"limits.answer": recipe.limits.answer}
    if parts.agent.calls_per_chunk or isinstance(parts.agent, Declares):
        limits["limits.reply"] = recipe.limits.reply
    for key, most in limits.items():
        if window is not None and window <= most:
            raise UsageError(
                f"the policy's window of {window} tokens holds no prompt beside a reply of {key}={most}: make that "
                "less, or the window larger"
            )
    if (own := getattr(parts.agent, "insist_room", None)) is not None:
        own(parts.policy.tokenizer, frozenset(recipe.memory.untold))
