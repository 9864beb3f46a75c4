"""A model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, `transformers serve`, OpenAI.

The key is read from the environment and goes nowhere but into the request's header.

What servers do without a word: Ollama cuts long prompts (start it with OLLAMA_CONTEXT_LENGTH at least as
large as `window`); `transformers serve` takes prompts beyond the window, and is greedy at any temperature
unless `extra` holds a `generation_config` with do_sample.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat, PositiveInt

from atommem_cli import servers
from atommem_cli.chat import OffsetTokenizer, whole
from atommem_cli.episode import Call
from atommem_cli.errors import BackendError
from atommem_cli.policies import _completions as completions
from atommem_cli.policies._completions import Completion
from atommem_cli.sections import Section
from atommem_cli.servers import PassingError, ServerUrl
from atommem_cli.text import Tokenizer, WordTokenizer
from atommem_cli.types import Finish, Generation, Observation
from atommem_cli.weights import load_tokenizer

if TYPE_CHECKING:
    import httpx

_CONNECT = 10.0
"""Seconds to wait for a connection."""


class Options(Section):
    """Keys of the recipe's `policy` section."""

    url: ServerUrl
    """Up to and including `/v1`."""
    model: str
    """As the server names it."""
    temperature: float = Field(0.7, ge=0)
    """0 is greedy. Default: AtomMem's (papers.md 1.5)."""
    top_p: float = Field(1.0, gt=0, le=1)
    concurrency: PositiveInt = 16
    """Requests under way at once."""
    timeout_s: PositiveFloat = 600.0
    """Seconds for one attempt."""
    retries: int = Field(6, ge=0)
    """Further attempts after the first one; the default goes on for about half a minute."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; where it is not set, none is sent."""
    tokenizer: str | None = None
    """Model folder or hub id whose tokenizer cuts chunks; None counts words."""
    window: PositiveInt | None = None
    """Tokens of prompt and reply together, as the server was started; None is not known."""
    thinking: bool | None = None
    """Sent as `chat_template_kwargs.enable_thinking`; None sends nothing."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request, sent as they are; they win over ours."""


def build(options: Options) -> OpenAIServer:
    """The policy; it connects at the first call."""
    return OpenAIServer(options)


def tokenizer(options: Options) -> Tokenizer:
    """What cuts its chunks."""
    if options.tokenizer is None:
        return WordTokenizer()
    return OffsetTokenizer(load_tokenizer(options.tokenizer), options.tokenizer)


def window(options: Options) -> int | None:
    """What the user said about it; the server's own limit shows in its refusals."""
    return options.window


def probe(options: Options) -> str:
    """One sentence about the server, from one request.

    Raises:
        BackendError: it does not answer, or refuses the key.
    """
    import httpx

    try:
        response = httpx.get(f"{options.url}/models", headers=_headers(options), timeout=_CONNECT)
    except httpx.RequestError as error:
        raise BackendError(_unreachable(options, error)) from error
    if response.status_code in (401, 403):
        raise BackendError(_refused(options))
    try:
        names = [str(model["id"]) for model in response.json()["data"]]
    except (ValueError, LookupError, TypeError):
        raise BackendError(f"{options.url}/models lists no models: is policy.url an OpenAI server's?") from None
    if options.model in names:
        return f"{options.url} serves {options.model}"
    return f"{options.url} answers; it lists {', '.join(names) or 'no model'}, not {options.model}"


