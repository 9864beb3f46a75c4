"""atommem: benchmark and train LLM agents whose memory is learned, atomic CRUD operations.

The names below are the public interface, for scripts and for plug-ins of one's own; the modules that hold them may
move. Each is imported when it is first asked for, so that `import atommem_cli` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atommem_cli.agents import Options as AgentOptions
    from atommem_cli.agents import Speaker
    from atommem_cli.calls import Expects, Finish, Generation, Message, Observation
    from atommem_cli.episode import Agent, Call, Episode, Policy, apply, ask
    from atommem_cli.errors import AtommemError, BackendError, UsageError
    from atommem_cli.evaluation import evaluate
    from atommem_cli.evidence.comparison import compare as compare_runs
    from atommem_cli.evidence.runs import Run
    from atommem_cli.memory import Embedder, Store
    from atommem_cli.preparation import prepare
    from atommem_cli.recipe import load as load_recipe
    from atommem_cli.sections import Section
    from atommem_cli.taskfiles import Plan as SourcePlan
    from atommem_cli.taskfiles import Request as SourceRequest
    from atommem_cli.text import WordTokenizer
    from atommem_cli.types import Answer, Document, MemoryEntry, MemoryOp, OpKind, Outcome, Question, Support, Task

__all__ = [
    "Agent",
    "AgentOptions",
    "Answer",
    "AtommemError",
    "BackendError",
    "Call",
    "Document",
    "Embedder",
    "Episode",
    "Expects",
    "Finish",
    "Generation",
    "MemoryEntry",
    "MemoryOp",
    "Message",
    "Observation",
    "OpKind",
    "Outcome",
    "Policy",
    "Question",
    "Run",
    "Section",
    "SourcePlan",
    "SourceRequest",
    "Speaker",
    "Store",
    "Support",
    "Task",
    "UsageError",
    "WordTokenizer",
    "apply",
    "ask",
    "compare_runs",
    "evaluate",
    "load_recipe",
    "prepare",
]

__version__ = "0.1.0"

_WHERE = {
    "AgentOptions": ("atommem_cli.agents", "Options"),
    "Speaker": ("atommem_cli.agents", "Speaker"),
    "Agent": ("atommem_cli.episode", "Agent"),
    "Call": ("atommem_cli.episode", "Call"),
    "Episode": ("atommem_cli.episode", "Episode"),
    "Policy": ("atommem_cli.episode", "Policy"),
    "apply": ("atommem_cli.episode", "apply"),
    "ask": ("atommem_cli.episode", "ask"),
    "AtommemError": ("atommem_cli.errors", "AtommemError"),
    "BackendError": ("atommem_cli.errors", "BackendError"),
    "UsageError": ("atommem_cli.errors", "UsageError"),
    "evaluate": ("atommem_cli.evaluation", "evaluate"),
    "compare_runs": ("atommem_cli.evidence.comparison", "compare"),
    "Run": ("atommem_cli.evidence.runs", "Run"),
    "Embedder": ("atommem_cli.memory", "Embedder"),
    "Store": ("atommem_cli.memory", "Store"),
    "prepare": ("atommem_cli.preparation", "prepare"),
    "load_recipe": ("atommem_cli.recipe", "load"),
    "Section": ("atommem_cli.sections", "Section"),
    "SourcePlan": ("atommem_cli.taskfiles", "Plan"),
    "SourceRequest": ("atommem_cli.taskfiles", "Request"),
    "WordTokenizer": ("atommem_cli.text", "WordTokenizer"),
    "Answer": ("atommem_cli.types", "Answer"),
    "Document": ("atommem_cli.types", "Document"),
    "Expects": ("atommem_cli.calls", "Expects"),
    "Finish": ("atommem_cli.calls", "Finish"),
    "Generation": ("atommem_cli.calls", "Generation"),
    "MemoryEntry": ("atommem_cli.types", "MemoryEntry"),
    "MemoryOp": ("atommem_cli.types", "MemoryOp"),
    "Message": ("atommem_cli.calls", "Message"),
    "Observation": ("atommem_cli.calls", "Observation"),
    "OpKind": ("atommem_cli.types", "OpKind"),
    "Outcome": ("atommem_cli.types", "Outcome"),
    "Question": ("atommem_cli.types", "Question"),
    "Support": ("atommem_cli.types", "Support"),
    "Task": ("atommem_cli.types", "Task"),
}
"""Public name -> its module, and its name there."""


def __getattr__(name: str) -> Any:
    """A public name, on its first use."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _WHERE[name]
    globals()[name] = getattr(importlib.import_module(module), attribute)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
