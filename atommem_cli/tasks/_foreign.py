"""Files of the field that `prepare` does not read, by their fields: what they are, and what to do instead."""

from __future__ import annotations

from collections.abc import Collection

_ELSE = "there is no source for it yet"
_KNOWN: tuple[tuple[frozenset[str], frozenset[str], str], ...] = tuple(
    (frozenset(fields.split()), frozenset(absent.split()), said)
    for fields, absent, said in (
        (
            "context input answers",
            "",
            f"MemAgent's evaluation tasks (context, input, answers), mixed already, and {_ELSE}; prepare tasks of the "
            "same kind from the original HotpotQA, with --docs",
        ),
        (
            "prompt reward_model",
            "",
            f"training prompts of verl, as MemAgent and AtomMem publish them (prompt, reward_model), and {_ELSE}; "
            "prepare tasks of the same kind from the original HotpotQA, with --docs",
        ),
        (
            "title paragraphs",
            "question",
            f"articles in SQuAD's layout (title, paragraphs), and {_ELSE}; records as data/README.md shows are read",
        ),
        (
            "question context answers",
            "answer",
            f"questions in SQuAD's layout (context, answers), and {_ELSE}; records as data/README.md shows are read",
        ),
        ("idx title text", "question", "a corpus (title, text) without questions; give the file of the questions"),
        ("title text", "question", "a corpus (title, text) without questions; give the file of the questions"),
        ("sp answer", "question", "predictions (answer, sp); give the file of the questions"),
        ("Q_id aliases", "question", "2Wiki's aliases; give the file of the questions that lies beside them"),
    )
)
_SENTENCES = frozenset({"context", "supporting_facts", "question"})
_PARAGRAPHS = frozenset({"paragraphs", "question"})
_SPEAKERS = frozenset({"conversation", "qa"})
_SESSIONS = frozenset({"haystack_sessions", "question"})


def recognised(fields: Collection[str], source: str) -> str | None:
    """What a record with these fields is, if it is another's than the source's own; None where it is not known."""
    there = frozenset(fields)
    for needed, absent, said in _KNOWN:
        if needed <= there and not absent & there:
            return f"these are {said}"
    if there >= _SPEAKERS and source != "locomo":
        return "these are LoCoMo's conversations (conversation, qa): atommem prepare locomo reads them"
    if there >= _SESSIONS and source != "longmemeval":
        return "these are LongMemEval's sessions (haystack_sessions): atommem prepare longmemeval reads them"
    if there >= _PARAGRAPHS and source != "musique":
        return "these are records in MuSiQue's layout: atommem prepare musique reads them"
    if there >= _SENTENCES and source in ("musique", "records"):
        return "these are records in HotpotQA's layout: atommem prepare hotpotqa (or 2wikimultihopqa) reads them"
    return None
