"""What every client of an OpenAI-compatible server needs: one attempt with a deadline, more of them where it may pass.

What a server says is made safe to look at (`Client.clean`) where a sentence is made of it.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from atommem_cli.config import credentials
from atommem_cli.core import safe_text
from atommem_cli.core.errors import BackendError

if TYPE_CHECKING:
    import httpx
    import tenacity

MOST = 64 * 2**20
"""Bytes of a response's body, decompressed; of a longer one the rest is not read. 2,000 vectors of 4,096 dimensions
are that long."""
_CONNECT = 10.0
"""Seconds to wait for a connection."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
"""Seconds: before retry n we wait about 0.5 * 2^n."""
_SENTENCE = 300
"""Characters of a sentence about a server."""

_Result = TypeVar("_Result")


class PassingError(Exception):
    """A failure that may pass."""

    def __init__(self, sentence: str, after: float = 0.0) -> None:
        super().__init__(sentence)
        self.after = after
        """Seconds that the server asks us to wait."""


class UnreachableError(PassingError):
    """Nobody answers."""

    others = False
    """Whether others were served meanwhile."""


@dataclass(frozen=True, slots=True)
class Response:
    """One response, whatever its status."""

    status: int
    text: str
    after: float
    """Seconds that the server asks us to wait."""


class Client:
    """Requests to one server. It belongs to the event loop of its first request, until it is closed."""

    def __init__(self, url: str, key_env: str, timeout_s: float, retries: int, connections: int) -> None:
        """
        Args:
            timeout_s: seconds for one attempt, from the connection to the last byte of the body.
            retries: further attempts after the first one.
            connections: most at once.

        Raises:
            UsageError: the key in the environment is none.
        """
        self._url, self._key_env = url, key_env
        self._timeout_s, self._retries, self._connections = timeout_s, retries, connections
        self._key = credentials.key(key_env)
        self._client: httpx.AsyncClient | None = None

    @property
    def place(self) -> str:
        """The server's address, and the proxy where one stands between."""
        return self._url + proxied(self._url)

    async def attempts(self, attempt: Callable[..., Awaitable[_Result]], *arguments: object) -> _Result:
        """Attempts, with pauses, until one does not end in a PassingError.

        Raises:
            PassingError: the last one did.
        """
        import tenacity

        again = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(1 + self._retries),
            wait=pause,
            retry=tenacity.retry_if_exception_type(PassingError),
            reraise=True,
        )
        return await again(attempt, *arguments)

    async def request(self, path: str, body: dict[str, Any] | None = None) -> Response:
        """One attempt: a POST of the body, or a GET.

        Raises:
            PassingError: no whole response in time; nobody there (`UnreachableError`).
            BackendError: the environment (proxies, certificates) lets nobody connect.
        """
        import httpx

        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(path, body)
        except TimeoutError:
            raise PassingError(self.clean(f"{self.place} took longer than {self._timeout_s:g} s (timeout_s)")) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise UnreachableError(self.clean(f"no server answers at {self.place}", str(error))) from None
        except httpx.HTTPError as error:
            told = f"no whole response from {self.place}: {type(error).__name__}"
            raise PassingError(self.clean(told, str(error))) from None

    async def _exchange(self, path: str, body: dict[str, Any] | None) -> Response:
        taken = bytearray()
        method = "GET" if body is None else "POST"
        async with self._connected().stream(method, f"{self._url}{path}", json=body) as response:
            async for part in response.aiter_bytes():
                taken += part
                if len(taken) > MOST:
                    raise PassingError(self.clean(f"{self.place} answered with more than {MOST >> 20} MiB"))
            after = retry_after(response.headers.get("retry-after", ""))
            return Response(response.status_code, taken.decode("utf-8", "replace"), after)

    def _connected(self) -> httpx.AsyncClient:
        import httpx

        if self._client is None:
            try:
                self._client = httpx.AsyncClient(
                    headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
                    timeout=httpx.Timeout(None, connect=_CONNECT),
                    limits=httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections),
                )
            except (ValueError, OSError, ImportError, httpx.InvalidURL) as error:
                sentence = (
                    f"{self.place} cannot be called; look at the environment variables of proxies and certificates"
                )
                raise BackendError(self.clean(sentence, str(error))) from None
        return self._client

    async def close(self) -> None:
        """Close connections; a later request opens new ones, in its own event loop."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def clean(self, sentence: str, said: str = "") -> str:
        """One line of at most 300 characters to which `said` is added; nothing invisible in it, and not the key."""
        text = f"{sentence}: {said}" if said else sentence
        return safe_text.visible(" ".join(credentials.masked(text, self._key).split()))[:_SENTENCE]

    def blotted(self, reply: str) -> str:
        """A reply without the key, should the server have put it there; no key is shorter than 12 characters."""
        return credentials.masked(reply, self._key, 12)

    @property
    def refused(self) -> str:
        """One sentence about the key that it does not take."""
        wrong = "holds a wrong key" if self._key else "is not set"
        return f"{self.place} wants a key: the environment variable {self._key_env} {wrong}"


def proxied(url: str) -> str:
    """What to say about the proxy that the environment puts between us and a server; empty where there is none."""
    server = urlsplit(url)
    proxies = getproxies()
    kind = server.scheme if server.scheme in proxies else "all"
    if kind not in proxies or proxy_bypass(server.hostname or ""):
        return ""
    name = next((n for n in (f"{kind}_proxy", f"{kind.upper()}_PROXY") if os.environ.get(n)), f"{kind} proxy")
    return f" (through the proxy of {name}; NO_PROXY={server.hostname} goes there directly)"


def retry_after(header: str) -> float:
    """A Retry-After header, seconds or a date, as seconds from now, at most a minute; 0 for none."""
    try:
        if header[:1].isdigit():
            seconds = float(header)
        else:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def pause(state: tenacity.RetryCallState) -> float:
    """Seconds before the next attempt: what the server asks for, and then at random, so that not all come at once."""
    error = state.outcome.exception() if state.outcome else None
    after = error.after if isinstance(error, PassingError) else 0.0
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (state.attempt_number - 1))
    return after + longest * random.uniform(0.5, 1.0)
