"""Full context: every document in the prompt of every question; no memory at all.

What does not fit the policy's window is cut out of the middle of the stream, and the number of tokens is
recorded (`Trajectory.truncated_tokens`).
"""

from __future__ import annotations

from atommem_cli.agents._steps import Options, Speaker
from atommem_cli.core import chunking
from atommem_cli.core.episode import Episode, Play
from atommem_cli.core.types import Shows

__all__ = ["Options", "build"]

_TEMPLATE_TOKENS = 64
"""Room for the chat template's own tokens."""


def build(options: Options) -> FullContext:
    """The agent."""
    return FullContext(options)


class FullContext(Speaker):
    """Sees everything at once."""

    name = "full_context"
    shows = Shows.WHOLE

    def play(self, episode: Episode) -> Play:
        whole, _ = chunking.render(episode.task.documents)
        episode.truncated_tokens = 0  # what the chunks leave out is shown all the same
        for question in range(len(episode.task.questions)):
            documents = whole
            if episode.limits.window is not None:
                bare = self.answering(episode, question, {"documents": ""}).messages
                told = sum(len(episode.tokenizer.spans(message.content)) for message in bare)
                around = told + episode.limits.answer + _TEMPLATE_TOKENS
                room = max(0, episode.limits.window - around)
                documents, cut = chunking.cut_middle(whole, episode.tokenizer, room)
                episode.truncated_tokens = max(episode.truncated_tokens, cut)
            yield from self.read_answer(episode, question, {"documents": documents})
