"""What the error responses of OpenAI-compatible servers mean; every server has wordings of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any


class Fault(Enum):
    """What is wrong; each asks for something else."""

    PASSING = auto()
    """Worth another attempt."""
    OVERFLOW = auto()
    """The prompt, or the text to embed, is too long for the model."""
    FILTERED = auto()
    """The provider does not want to hear or to say this."""
    BEYOND = auto()
    """This request alone is more than a minute's (a day's) allowance of tokens; waiting does not help."""
    KEY = auto()
    CREDIT = auto()
    """Nothing is paid for any more; waiting does not help."""
    MISSING = auto()
    """No such model or address."""
    RENAME = auto()
    """Our limit of new tokens has another name there: `max_completion_tokens`."""
    LIMIT = auto()
    """Our limit of new tokens is more than the model may write."""
    SYSTEM = auto()
    """No system messages."""
    REFUSED = auto()
    """Anything else that stays."""


_PASSING = frozenset({408, 409, 425, 429})
"""Statuses below 500 that may pass."""
_MOST = 4_000
"""Characters of an error that are searched: a server may repeat the prompt in it."""
_SAYS = (
    *("message", "code", "type", "status", "reason", "detail", "details", "error", "error_type", "error_code"),
    *("errors", "msg", "raw", "metadata", "innererror", "description", "title", "__type", "error_msg"),
)
"""Keys under which servers say what is wrong; what they repeat of the request stands under others."""


def _any(*wordings: str) -> re.Pattern[str]:
    return re.compile("|".join(wordings), re.IGNORECASE | re.DOTALL)


_OVERFLOW = _any(
    r"context[ _]?(length|window)[ _]?exceeded",  # OpenAI, Azure, Groq, LiteLLM
    r"string_above_max_length",  # OpenAI
    r"(maximum|max|model'?s|available) (context|model|prompt|input|sequence) ?(length|size|window|len)\b",  # most
    r"context (length|size|window|limit) (is|of) only",  # LM Studio, vLLM
    r"context (the )?overflow",  # LM Studio
    r"exceed(s|ed|ing)? (the |its |this |model'?s? )*(\w+ )?(context|prompt|window|input (length|limit|size))",
    r"exceed_context_size",  # llama.cpp
    r"too large to process",  # llama.cpp, embeddings
    r"(input|prompt|request(ed)?) (token count|length|tokens?)( count)?\b.{0,60}\b(exceed|longer|larger|greater)",
    r"token count\b.{0,40}\b(exceed|cannot)",  # Gemini, SGLang, Copilot, Databricks
    r"\b(prompt|input|inputs|query|document|text)( text| message)?( is| are|:)? too (long|large)\b",  # Bedrock
    r"(prompt|input)_(is_)?too_long|too_many_tokens|token_limit_exceeded|model_max_prompt_tokens",
    r"too many (input |prompt |total )?tokens(?! per)",  # Cohere, Titan
    r"too (large|long) (for|to fit)( into| in)?( the| this)? (model|context)",  # Mistral, vLLM
    r"reduce the (length|size|number of tokens) (of|in) (the |your )?(messages|prompt|input|context)",  # OpenAI, Groq
    r"`?inputs`?( tokens)? (\+ `?max_new_tokens`? )?must (be <=|have less than|have at most)",  # TGI, Together, TEI
    r"\bmax_(seq_len|input_len|num_tokens|input_length|total_tokens|model_len|sequence_length|position_embeddings)\b",
    r"prompt length.{0,60}(exceed|longer|larger)",  # TensorRT-LLM
    r"longer than the (model|maximum|max|context)",  # vLLM, SGLang
    r"range of input length",  # Qwen
    r"exceed(s|ed)? .{0,20}token limit",  # Kimi
    r"exceeds the maximum (number of|allowed) .{0,12}tokens",
    r"max_tokens`? exceed(s)? (the )?context",  # Anthropic
    r"larger than the (context|kv)|does not fit (in|into) (the|its) (context|window)",
)
_RATE = _any(r"\bper[ _-]?(min|day|hour|second)", r"\b[tr]p[md]\b", r"rate[ _-]?limit", r"resource_exhausted")
"""A rate of tokens speaks of tokens, too."""
_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)  # OpenAI, Groq
_ALLOWED = re.compile(r"limit:? ([\d,]+).{0,60}?requested:? ([\d,]+)", re.IGNORECASE | re.DOTALL)
"""Of a rate: what it allows, and what was asked for at once."""
_LIMIT = _any(
    r"max_(completion_|output_|new_)?tokens.{0,40}(too (large|high|big)|too many|must be (less|at most|<=|between|in))",
    r"max_(completion_|output_|new_)?tokens.{0,40}(maximum allowed number of output|exceeds? the (maximum|max|limit))",
    r"(valid|invalid) .{0,20}max_(completion_|output_|new_)?tokens",  # DeepSeek
    r"supports? at most \d+ (completion|output) tokens",
)
_TOTAL = re.compile(r"too large: (\d+).{0,80}maximum context length is (\d+)", re.DOTALL)
"""vLLM and OpenAI: the limit of new tokens alone, and the window."""
_CREDIT = _any(
    r"insufficient[ _](quota|credit|balance|fund)",
    r"billing[ _](hard[ _]limit|not[ _]active)",
    r"credit balance is too low",  # Anthropic
    r"(out of|no( more)?|not enough|never purchased|add( more)?|exceeded your monthly included) credit",
    r"used all (available )?credits|credits? (is |are |has been |have been )?(exhausted|depleted|used up)",
    r"exceeded_current_quota|budget_exceeded|arrearage|payment required",  # Kimi, LiteLLM, Qwen
)
_SPENT = _any(
    r"(spending|spend|budget|monthly|usage) (limit|cap)s?( has been| was| is)? (reached|exceeded)",
    r"(reached|exceeded) (its|your|the) (\w+ ){0,3}(spending|spend|budget|usage) (limit|cap)",  # xAI, Anthropic
    r"check your (plan and )?billing",
)
"""The same, unless it is about a rate: Gemini speaks of billing there, too."""
_KEY = _any(
    r"(invalid|incorrect|missing|wrong|expired)[ _](api|authentication|subscription)?[ _]?key",
    r"api[ _]key(_| | is | was )(not valid|invalid|expired|missing|required)",
    r"no auth credentials|authentication_error|unauthorized",
)
_FILTERED = _any(
    r"content[ _-]?filter|content[ _]?policy|content management policy|responsibleaipolicy",  # Azure, OpenAI, LiteLLM
    r"result of our safety system|usage policy|moderation|flagged",  # OpenAI, Anthropic, OpenRouter
    r"data_?inspection_?failed|content exists risk|considered high risk|sensitive (content|words)",
    r"prohibited_content|guardrail_intervened|blocked (by|due to|for) (the )?(safety|guardrail|content|policy)",
)
_SYSTEM = _any(
    r"system.{0,3} (role|message|prompt|instruction)s?\b.{0,40}\b(not|n't|unsupported|invalid|unknown|disallowed)",
    r"\b(no|without|unsupported|invalid|unknown|unexpected)( \w+)? ?:? .?system\b",
    r"not (support|allow|accept|have|take)(ed|s)?( a| the| any| role)* .?system\b",
    r"developer instructions? (is|are) not",  # Gemma at Google
    r"only .?user.? (and|or|,) .?(assistant|model).? roles?",  # Mistral's templates
    r"roles must alternate",
    r"(support|allow|accept)s? only .{0,30}user",
)


_NO_TOOLS = _any(
    r"tool[ _]?choice.{0,40}requires|tool-call-parser|enable-auto-tool-choice",  # vLLM
    r"tools? .{0,40}requires? .{0,12}--jinja",  # llama.cpp
    r"(tools?|tool[ _](calls?|calling|use)|functions?|function[ _]call(s|ing)?)`?\b.{0,40}(not|n't) "
    r"(be )?(support|enabled|available|allow|permit)",  # Groq, Together
    r"(not|n't) support(s|ed)? (the )?`?(tools?|function)",  # Ollama
    r"no endpoints found that support tool",  # OpenRouter
    r"(unrecognized|unknown|unexpected|unsupported|extra)\b.{0,60}\btools?\b",
)
"""Said of a request that holds tools."""


def takes_no_tools(body: str) -> bool:
    """Whether a server refuses a request because of its tools."""
    return bool(_NO_TOOLS.search(facts(body)))


def said(body: str) -> str:
    """The message in an error response, or the beginning of whatever came."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return body[:_MOST]
    error = _error(data)
    if isinstance(error, dict):
        inner = _inner(error)
        parts = [text for key in ("message", "msg", "detail") if isinstance(text := error.get(key), str) and text]
        told = next(iter(parts), "") or json.dumps(error, ensure_ascii=False)
        return f"{told} ({inner})" if inner and inner not in told else told
    return error if isinstance(error, str) and error else body[:_MOST]


