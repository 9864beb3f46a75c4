"""The nouns of atommem, immutable. If not said otherwise: texts in tokens, times in seconds, indices from 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from atommem_cli.core.calls import POLICY, Generation, Message, Observation

Progress = Callable[[int, int, str], None]
"""Called with how much is done, how much is planned, and a remark; what is counted, its caller says."""


class OpKind(StrEnum):
    """Operations on the memory (AtomMem v3, Table 5), and on the context (AgeMem, arXiv 2601.01885)."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    SCRATCHPAD = "scratchpad"
    SUMMARIZE = "summarize"
    """A message in place of several of the context."""
    FILTER = "filter"
    """Messages of the context go."""
    CLEAR = "clear"
    """Likewise, by the agent itself between two stages: no policy writes it."""


CONTEXT_OPS = (OpKind.SUMMARIZE, OpKind.FILTER, OpKind.CLEAR)
MEMORY_OPS = tuple(kind for kind in OpKind if kind not in CONTEXT_OPS)


class Outcome(StrEnum):
    """What became of one operation; only `OK` changed the memory."""

    OK = "ok"
    NOOP = "noop"
    """Well formed, but without effect: empty text, the same text again, the same query again."""
    INVALID_TARGET = "invalid_target"
    """Update or Delete of a number that was not shown."""
    STALE_TARGET = "stale_target"
    """A second operation of the same reply on an entry that the first one has changed."""
    MALFORMED = "malformed"
    """The tags are there, the payload cannot be read (no `Memory i`, nested tags)."""
    UNCLOSED = "unclosed"
    """The opening tag has no closing tag."""
    FORBIDDEN = "forbidden"
    """The recipe dropped this kind of operation."""
    OVER_BUDGET = "over_budget"
    """The budget for entries or reads is used up."""


class StopReason(StrEnum):
    """Why an episode ended; exactly one each."""

    ANSWERED = "answered"
    STEP_LIMIT = "step_limit"
    """The budget of model calls ran out; questions not yet asked count as wrong."""
    BUDGET = "budget"
    """The budget of prompt tokens or of new tokens ran out; likewise."""
    CONTEXT_OVERFLOW = "context_overflow"
    """A prompt did not fit the policy's window; likewise."""
    FILTERED = "filtered"
    """The provider withheld a reply (a content filter, a refusal); likewise."""
    ERROR = "error"
    """A model call failed for good; counted apart, and as wrong."""


class Shows(StrEnum):
    """What an agent's prompts show of the documents themselves; what its memory shows comes on top."""

    CHUNKS = "chunks"
    """The chunks that the journal names; an opening that stores something has read those before the first of them, or,
    where there is none, all."""
    WHOLE = "whole"
    """Every document in the prompt of every question, as far as the window allows."""
    NOTHING = "nothing"
    """None of them."""


@dataclass(frozen=True, slots=True)
class Event:
    """The fact behind a `stream` document: from here on, `relation` of `subject` is `value`."""

    subject: str
    """Empty: whoever had this value has it no more, and nothing is known of the fact: a cascade."""
    relation: str
    value: str | None
    """None: the fact is retracted or has expired; nothing is known any more."""


@dataclass(frozen=True, slots=True)
class Document:
    """One passage of the stream."""

    title: str
    """May be empty. Title and text are all that prompts show of it: a date belongs in one of them."""
    text: str
    """Of any length; chunks are cut from it."""
    event: Event | None = None
    """Set by `stream` alone, and by it only for statements (None: noise)."""
    distractor: bool = False
    """It has nothing to do with any question; such documents are read after all others (`prepare --distractors`)."""


@dataclass(frozen=True, slots=True)
class Support:
    """One gold supporting fact of a question."""

    document: int
    """Index into `Task.documents`."""
    text: str
    """The supporting sentence (HotpotQA, 2Wiki) or paragraph (MuSiQue), verbatim in that document."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question with everything needed to score it and to explain a miss."""

    id: str
    """Of its own, in all of the split."""
    text: str
    answers: tuple[str, ...]
    """Accepted answers, the primary one first, then aliases; at least one."""
    supporting: tuple[Support, ...] = ()
    kind: str = ""
    """The source's own type of question ("bridge", "comparison", "2hop", ...); may be empty."""
    hinge: str = ""
    """`stream`: what it hinges on: create, update, supersede, delete, cascade or none. Else empty."""
    path: tuple[str, ...] = ()
    """`stream`: subject, then one relation per hop. Else empty."""
    unanswerable: bool = False
    """Nothing tells it, and `answers` are ways to say so. (In `stream`, hinge and path mark such.)"""
    explanation: str = ""
    """Of such a question: why, for a judge; may be empty."""
    stale: tuple[str, ...] = ()
    """Answers that rest on what was true once and is no more. Empty: none, or its source does not say."""


