"""Closed book: the question alone. What it scores was not learned from the stream (contamination control)."""

from __future__ import annotations

from atommem_cli.agents._steps import Options, Speaker
from atommem_cli.core.episode import Episode, Play
from atommem_cli.core.types import Shows

__all__ = ["Options", "build"]


def build(options: Options) -> ClosedBook:
    """The agent."""
    return ClosedBook(options)


class ClosedBook(Speaker):
    """Shows the policy no material."""

    name = "closed_book"
    shows = Shows.NOTHING

    def play(self, episode: Episode) -> Play:
        for question in range(len(episode.task.questions)):
            yield from self.read_answer(episode, question, {}, section="closed_book")
