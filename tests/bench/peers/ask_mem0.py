"""Chunks added to a real Mem0 with scripted replies: what its second call is shown, what it does, what it keeps. JSON.

Run by the Python of its own environment (see `environment`): ask_mem0.py FILE

FILE holds `episodes`, a list of lists of [chunk, reply to the first call, reply to the second]; and `vectors`, a list
of numbers of unit length for every text that is embedded. Nothing is sent anywhere: its telemetry is off.
"""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import sys
import tempfile
from typing import Any

HOME = tempfile.mkdtemp()
os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": HOME}

from mem0.configs.base import MemoryConfig  # noqa: E402
from mem0.memory import main as mem0  # noqa: E402
from mem0.vector_stores.configs import VectorStoreConfig  # noqa: E402


class Said:
    """A model that says what it was given to say, and remembers what the second call of a chunk was shown."""

    def __init__(self) -> None:
        self.replies: list[str] = []
        self.shown: list[str] = []

    def generate_response(self, messages: list[dict[str, str]], **_: Any) -> str:
        prompt = messages[-1]["content"]
        if len(messages) == 1:
            found = re.search(r"collected till now.*?```\s*(\[.*?\])\s*```", prompt, re.DOTALL)
            self.shown = [one["text"] for one in ast.literal_eval(found[1])] if found else []
            return self.replies[1]
        return self.replies[0]


class Known:
    """Vectors that were handed in."""

    def __init__(self, vectors: dict[str, list[float]]) -> None:
        self.vectors = vectors

    def embed(self, text: str, *_: Any, **__: Any) -> list[float]:
        return self.vectors[text]


def main() -> None:
    asked = json.load(open(sys.argv[1], encoding="utf-8"))  # noqa: SIM115
    logging.disable()  # it says of every operation that it loses that it does
    model, known = Said(), Known(asked["vectors"])
    mem0.LlmFactory.create = lambda *_: model
    mem0.EmbedderFactory.create = lambda *_: known
    dimension = len(next(iter(asked["vectors"].values())))
    stored = {"collection_name": "c", "embedding_model_dims": dimension, "path": f"{HOME}/q", "on_disk": False}
    memory = mem0.Memory(
        MemoryConfig(
            vector_store=VectorStoreConfig(provider="qdrant", config=stored), history_db_path=f"{HOME}/history.db"
        )
    )
    episodes = []
    for number, chunks in enumerate(asked["episodes"]):
        user, steps = f"episode-{number}", []
        for text, *replies in chunks:
            model.replies, model.shown = replies, []
            done = memory.add(text, user_id=user)["results"]
            ran = [[one["event"], "" if one["event"] == "DELETE" else one["memory"]] for one in done]
            steps.append({"shown": model.shown, "done": ran})
        kept = memory.get_all(user_id=user, limit=10_000)["results"]
        episodes.append({"steps": steps, "kept": sorted(one["memory"] for one in kept)})
    print(json.dumps(episodes))


main()