@dataclass(frozen=True, slots=True)
class Task:
    """One stream of documents, in the order in which they are read, and the questions about it."""

    id: str
    source: str
    """The source's name: hotpotqa, locomo, stream, ..."""
    documents: tuple[Document, ...]
    questions: tuple[Question, ...]
    """At least one; asked one at a time, in this order, after the last chunk."""
    noise: tuple[str, ...] = ()
    """Texts of entries that lie in the store before the first chunk (`store.noise`); prepared files hold none."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What an agent reads in one step."""

    index: int
    text: str
    start: int
    """Its first character, in the stream as `chunking.render` writes it."""
    tokens: int
    documents: tuple[int, ...]
    """Indices into `Task.documents` of those that lie in it, wholly or in part, in order."""


Meta = tuple[tuple[str, str], ...]
"""Values by key, in the order in which they were given; every key once."""


@dataclass(frozen=True, slots=True)
class MemoryOp:
    """One operation as a policy wrote it."""

    kind: OpKind
    """What it does."""
    text: str = ""
    """New text (create, update, scratchpad) or the query (read)."""
    target: int | None = None
    """Update and Delete: the entry's number in the view, from 1; or its id, of all ever shown (`memory.Addressing`)."""
    defect: Outcome | None = None
    """MALFORMED or UNCLOSED where the tags could not be read; then `text` is the raw payload."""
    targets: tuple[int, ...] = ()
    """Summarize and Filter: ids of the messages of the context that go."""
    meta: Meta = ()
    """Create and Update: metadata of the entry, which an Update without any keeps. Else: further arguments."""
    span: tuple[int, int] | None = field(default=None, compare=False)
    """Where in the reply it stands, in characters; None: its agent does not say, and no credit goes to its tokens."""


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """One entry of an episode's store."""

    id: int
    """Counts creations within the episode from 1; never reused."""
    text: str
    meta: Meta = ()
    """What an agent keeps with it: keywords, links, an importance, a time."""


@dataclass(frozen=True, slots=True)
class OpResult:
    """One line of the journal."""

    op: MemoryOp
    outcome: Outcome
    entry: int | None
    """Id of the entry that was created, changed or deleted, or of the message that sums others up; or None."""
    before: str
    """Digest before it of the memory (hexadecimal, `memory.Memory.digest`), or of the context that it is about."""
    after: str
    """Digest after it; equal to `before` unless the outcome is OK."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One step: what was asked, what came back, what became of it. One row of training data."""

    observation: Observation
    generation: Generation
    results: tuple[OpResult, ...]
    shown: tuple[MemoryEntry, ...]
    """Entries that the prompt showed as Memory 1..k."""
    entries: int
    """Entries in the store after the step, `noise` that still lies there as it was apart."""
    seconds: float = 0.0
    """Wall time of the model call (the whole batch's, for a local policy)."""
    retrieved: tuple[tuple[int, ...], ...] = ()
    """Ids of the entries that were found since the call before, best first, one group for each retrieval."""
    to: str = POLICY
    """Which model was asked: the policy, or a name of the recipe's `helpers`."""
    context: tuple[tuple[int, Message], ...] = ()
    """Messages of the episode's context that the prompt shows for the first time, by id."""

    @property
    def learned(self) -> bool:
        """Whether the policy learns from it: it was asked, and the agent does not say otherwise."""
        return self.to == POLICY and self.observation.trained


@dataclass(frozen=True, slots=True)
class Usage:
    """What one episode used of its budget; `calls` are those of models."""

    calls: int = 0
    prompt_tokens: int = 0
    """Tokens shown to the policy, summed over calls."""
    new_tokens: int = 0
    """Tokens the policy wrote, summed over calls."""
    entries: int = 0
    """Largest number of entries the store held, likewise without `noise`."""
    reads: int = 0
    """Successful Reads."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question."""

    text: str
    """Empty where there is none."""
    reply: str = ""
    """The whole reply that the answer was taken from, without its thoughts (some published scorers read it)."""
    tagged: bool = False
    """Whether it stood in answer tags; untagged replies count as the answer as they are."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A finished episode."""

    episode: str
    """`<task id>#<sample>`."""
    task: str
    sample: int
    """Which repeat of the task, from 0."""
    answers: tuple[Answer, ...]
    """One per question of the task, in order, whatever the stop reason."""
    stop: StopReason
    transitions: tuple[Transition, ...]
    usage: Usage
    chunks: tuple[Chunk, ...]
    """What the task was cut into."""
    left_out: int = 0
    """Tokens of the task that are in no chunk."""
    truncated_tokens: int = 0
    """Tokens of the task that were never shown (centre truncation)."""
    error: str = ""
    """One sentence where `stop` is ERROR, CONTEXT_OVERFLOW or FILTERED."""
    digest: str = field(default="")
    """Digest of the memory at the end."""
    opening: tuple[OpResult, ...] = ()
    """What became of the operations that the agent ran before its first call."""
    noise: tuple[MemoryEntry, ...] = ()
    """Entries that lay in the store before the episode began."""
    context: str = ""
    """Digest of the context at the end; empty where there is none."""
