"""The oracle: what a perfect reader with a perfect memory policy would do.

While reading it wants the store to hold one entry per fact (`stream`: the current statement of each
subject and relation; question sets: per question, the supporting sentences each chunk shows, or those with the
answer where no gold facts are known), compares
that with what the store holds, and writes the difference: missing facts are created at once; outdated ones
are updated or deleted when they are shown, and read first when they are not. A context with a limit it keeps
clear of distractors, and sums up when half of it is used. It answers only what the
prompt before it proves, so its score is the ceiling of agent, chunking and retrieval, not a given.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence

from atommem_cli.core import stream_facts
from atommem_cli.core.calls import MATERIAL, Expects, Observation
from atommem_cli.core.episode import Episode, addressing_of
from atommem_cli.core.types import CONTEXT_OPS, Document, Event, MemoryEntry, MemoryOp, OpKind, Question
from atommem_cli.policies._material import material

_Key = tuple[str, str]


class Oracle:
    """One reply of the oracle."""

    def __init__(self, episode: Episode, observation: Observation) -> None:
        self._observation = observation
        self._episode = episode
        self._memory = episode.memory
        self._task = episode.task
        self._events = {d.text: d.event for d in self._task.documents if d.event is not None}

    def reply(self) -> str:
        """What the oracle says to this call."""
        observation = self._observation
        write = self._episode.agent.write
        if observation.expects in MATERIAL:
            return material(self._episode, observation, self._kept(), self._needed, said(observation))
        if observation.expects is Expects.NOTES:
            notes = "\n".join(self._wanted(observation.chunk).values())
            return write(Expects.NOTES, [MemoryOp(OpKind.SCRATCHPAD, notes)])
        if observation.question is None and observation.chunk is None and observation.items:
            return write(Expects.OPERATIONS, self._settled(observation.items))
        if observation.question is None:
            wanted = self._wanted(observation.chunk)
            return write(Expects.OPERATIONS, [*self._tidy(wanted), *self._cleared(wanted)])
        question = self._task.questions[observation.question]
        ops = self._before_answering(question) if observation.reads_left else []
        if ops:
            first = observation.reads_left == self._episode.limits.reads
            return write(Expects.ANSWER, [*(self._cleared(self._wanted(None)) if first else ()), *ops])
        return write(Expects.ANSWER, [], visible_answer(question, self._prompt(), self._task.documents))

    # --- reading

    def _wanted(self, chunk: int | None) -> dict[_Key, str]:
        """What the store should hold after a chunk, given all chunks so far."""
        last = chunk if chunk is not None else len(self._episode.chunks) - 1
        chunks = self._episode.chunks[: last + 1]
        wanted: dict[_Key, str] = {}
        if self._events:
            relevant = self._relevant(self._task.questions)
            for index in sorted({i for c in chunks for i in c.documents}):
                document = self._task.documents[index]
                if document.event is not None:
                    self._note(wanted, document.text, document.event)
            return {key: text for key, text in wanted.items() if key in relevant}
        written: set[_Key] = set()
        for c in chunks:
            for question in self._task.questions:
                facts = [f for f in self._needed(question) if f in c.text and (question.id, f) not in written]
                written |= {(question.id, fact) for fact in facts}
                if facts:
                    wanted[question.id, str(c.index)] = " ".join([question.text, *facts])
        return wanted

    def _kept(self) -> list[str]:
        """Every text that matters at some time: statements of the paths, corrections too; supporting sentences."""
        if not self._events:
            return list(dict.fromkeys(fact for question in self._task.questions for fact in self._needed(question)))
        relevant = self._relevant(self._task.questions)
        relevant |= {("", relation) for _, relation in relevant}  # values that go
        return [text for text, event in self._events.items() if (event.subject, event.relation) in relevant]

    def _note(self, wanted: dict[_Key, str], text: str, event: Event) -> None:
        """What should be held of each fact, after one more statement."""
        if stream_facts.cascades(event):
            for key in [
                key for key in wanted if (key[1], self._events[wanted[key]].value) == (event.relation, event.value)
            ]:
                del wanted[key]
        elif event.value is None:
            wanted.pop((event.subject, event.relation), None)
        else:
            wanted[event.subject, event.relation] = text

    def _relevant(self, questions: Sequence[Question]) -> set[_Key]:
        """Every (subject, relation) that these questions' paths have touched at any time."""
        found: set[_Key] = set()
        for question in questions:
            steps = stream_facts.reached(self._task.documents, question.path)
            for subjects, relation in zip(steps, question.path[1:], strict=False):
                found |= {(subject, relation) for subject in subjects}
        return found

    def _tidy(self, wanted: dict[_Key, str], keys: set[_Key] | None = None) -> list[MemoryOp]:
        """The operations that bring the store to what is wanted, as far as the view allows.

        Args:
            keys: what may be changed; None is everything.
        """
        numbers, news = self._memory.targets, self._news(wanted)
        held = {self._key(entry, wanted): entry for entry in self._memory.entries}
        creates = [MemoryOp(OpKind.CREATE, wanted[key]) for key in news if key not in held and keys is None]
        changes, hidden = [], []
        for key, entry in held.items():
            if wanted.get(key) == entry.text or (keys is not None and key not in keys):
                continue
            if entry.id not in numbers:
                hidden.append(entry.text)
            elif key in wanted and key not in news:
                continue
            elif key in wanted:
                changes.append(MemoryOp(OpKind.UPDATE, wanted[key], numbers[entry.id]))
            else:
                changes.append(MemoryOp(OpKind.DELETE, target=numbers[entry.id]))
        reads = [MemoryOp(OpKind.READ, text) for text in hidden if text != self._memory.query][:1]
        if reads and not changes and self._observation.reads_left:
            return reads  # and nothing else, so that this chunk is shown again
        return creates + changes + reads

    def _settled(self, facts: Sequence[str]) -> list[MemoryOp]:
        """What becomes of the view where these facts are new, the last word on each matter."""
        last = {self._about(fact): fact for fact in facts}
        ops: list[MemoryOp] = []
        for about, fact in last.items():
            event = self._events.get(fact)
            held = [entry for entry in self._memory.shown if self._about(entry.text) == about]
            numbers = [self._memory.targets[entry.id] for entry in held if entry.text != fact]
            gone = event is not None and event.value is None
            if not gone and len(numbers) == len(held):
                first = numbers.pop(0) if numbers else None
                ops.append(MemoryOp(OpKind.CREATE if first is None else OpKind.UPDATE, fact, first))
            ops += [MemoryOp(OpKind.DELETE, target=number) for number in numbers]
        return ops

    def _about(self, text: str) -> _Key:
        event = self._events.get(text)
        return ("", text) if event is None else (event.subject, event.relation)

    def _news(self, wanted: dict[_Key, str]) -> list[_Key]:
        """What may be written now: in a conversation, which shows every reply again, no more than this chunk says."""
        chunk = self._observation.chunk
        if not self._observation.keep_tokens:
            return [*wanted]
        before = self._wanted(chunk - 1) if chunk else {}
        return [key for key, text in wanted.items() if chunk is not None and before.get(key) != text]

    def _cleared(self, wanted: dict[_Key, str]) -> list[MemoryOp]:
        """Edits of a context that has a limit: distractors go at once, and all else when half of the room is used."""
        observation, episode = self._observation, self._episode
        can = {*CONTEXT_OPS} & {*episode.agent.operations} - self._memory.dropped
        if observation.room is None or not can:
            return []
        *before, last = [entry.id for entry in episode.context.entries if entry.message.role != "system"]
        gone = []
        if observation.chunk is not None and OpKind.FILTER in can:
            there = episode.chunks[observation.chunk].documents
            gone = [last] if all(self._task.documents[i].distractor for i in there) else []
        edits = [MemoryOp(OpKind.FILTER, targets=tuple(gone))] if gone else []
        used = sum(map(len, map(episode.tokenizer.spans, observation.texts)))
        if before and observation.room < used:
            summary = "\n".join(text for text in wanted.values() if text in said(observation))
            if OpKind.SUMMARIZE in can and (summary or OpKind.FILTER not in can):
                edits.append(MemoryOp(OpKind.SUMMARIZE, summary or "none", targets=tuple(before)))
            else:
                edits.append(MemoryOp(OpKind.FILTER, targets=tuple(before)))
        return edits

    def _key(self, entry: MemoryEntry, wanted: dict[_Key, str]) -> _Key:
        if entry.text in self._events:
            return self._about(entry.text)
        return next((key for key, text in wanted.items() if text == entry.text), ("", entry.text))

    # --- answering

    def _before_answering(self, question: Question) -> list[MemoryOp]:
        """What must still be done before the question can be answered; ends with a Read, or is nothing."""
        tidy = self._tidy(self._wanted(None), self._relevant([question]))
        if tidy:
            looking = tidy[-1].kind is OpKind.READ or self._memory.query == question.text
            return tidy if looking else [*tidy, MemoryOp(OpKind.READ, question.text)]
        missing = [fact for fact in self._needed(question) if fact not in self._prompt()]
        return self._look_up(question, missing)

    def _look_up(self, question: Question, missing: list[str]) -> list[MemoryOp]:
        """Reads that bring the missing facts into view; what is seen already goes to the scratchpad."""
        holders = [e.text for e in self._memory.entries if any(fact in e.text for fact in missing)]
        if not holders:
            return []
        query = " ".join(holders)
        if addressing_of(self._episode.agent) == "shown":  # what the last query finds is in view already
            if query == self._memory.query:
                query = holders[0]
            if query == self._memory.query:
                return []
        seen = [fact for fact in self._needed(question) if fact not in missing]
        notes = [fact for fact in seen if fact not in self._memory.scratchpad]
        ops = [MemoryOp(OpKind.READ, query)]
        if notes:
            text = "\n".join(filter(None, [self._memory.scratchpad, *notes]))
            ops.insert(0, MemoryOp(OpKind.SCRATCHPAD, text))
        return ops

    def _needed(self, question: Question) -> list[str]:
        if question.path:
            final: dict[_Key, str] = {}
            for document in self._task.documents:
                if document.event is not None:
                    self._note(final, document.text, document.event)
            return list(self._along(question.path, final))
        return list(_facts(question, self._task.documents))

    def _along(self, path: tuple[str, ...], final: dict[_Key, str]) -> Iterator[str]:
        subject = path[0]
        for relation in path[1:]:
            if (text := final.get((subject, relation))) is None:
                return
            yield text
            subject = self._events[text].value or ""

    def _prompt(self) -> str:
        """What the prompt shows, but for the query: that is the policy's own word and proves nothing.

        A dialect need not show it: where it stands only within entries and scratchpad, it stays.
        """
        content, query = said(self._observation), "" if self._observation.keep_tokens else self._memory.query
        shown = [*(entry.text for entry in self._memory.shown), self._memory.scratchpad]
        within = sum(text.count(query) for text in shown if text and text in content) if query else 0
        return content.replace(query, "", 1) if content.count(query) > within else content