class OpenAIServer:
    """One request per call; what may pass is tried again."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.batch = options.concurrency
        self.window = options.window
        self.tokenizer = tokenizer(options)
        self._url = f"{options.url}/chat/completions"
        self._client: httpx.AsyncClient | None = None
        self._limit = "max_tokens"
        """What the request calls our limit: OpenAI's reasoning models insist on another name."""
        self._responses = 0
        """Responses so far, of whatever status."""

    async def reply(self, call: Call) -> Generation:
        """One reply; after the last attempt Finish.ERROR with one sentence.

        Raises:
            BackendError: the server cannot be reached, refuses the key, or does not have the model.
        """
        import httpx
        import tenacity

        before = self._responses
        attempts = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(1 + self.options.retries),
            wait=servers.pause,
            retry=tenacity.retry_if_exception_type((PassingError, httpx.RequestError)),
            reraise=True,
        )
        try:
            generation: Generation = await attempts(self._attempt, call)
        except PassingError as failure:
            return self._failed(str(failure))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            sentence = _unreachable(self.options, error)
            if self._responses == before:
                # Nobody was served meanwhile: better to stop and be continued than to fail every episode.
                raise BackendError(sentence) from error
            return self._failed(sentence)
        except httpx.RequestError as error:
            return self._failed(f"no whole response from {self.options.url}: {type(error).__name__} {error}")
        return generation

    async def close(self) -> None:
        """Close connections; a later call opens new ones, in its own event loop."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def describe(self) -> dict[str, str]:
        """What a run records about it; never a key."""
        options = self.options
        return {
            "name": f"openai_server: {options.model}",
            "url": options.url,
            "temperature": str(options.temperature),
            "top_p": str(options.top_p),
            "thinking": str(options.thinking).lower(),
            "tokenizer": self.tokenizer.name,
            "extra": json.dumps(options.extra, sort_keys=True),
        }

    async def _attempt(self, call: Call) -> Generation:
        """One request.

        Raises:
            PassingError: worth another attempt.
        """
        limit = self._limit
        response = await self._connected().post(self._url, json=self._body(call, limit))
        self._responses += 1
        status, body = response.status_code, response.text
        if status in (401, 403):
            raise BackendError(_refused(self.options))
        completion = completions.read(body) if status == 200 else None
        if completion is not None:
            return self._counted(completion, call.observation)
        said = servers.said(body)
        if completions.overflows(body):
            return Generation("", Finish.OVERFLOW, error=self._clean(said))
        if status == 400 and limit == "max_tokens" and "max_completion_tokens" in body:
            self._limit = "max_completion_tokens"
            return await self._attempt(call)
        sentence = f"{self.options.url} answered {status}: {said}"
        if status == 404:
            raise BackendError(self._clean(f"{sentence}: correct policy.url or policy.model"))
        if status == 200 or servers.passes(status):
            raise PassingError(sentence, servers.retry_after(response.headers.get("retry-after", "")))
        return self._failed(sentence)

    def _connected(self) -> httpx.AsyncClient:
        """The client; made at the first call, because it belongs to the event loop it is used in."""
        import httpx

        if self._client is None:
            most = self.options.concurrency
            self._client = httpx.AsyncClient(
                headers=_headers(self.options),
                timeout=httpx.Timeout(self.options.timeout_s, connect=_CONNECT, pool=None),
                limits=httpx.Limits(max_connections=most, max_keepalive_connections=most),
            )
        return self._client

    def _body(self, call: Call, limit: str) -> dict[str, Any]:
        options, observation = self.options, call.observation
        body: dict[str, Any] = {
            "model": options.model,
            "messages": [{"role": m.role, "content": whole(m.content)} for m in observation.messages],
            limit: observation.max_new_tokens,
            "temperature": options.temperature,
            "top_p": options.top_p,
        }
        if options.temperature > 0:
            body["seed"] = call.seed % 2**31
        if options.thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": options.thinking}
        return body | options.extra

    def _counted(self, completion: Completion, observation: Observation) -> Generation:
        """The reply, with tokens as the server counts them or else as our tokenizer does."""
        prompt, new = completion.prompt_tokens, completion.new_tokens
        if prompt is None:
            prompt = sum(len(self.tokenizer.spans(message.content)) for message in observation.messages)
        if new is None:
            new = len(self.tokenizer.spans(completion.text))
        return Generation(completion.text, completion.finish, prompt_tokens=prompt, new_tokens=new)

    def _failed(self, sentence: str) -> Generation:
        return Generation("", Finish.ERROR, error=self._clean(sentence))

    def _clean(self, sentence: str) -> str:
        """At most 300 characters of it, without the key, should the server have echoed it."""
        key = _key(self.options)
        return " ".join((sentence.replace(key, "***") if key else sentence).split())[:300]


def _key(options: Options) -> str:
    return os.environ.get(options.key_env, "").strip()


def _headers(options: Options) -> dict[str, str]:
    key = _key(options)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _unreachable(options: Options, error: Exception) -> str:
    return f"no server answers at {options.url}: start it, or correct policy.url ({error})"


def _refused(options: Options) -> str:
    wrong = "holds a wrong key" if _key(options) else "is not set"
    return f"{options.url} wants a key: the environment variable {options.key_env} {wrong}"
