"""An encoder behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, OpenAI.

The key is read from the environment and goes nowhere but into the request's header. Start the server so that
it takes, or cuts, texts as long as the longest reply: a text that it refuses stops the run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from atommem_cli.errors import BackendError
from atommem_cli.sections import Section
from atommem_cli.servers import PassingError, ServerUrl, passes, pause, retry_after, said

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Options(Section):
    """Keys of the recipe's `embedder` section."""

    url: ServerUrl
    """Up to and including `/v1`."""
    model: str
    """As the server names it."""
    dimension: PositiveInt
    """Of its vectors."""
    query_instruction: str = ""
    """Put before queries, and before nothing else; see `embedders.hf` for Qwen3-Embedding's."""
    batch: PositiveInt = 64
    """Texts per request."""
    timeout_s: PositiveFloat = 120.0
    """Seconds for one attempt."""
    retries: int = Field(6, ge=0)
    """Further attempts after the first one; the default goes on for about half a minute."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; where it is not set, none is sent."""


def build(options: Options) -> ServerEmbedder:
    """The embedder; it connects at the first call."""
    return ServerEmbedder(options)


class ServerEmbedder:
    """See `memory.Embedder`."""

    def __init__(self, options: Options) -> None:
        import httpx

        self.dimension = options.dimension
        self._options = options
        key = os.environ.get(options.key_env, "").strip()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(timeout=options.timeout_s, headers=headers)

    def embed(self, texts: Sequence[str], *, is_query: bool) -> NDArray[np.float32]:
        """Shape (len(texts), dimension).

        Raises:
            BackendError: the server refuses, does not answer in the end, or answers with something else.
        """
        instruction = self._options.query_instruction if is_query else ""
        # JSON holds no lone surrogates.
        clean = [(instruction + text).encode("utf-8", "replace").decode() for text in texts]
        vectors = np.empty((len(clean), self.dimension), np.float32)
        for start in range(0, len(clean), self._options.batch):
            batch = clean[start : start + self._options.batch]
            vectors[start : start + len(batch)] = self._read(self._post(batch), len(batch))
        return vectors

    def describe(self) -> dict[str, str]:
        """Name, model, and the options that change vectors; never the key."""
        options = self._options
        return {
            "name": "openai_server",
            "url": options.url,
            "model": options.model,
            "dimension": str(options.dimension),
            "query_instruction": options.query_instruction,
        }

    def _post(self, texts: Sequence[str]) -> str:
        """The body of a good response."""
        import httpx
        import tenacity

        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(1 + self._options.retries),
            wait=pause,
            retry=tenacity.retry_if_exception_type((PassingError, httpx.RequestError)),
            reraise=True,
        )
        try:
            body: str = attempts(self._attempt, texts)
        except PassingError as failure:
            raise BackendError(str(failure)) from None
        except httpx.RequestError as error:
            reason = str(error) or type(error).__name__
            raise BackendError(f"the embedding server at {self._options.url} does not answer: {reason}") from error
        return body

    def _attempt(self, texts: Sequence[str]) -> str:
        request = {"model": self._options.model, "input": list(texts), "encoding_format": "float"}
        response = self._client.post(f"{self._options.url}/embeddings", json=request)
        status = response.status_code
        if response.is_success:
            return response.text
        sentence = f"{self._options.url} answers with status {status}: {' '.join(said(response.text).split())[:200]}"
        if passes(status):
            raise PassingError(sentence, retry_after(response.headers.get("Retry-After", "")))
        if status in (401, 403):
            raise BackendError(f"{self._options.url} refuses the key in {self._options.key_env} (status {status})")
        raise BackendError(sentence)

    def _read(self, body: str, count: int) -> NDArray[np.float32]:
        """The vectors of a response, in the order of the request and of unit length."""
        url = self._options.url
        try:
            data = json.loads(body)["data"]
            with np.errstate(over="ignore"):  # what does not fit is not finite; see below
                rows = {int(item["index"]): np.array(item["embedding"], np.float32) for item in data}
            sizes = {row.shape for row in rows.values()}
        except (ValueError, LookupError, TypeError, RecursionError):
            raise BackendError(f"{url} answers with no embeddings: {body[:100]!r}") from None
        if len(data) != count or rows.keys() != set(range(count)):
            raise BackendError(f"{url} answers with {len(data)} vectors to {count} texts")
        if sizes != {(self.dimension,)}:
            made = ", ".join(sorted(str(size[0]) if len(size) == 1 else "?" for size in sizes))
            raise BackendError(f"{url} makes vectors of {made} dimensions: set embedder.dimension to that")
        vectors = np.stack([rows[i] for i in range(count)])
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not norms.all():
            raise BackendError(f"{url} makes vectors that are zero or not finite")
        unit: NDArray[np.float32] = vectors / norms
        return unit