def fault(status: int, body: str) -> Fault:
    """What a response without a result means. One of status 200 is passing, unless it says something else."""
    told = facts(body)
    try:
        code = int(_error(json.loads(body))["code"])
    except (ValueError, LookupError, TypeError, RecursionError):
        code = status
    if status == 200 and 400 <= code < 600:
        status = code  # OpenRouter
    if status == 402 or _CREDIT.search(told) or (_SPENT.search(told) and not _RATE.search(told)):
        return Fault.CREDIT
    if status != 401 and _beyond(told):
        return Fault.BEYOND
    # An answer that asks to wait is not read for words: its tokens are those of a rate.
    if status not in (401, 408, 429):
        words = _worded(status, told)
        if words:
            return words
    if status in (401, 403) or (status == 400 and _KEY.search(told)):
        return Fault.KEY
    if status == 404:
        return Fault.MISSING
    if status == 200 or status in _PASSING or status >= 500:
        return Fault.PASSING
    return Fault.REFUSED


def _beyond(told: str) -> bool:
    """Whether a rate refuses a request that would not fit it at any time."""
    allowed = _ALLOWED.search(told)
    limit, requested = (int(number.replace(",", "") or 0) for number in allowed.groups()) if allowed else (0, 0)
    return bool(_RATE.search(told) and (_TOO_LARGE.search(told) or requested > limit))


