"""An encoder behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, OpenAI.

The key is read from the environment and goes nowhere but into the request's header. A text that is longer than the
server takes stops the run, unless `max_tokens` cuts it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from atommem_cli.config.credentials import Keyless, KeyVariable, ServerUrl
from atommem_cli.config.schema import OPERATIONAL, Section
from atommem_cli.core.errors import BackendError
from atommem_cli.core.memory import TextTooLong
from atommem_cli.models.chat import OffsetTokenizer
from atommem_cli.models.http import Client, PassingError, UnreachableError
from atommem_cli.models.loading import load_tokenizer
from atommem_cli.models.refusals import Fault, fault, said

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHARACTERS = 3
"""Of a token, where no tokenizer counts them: English has four, other languages fewer."""


class Options(Section):
    """Keys of the recipe's `embedder` section."""

    url: ServerUrl = Field(json_schema_extra=OPERATIONAL)
    """Up to and including `/v1`."""
    model: str
    """As the server names it."""
    dimension: PositiveInt
    """Of its vectors."""
    query_instruction: str = ""
    """Put before queries, and before nothing else; the embedder `hf` names Qwen3-Embedding's."""
    batch: PositiveInt = Field(64, json_schema_extra=OPERATIONAL)
    """Texts per request."""
    timeout_s: PositiveFloat = Field(120.0, json_schema_extra=OPERATIONAL)
    """Seconds for one attempt, from the connection to the last byte of the body."""
    retries: int = Field(6, ge=0, json_schema_extra=OPERATIONAL)
    """Further attempts after the first one; the default goes on for about half a minute."""
    key_env: KeyVariable = Field("OPENAI_API_KEY", json_schema_extra=OPERATIONAL)
    """Environment variable that holds the key; where it is not set, none is sent."""
    max_tokens: PositiveInt | None = None
    """Longer texts are cut at the end, the instruction counts; null sends them whole."""
    tokenizer: str | None = None
    """Model folder or hub id whose tokenizer counts `max_tokens`; null takes three characters for a token."""
    extra: Annotated[dict[str, Any], Keyless] = Field(default_factory=dict)
    """Further fields of the request, sent as they are; they win over ours, and null leaves one of ours out. No keys."""


def build(options: Options) -> ServerEmbedder:
    """The embedder; it connects at the first call."""
    return ServerEmbedder(options)


class ServerEmbedder:
    """See `memory.Embedder`."""

    def __init__(self, options: Options) -> None:
        self.dimension = options.dimension
        self._options = options
        self._client = Client(options.url, options.key_env, options.timeout_s, options.retries, 1)
        self._cut = _cutter(options)
        self._runner = asyncio.Runner()
        """One loop for all requests, so that connections are kept."""

    def embed(self, texts: Sequence[str], *, is_query: bool) -> NDArray[np.float32]:
        """Shape (len(texts), dimension).

        Raises:
            BackendError: the server refuses, does not answer in the end, or answers with something else.
        """
        instruction = self._options.query_instruction if is_query else ""
        # JSON holds no lone surrogates.
        cut = [self._cut((instruction + text).encode("utf-8", "replace").decode()) for text in texts]
        vectors = np.empty((len(cut), self.dimension), np.float32)
        for start in range(0, len(cut), self._options.batch):
            batch = cut[start : start + self._options.batch]
            vectors[start : start + len(batch)] = self._read(self._post(batch, texts[start:]), len(batch))
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
            **({"max_tokens": str(options.max_tokens)} if options.max_tokens else {}),
            **({"tokenizer": options.tokenizer} if options.tokenizer else {}),
            **({"extra": json.dumps(options.extra, sort_keys=True)} if options.extra else {}),
        }

    def _post(self, batch: Sequence[str], texts: Sequence[str]) -> str:
        """The body of a good response to a batch, which was made of the first of these texts."""
        try:
            return self._runner.run(self._client.attempts(self._attempt, batch, texts))
        except UnreachableError as error:
            raise BackendError(f"{error} (start it, or correct embedder.url)") from None
        except PassingError as failure:
            raise BackendError(str(failure)) from None

    async def _attempt(self, batch: Sequence[str], texts: Sequence[str]) -> str:
        ours = {"model": self._options.model, "input": list(batch), "encoding_format": "float"}
        fields = {key: value for key, value in (ours | self._options.extra).items() if value is not None}
        client = self._client
        response = await client.request("/embeddings", fields)
        status, body = response.status, response.text
        if status == 200 and not _failed(body):
            return body
        sentence = client.clean(f"{client.place} answers with status {status}", said(body))
        match fault(status, body):
            case Fault.OVERFLOW:
                longest = max(range(len(batch)), key=lambda i: len(batch[i]))
                characters = len(batch[longest])
                raise TextTooLong(
                    f"{characters:,} characters, which is too long for the embedder (set embedder.max_tokens, or a "
                    f"lower one: longer texts are then cut): {sentence}",
                    texts[longest],
                )
            case Fault.PASSING:
                raise PassingError(sentence, response.after)
            case Fault.KEY:
                raise BackendError(client.refused)
            case Fault.CREDIT:
                raise BackendError(f"{sentence}: nothing is paid for any more")
            case Fault.BEYOND:
                raise BackendError(f"{sentence}: no wait makes it fit; lower embedder.batch")
            case Fault.MISSING:
                raise BackendError(f"{sentence}: correct embedder.url or embedder.model")
        raise BackendError(sentence)

    def _read(self, body: str, count: int) -> NDArray[np.float32]:
        """The vectors of a response, in the order of the request and of unit length."""
        url = self._client.place
        try:
            data = json.loads(body)["data"]
            with np.errstate(over="ignore"):  # what does not fit is not finite; see below
                rows = {_place(item, i): np.array(item["embedding"], np.float32) for i, item in enumerate(data)}
            sizes = {row.shape for row in rows.values()}
        except (ValueError, LookupError, TypeError, RecursionError):
            raise BackendError(self._client.clean(f"{url} answers with no embeddings", body[:100])) from None
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


def _place(item: dict[str, Any], at: int) -> int:
    """The place of a vector in the request; some servers leave out an index of 0, or every index."""
    index = item.get("index")
    return at if index is None else int(index)


def _failed(body: str) -> bool:
    """Whether a response of status 200 is none: no JSON (of a gateway), or an error."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return True
    return isinstance(data, dict) and bool(data.get("error")) and not data.get("data")


def _cutter(options: Options) -> Callable[[str], str]:
    """Cuts a text to `max_tokens`."""
    most = options.max_tokens
    if most is None:
        return str
    if options.tokenizer is None:
        return lambda text: text[: most * _CHARACTERS]
    tokenizer = OffsetTokenizer(load_tokenizer(options.tokenizer), options.tokenizer)

    def cut(text: str) -> str:
        spans = tokenizer.spans(text)
        return text if len(spans) <= most else text[: spans[most - 1][1]]

    return cut
