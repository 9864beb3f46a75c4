"""Files of the field that a source does not read, by their fields: what they are, and what to do instead."""

from __future__ import annotations

from collections.abc import Collection

_NONE = "there is no source for it yet; records as data/README.md shows are read"
_UNREAD: tuple[tuple[frozenset[str], frozenset[str], str], ...] = tuple(
    (frozenset(fields.split()), frozenset(absent.split()), said)
    for fields, absent, said in (
        ("title paragraphs", "question", f"articles in SQuAD's layout (title, paragraphs), and {_NONE}"),
        ("question context answers", "answer", f"questions in SQuAD's layout (context, answers), and {_NONE}"),
        ("title text", "question", "a corpus (title, text) without questions; give the file of the questions"),
        ("sp answer", "question", "predictions (answer, sp); give the file of the questions"),
        ("Q_id aliases", "question", "2Wiki's aliases; give the file of the questions that lies beside them"),
    )
)
"""Fields that are there, fields that are not, and what they say."""
_READ: tuple[tuple[frozenset[str], tuple[str, ...], str], ...] = tuple(
    (frozenset(fields.split()), sources, said)
    for fields, sources, said in (
        (
            "context input answers",
            ("memagent",),
            "MemAgent's evaluation tasks (context, input, answers)",
        ),
        ("prompt reward_model", ("memagent",), "training prompts of verl, as MemAgent and AtomMem publish them"),
        ("context questions answers metadata", ("memory_agent_bench",), "MemoryAgentBench's contexts with questions"),
        ("conversation qa", ("locomo",), "LoCoMo's conversations (conversation, qa)"),
        ("haystack_sessions question", ("longmemeval",), "LongMemEval's sessions (haystack_sessions)"),
        ("documents questions", ("records",), "documents with their questions"),
        ("paragraphs question", ("musique",), "records in MuSiQue's layout"),
        ("context supporting_facts question", ("hotpotqa", "2wikimultihopqa"), "records in HotpotQA's layout"),
    )
)
"""Fields that are there, the sources that read them, and what they say."""


def recognised(fields: Collection[str], source: str) -> str | None:
    """What a record with these fields is, if it is another's than the source's own; None where it is not known."""
    there = frozenset(fields)
    for needed, sources, said in _READ:
        if needed <= there:
            others = f" (or {sources[1]})" if sources[1:] else ""
            known = f"these are {said}: atommem prepare {sources[0]}{others} reads them"
            return None if source in sources else known
    for needed, absent, said in _UNREAD:
        if needed <= there and not absent & there:
            return f"these are {said}"
    return None
