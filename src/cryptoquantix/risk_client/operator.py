"""
The operator's requests to the risk daemon over HTTP; it decides nothing.

It speaks to the daemon alone: neither the bus nor a strategy is needed to stop.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from cryptoquantix.core.errors import DaemonRefused, DaemonUnreachable

_CONNECT_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 10.0
_HEALTH_SECONDS: Final = 2.0

type Json = dict[str, Any]


class OperatorClient:
    """
    One operator's session with the daemon at ``url``.

    Use it with ``async with``. Every call raises `DaemonUnreachable` when no answer
    came (a request that changes something may then have been carried out: ask for
    the status) and `DaemonRefused` with the daemon's own sentence when it said no.
    """

    def __init__(
        self, url: str, token: str, *, answer_seconds: float = _ANSWER_SECONDS
    ) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._timeout = aiohttp.ClientTimeout(
            total=answer_seconds, sock_connect=_CONNECT_SECONDS
        )
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._token}"}, timeout=self._timeout
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def status(self) -> Json:
        """Return what the daemon says of itself (``control/status.py``)."""
        return await self._request("GET", "/v1/status")

    async def halt(self, *, who: str, reason: str) -> Json:
        """Trip by hand: latch, cancel, close, verify; return the new state."""
        return await self._order("halt", who, reason)

    async def flatten(self, *, who: str, reason: str) -> Json:
        """Cancel and close everything, then LOCKED; return the new state."""
        return await self._order("flatten", who, reason)

    async def rearm(self, *, who: str, reason: str) -> Json:
        """Accept today's equity as the new baseline; return the new state."""
        return await self._order("rearm", who, reason)

    async def alarms(self) -> list[Json]:
        """Return the alarms not yet acknowledged, oldest first."""
        answer = await self._request("GET", "/v1/alarms")
        return [dict(alarm) for alarm in answer.get("alarms", ())]

    async def acknowledge(self, alarm_id: int | str) -> None:
        """Tell the daemon that an alarm was delivered."""
        await self._request("POST", f"/v1/alarms/{alarm_id}/ack")

    async def samples(self, *, after_ns: int = 0, limit: int = 1000) -> list[Json]:
        """Return up to ``limit`` equity samples taken after ``after_ns``."""
        path = f"/v1/samples?after_ns={after_ns}&limit={limit}"
        answer = await self._answer("GET", path)
        samples = answer["samples"] if isinstance(answer, dict) else answer
        return [dict(sample) for sample in samples]

    async def is_healthy(self) -> bool:
        """Return whether the daemon's last loop is recent; never raises for it."""
        assert self._session is not None
        timeout = aiohttp.ClientTimeout(total=_HEALTH_SECONDS)
        try:
            async with self._session.get(
                f"{self._url}/v1/health", timeout=timeout
            ) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def _order(self, verb: str, who: str, reason: str) -> Json:
        return await self._request(
            "POST", f"/v1/{verb}", {"who": who, "reason": reason}
        )

    async def _request(self, method: str, path: str, body: Json | None = None) -> Json:
        answer = await self._answer(method, path, body)
        if isinstance(answer, dict):
            return answer
        raise DaemonRefused(_no_daemon(f"{self._url}{path}", 200))

    async def _answer(
        self, method: str, path: str, body: Json | None = None
    ) -> Json | list[Json]:
        assert self._session is not None, "use `async with OperatorClient(...)`"
        try:
            async with self._session.request(
                method, self._url + path, json=body
            ) as answer:
                return await _read(answer, f"{self._url}{path}")
        except TimeoutError:
            raise DaemonUnreachable(self._unanswered(method)) from None
        except (aiohttp.ClientError, OSError) as error:
            msg = (
                f"cannot reach the risk daemon at {self._url} ({error}): start it "
                f"with `cqx up` or `cqx risk`, or correct risk.url"
            )
            raise DaemonUnreachable(msg) from None

    def _unanswered(self, method: str) -> str:
        if method == "GET":
            return f"the risk daemon at {self._url} does not answer"
        return (
            f"the risk daemon at {self._url} did not answer in time; what was asked "
            f"may have been carried out: look at `cqx status`"
        )


async def _read(answer: aiohttp.ClientResponse, url: str) -> Json | list[Json]:
    if answer.status in {401, 403}:
        msg = f"{url} refuses the token: risk.token must be the daemon's own"
        raise DaemonRefused(msg)
    try:
        value = await answer.json(content_type=None)
    except ValueError:
        value = None
    if answer.status < 400 and isinstance(value, dict | list):
        return value
    sentence = value.get("error") if isinstance(value, dict) else None
    raise DaemonRefused(str(sentence or _no_daemon(url, answer.status)))


def _no_daemon(url: str, status: int) -> str:
    return f"{url} answered {status} with something that is no risk daemon's answer"