def said(observation: Observation) -> str:
    """What a prompt shows but for its instructions: one message, or a conversation, without the policy's own words."""
    others = (message.content for message in observation.messages if message.role not in ("system", "assistant"))
    return "\n".join(others)


def notes_shown(episode: Episode, observation: Observation) -> str:
    """The scratchpad as far as a prompt shows it: a gist of one page has nothing of the other gists."""
    notes = episode.memory.scratchpad
    return notes if notes in said(observation) else ""


def visible_answer(question: Question, prompt: str, documents: tuple[Document, ...]) -> str:
    """The answer that a text proves: `stream` by following the path through the statements that occur in
    it (the last occurrence of two that disagree counts, and what a cascade has ended does not come back);
    question sets: the gold answer if every supporting sentence occurs in it, or one that holds an accepted answer where
    no facts are known; or else nothing. What nothing tells is proved by anything."""
    if not question.path:
        enough = all if question.supporting or question.unanswerable else any
        return question.answers[0] if enough(s in prompt for s in _facts(question, documents)) else ""
    stated = {d.text: d for d in documents if d.event is not None and d.text in prompt}
    over = {text for text, one in stated.items() if one.event and stream_facts.cascades(one.event)}
    ordered = sorted(stated, key=lambda text: (text in over, prompt.rfind(text)))
    state = stream_facts.final_state([stated[text] for text in ordered])
    return stream_facts.answer(state, question.path)


def _facts(question: Question, documents: tuple[Document, ...]) -> tuple[str, ...]:
    """Supporting facts by sentence: a chunk may end within a paragraph. Where none is known, the sentences in which an
    accepted answer stands, word by word: the nearest to a fact that there is."""
    if question.supporting or question.unanswerable:
        return tuple(sentence for support in question.supporting for sentence in _sentences(support.text))
    return _holding(question.answers, documents)


@functools.lru_cache(maxsize=256)
def _holding(answers: tuple[str, ...], documents: tuple[Document, ...]) -> tuple[str, ...]:
    """The sentences of documents in which one of these answers stands."""
    words = "|".join(re.escape(answer) for answer in answers if answer.strip())
    one = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)
    said = (sentence for document in documents for sentence in _sentences(document.text))
    return tuple(dict.fromkeys(sentence for sentence in said if one.search(sentence)))


def _sentences(text: str) -> Iterator[str]:
    return filter(None, re.split(r"(?<=[.!?])\s+", text.strip()))
