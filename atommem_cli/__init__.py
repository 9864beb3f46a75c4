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
    from atommem_cli.compare.comparison import compare as compare_runs
    from atommem_cli.config.recipe import load as load_recipe
    from atommem_cli.config.schema import Section
    from atommem_cli.core.calls import Expects, Finish, Generation, Message, Observation
    from atommem_cli.core.chunking import WordTokenizer
    from atommem_cli.core.episode import Agent, Call, Episode, Policy, apply, ask, embed
    from atommem_cli.core.errors import AtommemError, BackendError, UsageError
    from atommem_cli.core.memory import Embedder, Text
    from atommem_cli.core.store import Store
    from atommem_cli.core.types import (
        CONTEXT_OPS,
        MEMORY_OPS,
        Answer,
        Document,
        MemoryEntry,
        MemoryOp,
        OpKind,
        Outcome,
        Question,
        Support,
        Task,
        Trajectory,
    )
    from atommem_cli.data.files import Plan as SourcePlan
    from atommem_cli.data.files import Request as SourceRequest
    from atommem_cli.data.preparation import prepare
    from atommem_cli.running.evaluation import evaluate
    from atommem_cli.runs.reader import Run

__all__ = [
    "CONTEXT_OPS",
    "MEMORY_OPS",
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
    "Text",
    "Trajectory",
    "UsageError",
    "WordTokenizer",
    "apply",
    "ask",
    "compare_runs",
    "embed",
    "evaluate",
    "load_recipe",
    "prepare",
]

__version__ = "0.1.0"

_WHERE = {
    "AgentOptions": ("atommem_cli.agents", "Options"),
    "Speaker": ("atommem_cli.agents", "Speaker"),
    "Agent": ("atommem_cli.core.episode", "Agent"),
    "Call": ("atommem_cli.core.episode", "Call"),
    "Episode": ("atommem_cli.core.episode", "Episode"),
    "Policy": ("atommem_cli.core.episode", "Policy"),
    "apply": ("atommem_cli.core.episode", "apply"),
    "ask": ("atommem_cli.core.episode", "ask"),
    "embed": ("atommem_cli.core.episode", "embed"),
    "AtommemError": ("atommem_cli.core.errors", "AtommemError"),
    "BackendError": ("atommem_cli.core.errors", "BackendError"),
    "UsageError": ("atommem_cli.core.errors", "UsageError"),
    "evaluate": ("atommem_cli.running.evaluation", "evaluate"),
    "compare_runs": ("atommem_cli.compare.comparison", "compare"),
    "Run": ("atommem_cli.runs.reader", "Run"),
    "Embedder": ("atommem_cli.core.memory", "Embedder"),
    "Store": ("atommem_cli.core.store", "Store"),
    "Text": ("atommem_cli.core.memory", "Text"),
    "prepare": ("atommem_cli.data.preparation", "prepare"),
    "load_recipe": ("atommem_cli.config.recipe", "load"),
    "Section": ("atommem_cli.config.schema", "Section"),
    "SourcePlan": ("atommem_cli.data.files", "Plan"),
    "SourceRequest": ("atommem_cli.data.files", "Request"),
    "WordTokenizer": ("atommem_cli.core.chunking", "WordTokenizer"),
    "CONTEXT_OPS": ("atommem_cli.core.types", "CONTEXT_OPS"),
    "MEMORY_OPS": ("atommem_cli.core.types", "MEMORY_OPS"),
    "Answer": ("atommem_cli.core.types", "Answer"),
    "Document": ("atommem_cli.core.types", "Document"),
    "Expects": ("atommem_cli.core.calls", "Expects"),
    "Finish": ("atommem_cli.core.calls", "Finish"),
    "Generation": ("atommem_cli.core.calls", "Generation"),
    "MemoryEntry": ("atommem_cli.core.types", "MemoryEntry"),
    "MemoryOp": ("atommem_cli.core.types", "MemoryOp"),
    "Message": ("atommem_cli.core.calls", "Message"),
    "Observation": ("atommem_cli.core.calls", "Observation"),
    "OpKind": ("atommem_cli.core.types", "OpKind"),
    "Outcome": ("atommem_cli.core.types", "Outcome"),
    "Question": ("atommem_cli.core.types", "Question"),
    "Support": ("atommem_cli.core.types", "Support"),
    "Task": ("atommem_cli.core.types", "Task"),
    "Trajectory": ("atommem_cli.core.types", "Trajectory"),
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