def _worded(status: int, told: str) -> Fault | None:
    total = _TOTAL.search(told)
    rate = _RATE.search(told)
    if _FILTERED.search(told):
        return Fault.FILTERED
    if status == 400 and "max_completion_tokens" in told and re.search("unsupported|instead", told, re.IGNORECASE):
        return Fault.RENAME
    if total and int(total[1]) >= int(total[2]):
        return Fault.LIMIT
    if not rate and status != 404 and (_OVERFLOW.search(told) or status == 413):
        return Fault.OVERFLOW
    if not rate and _LIMIT.search(told):
        return Fault.LIMIT
    return Fault.SYSTEM if _SYSTEM.search(told) else None


def facts(body: str) -> str:
    """What an error says in its own words, without what it repeats of the request."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return body[:_MOST]
    return "\n".join(_strings(data, 0))[:_MOST]


def _strings(value: Any, depth: int) -> Iterator[str]:
    if depth > 8:
        return
    if isinstance(value, str):
        yield value[:_MOST]
    elif isinstance(value, dict):
        for key in _SAYS:
            if key in value:
                yield from _strings(value[key], depth + 1)
        yield from _strings(value.get("choices"), depth + 1) if depth == 0 else ()
    elif isinstance(value, list):
        for item in value[:8]:
            yield from _strings(item, depth + 1)


def _error(data: Any) -> Any:
    """The part of a response that says what is wrong: on top, in a choice, or the response itself."""
    if not isinstance(data, dict):
        return None
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    return data.get("error") or choice.get("error") or data.get("errors") or data.get("detail") or data


def _inner(error: dict[str, Any]) -> str:
    """What a provider behind the gateway said (OpenRouter)."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return raw if isinstance(raw, str) else ""
