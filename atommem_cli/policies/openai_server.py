"""A model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, `transformers serve`, OpenAI.

The key is read from the environment and goes nowhere but into the request's header.

What servers do without a word: vLLM and SGLang take what a request leaves out (top_k, min_p, repetition_penalty)
from the model's generation_config.json, unless they are started with `--generation-config vllm` and
`--sampling-defaults openai`; Ollama cuts long prompts (start it with OLLAMA_CONTEXT_LENGTH at least as large as
`window`); `transformers serve` takes prompts beyond the window, and is greedy at any temperature unless `extra` holds
a `generation_config` with do_sample.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from atommem_cli.config.credentials import Keyless, KeyVariable, ServerUrl
from atommem_cli.config.schema import OPERATIONAL, Section
from atommem_cli.core.calls import Finish, Generation
from atommem_cli.core.chunking import Tokenizer, WordTokenizer
from atommem_cli.core.episode import Call
from atommem_cli.core.errors import BackendError
from atommem_cli.core.thoughts import OwnMarks
from atommem_cli.models.chat import OffsetTokenizer, without_system
from atommem_cli.models.http import Client, PassingError, Response, UnreachableError
from atommem_cli.models.loading import load_tokenizer
from atommem_cli.models.refusals import Fault, fault, said, takes_no_tools
from atommem_cli.policies import _completions as completions
from atommem_cli.policies import _tools as tools
from atommem_cli.policies._completions import Completion

_LIMITS = ("max_tokens", "max_completion_tokens", "max_new_tokens")
"""What requests call the limit of new tokens."""
_LONGEST = 128
"""Characters of a token: the longest of the vocabularies in use (runs of blanks) have so many."""
_VAIN = 3
"""Calls that no further attempt would heal; where all of so many first ones are, all others will be."""
_PROBE = 10.0
"""Seconds for one look at a server."""


class Options(Section):
    """Keys of the recipe's `policy` section."""

    url: ServerUrl = Field(json_schema_extra=OPERATIONAL)
    """Up to and including `/v1`."""
    model: str
    """As the server names it."""
    temperature: float = Field(0.7, ge=0)
    """0 is greedy. Default: AtomMem's (papers.md 1.5)."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Of sampling; 1 is all."""
    concurrency: PositiveInt = Field(16, json_schema_extra=OPERATIONAL)
    """Requests under way at once."""
    timeout_s: PositiveFloat = Field(600.0, json_schema_extra=OPERATIONAL)
    """Seconds for one attempt, from the connection to the last byte of the reply."""
    retries: int = Field(6, ge=0, json_schema_extra=OPERATIONAL)
    """Further attempts after the first one; the default goes on for about half a minute."""
    key_env: KeyVariable = Field("OPENAI_API_KEY", json_schema_extra=OPERATIONAL)
    """Environment variable that holds the key; where it is not set, none is sent."""
    tokenizer: str | None = None
    """Model folder or hub id whose tokenizer cuts chunks; null counts words, of which a token is a part."""
    window: PositiveInt | None = None
    """Tokens of prompt and reply together, as the server was started; null is not known."""
    thinking: bool | None = None
    """Sent as `chat_template_kwargs.enable_thinking`; null sends nothing."""
    thoughts: OwnMarks = None
    """Marks of its thoughts, as `[["<think>", "</think>"], ...]`; null is those of the families in
    use."""
    system: Literal["keep", "merge"] = "keep"
    """merge: the system message becomes the beginning of the user's, for models whose template has no such role."""
    extra: Annotated[dict[str, Any], Keyless] = Field(default_factory=dict)
    """Further fields of the request, sent as they are; they win over ours, and null leaves one of ours out. No keys."""


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
    client = Client(options.url, options.key_env, min(_PROBE, options.timeout_s), 0, 1)

    async def look() -> Response:
        try:
            return await client.request("/models")
        except UnreachableError as error:
            raise BackendError(f"{error} (start it, or correct policy.url)") from None
        except PassingError as error:
            raise BackendError(str(error)) from None
        finally:
            await client.close()

    response = asyncio.run(look())
    if response.status in (401, 403):
        raise BackendError(client.refused)
    try:
        names = [str(model["id"]) for model in json.loads(response.text)["data"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise BackendError(f"{client.place}/models lists no models: is policy.url an OpenAI server's?") from None
    if options.model in names:
        return f"{options.url} serves {options.model}"
    return client.clean(f"{options.url} answers; it lists {', '.join(names) or 'no model'}, not {options.model}")


class OpenAIServer:
    """One request per call; what may pass is tried again."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.batch = options.concurrency
        self.window = options.window
        self.tokenizer = tokenizer(options)
        self._client = Client(options.url, options.key_env, options.timeout_s, options.retries, options.concurrency)
        self._limit = "max_tokens"
        """What the request calls our limit: OpenAI's reasoning models insist on another name."""
        self._responses = 0
        """Responses so far, of whatever status."""
        self._told = False
        """Whether there was a reply to a request with tools."""
        self._vain: int | None = 0
        """Calls so far that no further attempt would heal; None once there was a reply."""

    async def reply(self, call: Call) -> Generation:
        """One reply; after the last attempt Finish.ERROR with one sentence.

        Raises:
            BackendError: the server cannot be reached, refuses the key, is not paid, does not have the model or does
                not take a setting that is in every request.
        """
        try:
            return await self._client.attempts(self._attempt, call)
        except UnreachableError as error:
            if not error.others:
                # Better to stop and be continued than to fail every episode.
                raise BackendError(f"{error} (start it, or correct policy.url)") from None
            return Generation("", Finish.ERROR, error=str(error))
        except PassingError as failure:
            return Generation("", Finish.ERROR, error=str(failure))

    async def close(self) -> None:
        """Close connections; a later call opens new ones, in its own event loop."""
        await self._client.close()

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
            **({"system": options.system} if options.system != "keep" else {}),
            "extra": json.dumps(options.extra, sort_keys=True),
        }

    async def _attempt(self, call: Call) -> Generation:
        """One request.

        Raises:
            PassingError: worth another attempt.
        """
        body = self._body(call, self._limit)
        before = self._responses
        try:
            response = await self._client.request("/chat/completions", body)
        except UnreachableError as error:
            error.others = self._responses > before
            raise
        self._responses += 1
        told = bool(call.observation.tools)
        completion = completions.read(response.text, tools=told) if response.status == 200 else None
        if completion is None:
            return await self._refused(call, body, response)
        if completion.finish is Finish.ERROR:
            return self._in_vain(f"{self._client.place} answered, but {completion.error}")
        self._vain = None
        return self._counted(completion, call, body)

    async def _refused(self, call: Call, body: dict[str, Any], response: Response) -> Generation:
        """What a response without a reply means for the call, or for the run."""
        status, text = response.status, response.text
        where = f"{self._client.place} answered {status}"
        if status == 200 and (reason := completions.ending(text)):
            where += f" and ended without a reply (finish reason {reason})"
        told = said(text)
        if "tools" in body and takes_no_tools(text):
            raise BackendError(self._advised(where, told, tools.MEND))
        match fault(status, text):
            case Fault.OVERFLOW:
                return Generation("", Finish.OVERFLOW, error=self._client.clean(told))
            case Fault.FILTERED:
                return Generation("", Finish.FILTERED, error=self._client.clean(where, told))
            case Fault.RENAME if self._limit in body:
                self._limit = "max_completion_tokens"
                return await self._attempt(call)
            case Fault.KEY:
                raise BackendError(self._client.refused)
            case Fault.CREDIT:
                raise BackendError(self._advised(where, told, "nothing is paid for any more"))
            case Fault.MISSING:
                raise BackendError(self._advised(where, told, "correct policy.url or policy.model"))
            case Fault.LIMIT:
                raise BackendError(self._advised(where, told, "lower limits.reply and limits.answer"))
            case Fault.BEYOND:
                return self._in_vain(self._advised(where, told, "no wait makes it fit; lower chunk.tokens and limits"))
            case Fault.SYSTEM if body["messages"][0]["role"] == "system":
                raise BackendError(self._advised(where, told, "set policy.system to merge"))
            case Fault.PASSING:
                raise PassingError(self._client.clean(where, told), response.after)
        named = [field for field in body if field not in ("model", "messages") and field in told]
        advice = f"policy.extra={{{named[0]}: null}} leaves it out" if named else ""
        return self._in_vain(self._advised(where, told, advice))

    def _in_vain(self, sentence: str) -> Generation:
        """A call that no other attempt would heal; where nothing else has come yet, the run stops."""
        error = self._client.clean(sentence)
        if self._vain is not None:
            self._vain += 1
            if self._vain >= _VAIN:
                raise BackendError(f"{error} (and nothing else in {self._vain} calls)")
        return Generation("", Finish.ERROR, error=error)

    def _advised(self, where: str, told: str, advice: str) -> str:
        """The sentence, and what to do; never so long that the advice is lost."""
        told = told[: max(0, 240 - len(where) - len(advice))]
        return self._client.clean(where, f"{told.rstrip('.')}: {advice}" if advice else told)

    def _body(self, call: Call, limit: str) -> dict[str, Any]:
        options, observation = self.options, call.observation
        turns = tools.messages(observation)
        body: dict[str, Any] = {
            "model": options.model,
            "messages": turns if options.system == "keep" else without_system(turns),
            limit: observation.max_new_tokens,
            "temperature": options.temperature,
            "top_p": options.top_p,
        }
        if observation.tools:
            body["tools"] = [tool.function for tool in observation.tools]
        if options.temperature > 0:
            body["seed"] = call.seed % 2**31
        if options.thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": options.thinking}
        return {key: value for key, value in (body | options.extra).items() if value is not None}

    def _counted(self, completion: Completion, call: Call, body: dict[str, Any]) -> Generation:
        """The reply, with tokens as the server counts them where that can be, or else as our tokenizer does."""
        text, finish = self._client.blotted(completion.text), completion.finish
        error = self._client.clean(completion.error)
        most = max((body[key] for key in _LIMITS if isinstance(body.get(key), int)), default=None)
        if most is not None and (within := self._within(text, most)) != text:
            error = (
                f"the server went on past its limit of {most} tokens: {len(text) - len(within):,} characters left out"
            )
            text, finish = within, Finish.LENGTH
        prompt, new = completion.prompt_tokens, completion.new_tokens
        if prompt is not None and self.options.tokenizer is not None and not self._told:
            self._told = bool(call.observation.tools)
            if self._told and (why := tools.dropped(call.observation, self.tokenizer, prompt)):
                raise BackendError(self._advised(self._client.place, why, tools.MEND))
        if prompt is None:
            prompt = sum(len(self.tokenizer.spans(told)) for told in call.observation.texts)
        if new is None or len(text) > new * _LONGEST:
            new = len(self.tokenizer.spans(text))
        return Generation(text, finish, prompt_tokens=prompt, new_tokens=new, error=error)

    def _within(self, text: str, most: int) -> str:
        """The text; one of more than twice its tokens, its first `most` ones: nobody who kept to the limit wrote it."""
        if len(text) <= most:
            return text
        spans = self.tokenizer.spans(text[: most * _LONGEST])
        gross = len(text) > most * _LONGEST or len(spans) > 2 * most + 16
        return text[: spans[most - 1][1]] if gross and len(spans) >= most else text[: most * _LONGEST]
