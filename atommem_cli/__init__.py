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
    from atommem_cli.core.calls import Expects, Finish, Generation, Message, Observation, Tool
    from atommem_cli.core.chunking import WordTokenizer
    from atommem_cli.core.context import Context
    from atommem_cli.core.episode import Agent, Call, Episode, Policy, Request, apply, ask, embed
    from atommem_cli.core.errors import AtommemError, BackendError, UsageError
    from atommem_cli.core.memory import Embedder, Memory, Text
    from atommem_cli.core.store import Store
    from atommem_cli.core.thoughts import split as split_thoughts
    from atommem_cli.core.types import (
        CONTEXT_OPS,
        MEMORY_OPS,
        Answer,
        Document,
        MemoryEntry,
        MemoryOp,
        OpKind,
        OpResult,
        Outcome,
        Question,
        Shows,
        Support,
        Task,
        Trajectory,
    )
    from atommem_cli.core.workload import Shape, Workload
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
    "Context",
    "Document",
    "Embedder",
    "Episode",
    "Expects",
    "Finish",
    "Generation",
    "Memory",
    "MemoryEntry",
    "MemoryOp",
    "Message",
    "Observation",
    "OpKind",
    "OpResult",
    "Outcome",
    "Policy",
    "Question",
    "Request",
    "Run",
    "Section",
    "Shape",
    "Shows",
    "SourcePlan",
    "SourceRequest",
    "Speaker",
    "Store",
    "Support",
    "Task",
    "Text",
    "Tool",
    "Trajectory",
    "UsageError",
    "WordTokenizer",
    "Workload",
    "apply",
    "ask",
    "compare_runs",
    "embed",
    "evaluate",
    "load_recipe",
    "prepare",
    "split_thoughts",
]

__version__ = "0.1.0"

_WHERE = {
    "Shape": ("atommem_cli.core.workload", "Shape"),
    "Workload": ("atommem_cli.core.workload", "Workload"),
    "AgentOptions": ("atommem_cli.agents", "Options"),
    "Speaker": ("atommem_cli.agents", "Speaker"),
    "Agent": ("atommem_cli.core.episode", "Agent"),
    "Context": ("atommem_cli.core.context", "Context"),
    "Call": ("atommem_cli.core.episode", "Call"),
    "Episode": ("atommem_cli.core.episode", "Episode"),
    "Policy": ("atommem_cli.core.episode", "Policy"),
    "Request": ("atommem_cli.core.episode", "Request"),
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
    "Memory": ("atommem_cli.core.memory", "Memory"),
    "split_thoughts": ("atommem_cli.core.thoughts", "split"),
    "Store": ("atommem_cli.core.store", "Store"),
    "Text": ("atommem_cli.core.memory", "Text"),
    "Tool": ("atommem_cli.core.calls", "Tool"),
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
    "OpResult": ("atommem_cli.core.types", "OpResult"),
    "Shows": ("atommem_cli.core.types", "Shows"),
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
    found = getattr(importlib.import_module(module), attribute)
    if isinstance(found, type):
        importlib.import_module("atommem_cli.core.field_docs").documented(found)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
