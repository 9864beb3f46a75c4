"""What may be set of AgeMem: what its paper leaves open, and what its code does otherwise (papers.md 2.1 to 2.5)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from atommem_cli.config.schema import Section


class Options(Section):
    """Keys of the recipe's `agent` section."""

    dialect: str = "paper"
    """Wording and grammar: paper (JSON), tiny (tags, for closed vocabularies), or the path of a file of one's own,
    which ends in .yaml, from the working folder. Other dialects of atommem mean paper here."""
    version: Literal["paper", "coded"] = "paper"
    """Whether Filter is called Filter_context, as in the paper, or Clear_context, as in the authors' code. What else
    the code does, the options below say; its first stage is one message, as `chunk.by: documents` makes it with a
    `chunk.tokens` that all of it fits."""
    question_known: bool = False
    """Whether the questions are told from the start, as in the paper's formal state (its text says they are not); the
    agent is then named so in tables."""
    retrieval: Literal["first", "always", "never"] = "first"
    """Before which messages the agent retrieves by itself: those of stage 1 (the paper), all and the questions (in
    place of the tools of the context: with `memory.drop: [summarize, filter]`), or none (the code)."""
    context_tokens: PositiveInt = 8192
    """Tokens of the context, from which on nothing is asked any more and the episode ends with `context_overflow` (the
    paper; the code: 0.8 of it)."""
    context_share: float = Field(1.0, gt=0, le=1, exclude_if=lambda value: value == 1)
    """Which part of `context_tokens` it is (the code: 0.8)."""
    counting: Literal["tokens", "characters"] = Field("tokens", exclude_if=lambda value: value == "tokens")
    """What the context is measured in: the policy's tokens, or characters, four to a token (the code)."""
    overflow: Literal["episode", "stage"] = Field("episode", exclude_if=lambda value: value == "episode")
    """What ends where the context is full: the episode, or the stage that is read (the code); a question that does not
    fit ends the episode."""
    again: Literal["reads", "calls"] = Field("reads", exclude_if=lambda value: value == "reads")
    """Which replies while reading are asked again, at most `limits.reads` times in a row: those that only retrieve, or
    all that call tools (the code, with 4: five rounds)."""
    sentences: PositiveInt | None = Field(None, exclude_if=lambda value: value is None)
    """Sentences of each document that the first stage shows (the code: 10); null is all. `why` takes the others for
    shown; the tokens are counted as never shown."""
    filter: Literal["embedder", "helper"] = "embedder"
    """Who says how near a message is to the criteria of a Filter: the embedder, or the model `helpers.filter` (the
    code)."""
    filter_threshold: float = Field(0.6, ge=-1, le=1)
    """From which on a message goes: of the cosine, or of what the model says."""
    summary: Literal["policy", "helper"] = "policy"
    """Who writes a summary that a Summary does not bring along, in a call of its own: the policy, or the model
    `helpers.summary` (the code)."""
    train_summary: bool = True
    """Whether the policy learns from these calls."""
    further_calls: NonNegativeInt = 8
    """Most calls of an episode for a Summary or a Filter itself; one beyond is `over_budget`."""
    calling: Literal["text", "native"] = Field("text", exclude_if=lambda value: value == "text")
    """How the model is told of its tools: text, in the instructions; native, by its chat template (`hf`) or in the
    request (`openai_server`), with JSON schemas; it calls them in its own form (JSON, as most families write it), and
    the result of each call is a message of the role `tool`. Answers keep their tags; the instructions are ours,
    whatever the dialect's."""
    results: Literal["user", "tool"] = "user"
    """Where results of calls stand: at the head of the next message, or in one of the role `tool`, for chat templates
    that have it."""
