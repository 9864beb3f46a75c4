"""Chunks given to LangMem's own store manager with scripted tool calls: what it is shown, and what it keeps. JSON.

Run by the Python of its own environment (see `environment`): ask_langmem.py FILE

FILE holds a list of episodes, each a list of [chunk, operations]; an operation is ["INSERT", text], ["UPDATE", number,
text] or ["DELETE", number], where the number is that of an entry shown, from 1. Nothing is sent anywhere.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

os.environ |= {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"}

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.store.memory import InMemoryStore
from langmem import create_memory_store_manager
from langmem.knowledge.extraction import MemoryStoreManager
from pydantic import Field
from untied import DIMENSION, Untied

HEADING = "=\n\n"
"""Ends the line that stands over the text of a message, in a query."""


class Said(BaseChatModel):
    """A model that calls the tools that it was given to call, once, and nothing when it is asked again."""

    calls: list[dict[str, Any]] = Field(default_factory=list)
    again: int = 0

    @property
    def _llm_type(self) -> str:
        return "said"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self.bind()

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        self.again += 1
        calls, self.calls = self.calls, []
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content="", tool_calls=calls))])


def call(number: int, operation: list[Any], shown: list[str]) -> dict[str, Any]:
    """An operation as a call of one of trustcall's tools."""
    event, *told = operation
    if event == "INSERT":
        return {"name": "Memory", "args": {"content": told[0]}, "id": f"c{number}"}
    known = shown[told[0] - 1] if told[0] <= len(shown) else "unknown"
    if event == "DELETE":
        return {"name": "RemoveDoc", "args": {"json_doc_id": known}, "id": f"c{number}"}
    patch = [{"op": "replace", "path": "/content", "value": told[1]}]
    args = {"json_doc_id": known, "planned_edits": "", "patches": patch}
    return {"name": "PatchDoc", "args": args, "id": f"c{number}"}


def text_of(item: Any) -> str:
    """What an entry says; the whole of it where it is no memory, but a call that went wrong."""
    content = item.value["content"]
    return str(content.get("content", item.value))


def main() -> None:
    asked = json.load(open(sys.argv[1], encoding="utf-8"))  # noqa: SIM115
    logging.disable()
    embedder, model, found = Untied(), Said(), {}

    def embed(texts: list[str]) -> list[list[float]]:
        return embedder.embed([text.split(HEADING)[-1] for text in texts]).tolist()  # type: ignore[no-any-return]

    sort = MemoryStoreManager._sort_results

    def sorted_results(lists: Any, limit: int) -> Any:
        """Notes what is shown, in its order; the model calls its tools by these ids."""
        found.clear()
        found.update(sort(lists, limit))
        model.calls = [call(number, one, [*found]) for number, one in enumerate(operations)]
        return dict(found)

    MemoryStoreManager._sort_results = staticmethod(sorted_results)  # type: ignore[method-assign]
    episodes = []
    for chunks in asked:
        index: Any = {"dims": DIMENSION, "embed": embed, "fields": ["content.content"]}
        store = InMemoryStore(index=index)
        manager = create_memory_store_manager(model, store=store, namespace=("memories",), enable_deletes=True)
        steps = []
        for text, operations in chunks:  # noqa: B007
            model.again, lost = 0, ""
            try:
                manager.invoke({"messages": [{"role": "user", "content": text}]})  # type: ignore[typeddict-item]
            except Exception as error:
                lost = type(error).__name__
            kept = sorted(text_of(one) for one in store.search(("memories",), limit=10_000))
            shown = [text_of(one) for one in found.values()]
            steps.append({"shown": shown, "kept": kept, "asked": model.again, "lost": lost})
        episodes.append(steps)
    print(json.dumps(episodes))


main()
