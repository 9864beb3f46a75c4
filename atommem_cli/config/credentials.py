"""Keys and passwords come from the environment alone: no recipe, no run folder and no message holds one.

What a recipe may not hold is refused here, in sentences that do not repeat it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from atommem_cli.core.errors import UsageError

WITHHELD = "withheld"
"""Type of the validation errors of which a message must not repeat what was given."""

_SECRETS = (
    *("apikey", "accesskey", "secretkey", "privatekey", "subscriptionkey", "authkey", "key"),
    *("authorization", "auth", "bearer", "password", "passwd", "passphrase", "pwd", "secret", "secrets"),
    *("credential", "credentials", "cookie", "cookies", "headers", "header"),
)
"""Last words of the names of fields that hold secrets, without separators."""
_HARMLESS = frozenset({"promptcachekey"})
_TOKEN = re.compile(r"(^|_|-)(?<!eos.)(?<!bos.)(?<!pad.)(?<!unk.)(?<!sep.)(?<!cls.)(?<!mask.)(?<!stop.)token$")
"""`token`, `hub_token`, `auth-token`; not those of a vocabulary, like `eos_token`."""
_LOOKS = re.compile(
    r"^\s*(Bearer|Basic)\s|\b(sk|pk|rk|gsk|hf|ghp|xai|nvapi|pplx|r8)[-_][A-Za-z0-9_-]{16,}|\bAKIA[A-Z0-9]{12,}"
    r"|\bAIza[A-Za-z0-9_-]{20,}|://[^/\s]*@"
)
"""Values that are keys by their looks, and addresses with a password."""


def _withheld(sentence: str) -> PydanticCustomError:
    return PydanticCustomError(WITHHELD, "{sentence}", {"sentence": sentence})


def bare(url: object) -> str:
    """A server's address without a slash at the end; refused where there is more in it than an address."""
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise _withheld("an address begins with http:// or https://")
    if "@" in url or _LOOKS.search(url):
        raise _withheld("an address holds no key and no password; put a key into the environment (key_env)")
    if "?" in url or "#" in url:
        raise _withheld(
            "query parameters are not taken: put a key into the environment (key_env); Azure's address that ends in "
            "/openai/v1 needs no api-version"
        )
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise _withheld("an address holds visible ASCII characters only")
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise _withheld("this is no address: http://HOST:PORT/v1 was expected")
    address = url.rstrip("/")
    for path in ("/chat/completions", "/completions", "/embeddings"):
        if address.endswith(path):
            raise _withheld(f"the address goes up to and including /v1: leave {path} off")
    return address


ServerUrl = Annotated[str, BeforeValidator(bare)]
"""The address of a server, without a slash at the end; without user, password, key and query."""


def _variable(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or _LOOKS.search(name):
        raise _withheld("this is the name of the environment variable that holds the key, never the key itself")
    return name


KeyVariable = Annotated[str, BeforeValidator(_variable)]
"""The name of an environment variable."""


def _keyless(fields: dict[str, Any]) -> dict[str, Any]:
    for name in secrets(fields):
        raise _withheld(
            f"{name} would be written into the run folder: put the key into the environment variable that key_env names"
        )
    return fields


Keyless = AfterValidator(_keyless)
"""For a mapping of any keys: none of them may be a secret, at any depth."""


def secrets(value: Any, name: str = "this") -> Iterator[str]:
    """Names of the fields that hold a secret, by their name or by the looks of their value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            word = re.sub(r"[^a-z0-9]", "", str(key).lower())
            split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(key)).lower()
            named = word not in _HARMLESS and (word.endswith(_SECRETS) or _TOKEN.search(split))
            if named and inner not in (None, False, True):
                yield str(key)
            yield from secrets(inner, str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from secrets(inner, name)
    elif isinstance(value, str) and _LOOKS.search(value):
        yield name


def key(variable: str) -> str:
    """The key in an environment variable; empty where there is none.

    Raises:
        UsageError: it holds characters that no key has.
    """
    held = os.environ.get(variable, "").strip()
    if not (held.isascii() and held.isprintable()) or " " in held:
        raise UsageError(f"the environment variable {variable} holds no key: keys are visible ASCII characters")
    return held


def masked(text: str, secret: str, least: int = 4) -> str:
    """The text with `***` for the secret; one of less than `least` characters is none, and a common word."""
    return text.replace(secret, "***") if len(secret) >= least else text
