"""Documents and questions given to a real HippoRAG with scripted replies: the triples that its filter is shown, and the
documents that it finds, in order. JSON.

Run by the Python of its own environment (see `environment`): ask_hipporag.py FILE

FILE holds `episodes`, each with `documents` (a list of [text, reply with entities, reply with triples]) and
`questions`; and `vectors`, a list of numbers of unit length for every text. Packages that it names and does not
need here (torch, vllm) are empty; its search for synonyms, in torch, is the same search in numpy: every pair, nearest
first.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import logging
import sys
import tempfile
import types
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np


class Empty(types.ModuleType):
    """A module in which every name is a class that does nothing."""

    __path__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *_, **__: None, "__call__": lambda self, one: one})


NOT_NEEDED = (
    "torch",
    "transformers",
    "vllm",
    "litellm",
    "gritlm",
    "boto3",
    "tiktoken",
    "einops",
    "tenacity",
    "filelock",
    "httpx",
    "openai",
    "botocore",
    "packaging",
)


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds those that are not needed, where they are not installed, as empty modules."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        there = name.split(".", maxsplit=1)[0] not in NOT_NEEDED
        return None if there else importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> Empty:
        return Empty(spec.name)

    def exec_module(self, module: Any) -> None:
        pass


ABSENT = Absent()
sys.meta_path.append(ABSENT)
import hipporag  # noqa: E402, F401

module = sys.modules["hipporag.HippoRAG"]
sys.meta_path.remove(ABSENT)


def nearest(query_ids: list[str], key_ids: list[str], query_vecs: Any, key_vecs: Any, k: int, **_: int) -> Any:
    if not key_ids:
        return {}
    rows = np.asarray(query_vecs, np.float32) @ np.asarray(key_vecs, np.float32).T
    orders = np.argsort(-rows, axis=1, kind="stable")[:, :k]
    return {
        one: ([key_ids[at] for at in order], row[order].tolist())
        for one, row, order in zip(query_ids, rows, orders, strict=True)
    }


class Said:
    """A model that says what it was given to say, and remembers what the filter was shown."""

    def __init__(self, documents: list[list[str]]) -> None:
        self.documents, self.shown = documents, list[str]()

    def infer(self, messages: list[dict[str, str]], **_: Any) -> Any:
        prompt = messages[-1]["content"]
        if "[[ ## fact_before_filter ## ]]" in prompt:
            facts = json.loads(prompt.split("[[ ## fact_before_filter ## ]]")[1].split("\n\nRespond")[0])["fact"]
            self.shown = [", ".join(fact) for fact in facts]
            kept = [fact for fact, text in zip(facts, self.shown, strict=True) if zlib.crc32(text.encode()) % 2]
            reply = json.dumps({"fact": kept})
            return f"[[ ## fact_after_filter ## ]]\n{reply}\n\n[[ ## completed ## ]]", {}, False
        _, entities, triples = next(one for one in self.documents if one[0] in prompt)
        said = triples if prompt.startswith("Convert the paragraph into a JSON dict") else entities
        return said, {"finish_reason": "stop"}, False


class Known:
    """Vectors that were handed in."""

    def __init__(self, vectors: dict[str, list[float]]) -> None:
        self.vectors = vectors

    def batch_encode(self, texts: list[str], **_: Any) -> Any:
        return np.array([self.vectors[text] for text in texts], np.float32)


def main() -> None:
    asked = json.load(open(sys.argv[1], encoding="utf-8"))  # noqa: SIM115
    logging.disable()
    found: list[list[Any]] = []
    for episode in asked["episodes"]:
        model = Said(episode["documents"])
        module._get_llm_class = lambda _, model=model: model
        module._get_embedding_model_class = lambda **_: lambda **__: Known(asked["vectors"])
        module.retrieve_knn = nearest
        with tempfile.TemporaryDirectory() as home, _quiet():
            memory = module.HippoRAG(save_dir=home, llm_model_name="said", embedding_model_name="known")
            memory.index([text for text, *_ in episode["documents"]])
            found.append([_asked(memory, model, question) for question in episode["questions"]])
    print(json.dumps(found))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _asked(memory: Any, model: Said, question: str) -> dict[str, Any]:
    model.shown = []
    try:
        (solution,) = memory.retrieve([question])
    except AssertionError as error:
        return {"shown": model.shown, "raised": str(error) or "AssertionError"}
    return {"shown": model.shown, "found": solution.docs}


main()
