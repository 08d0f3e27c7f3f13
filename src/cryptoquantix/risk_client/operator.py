"""
The operator's requests to the risk daemon over HTTP; it decides nothing.

It speaks to the daemon alone: neither the bus nor a strategy is needed to stop.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp

from cryptoquantix.control.status import (
    Alarm,
    DrillResult,
    RiskState,
    RiskStatus,
    Sample,
)
from cryptoquantix.core.errors import DaemonRefused, DaemonUnreachable

_CONNECT_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 10.0
_HEALTH_SECONDS: Final = 2.0
_PROOF_SECONDS: Final = 12.0
"""A proof of flat is begun again for a while where a venue cannot be read."""


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

    async def status(self) -> RiskStatus:
        """Return what the daemon says of itself."""
        text, url = await self._answer("GET", "/v1/status")
        try:
            return RiskStatus.from_json(text)
        except ValueError:
            raise DaemonRefused(_no_daemon(url)) from None

    async def halt(self, *, who: str, reason: str) -> RiskState:
        """Trip by hand: latch, cancel, close, verify; return the new state."""
        return await self._order("halt", who, reason)

    async def flatten(self, *, who: str, reason: str) -> RiskState:
        """Cancel and close everything, then LOCKED; return the new state."""
        return await self._order("flatten", who, reason)

    async def rearm(self, *, who: str, reason: str) -> RiskState:
        """Accept today's equity as the new baseline; return the new state."""
        return await self._order("rearm", who, reason)

    async def left(self) -> str:
        """Return what is open by two fresh reads of every venue; empty: flat."""
        text, url = await self._answer("GET", "/v1/flat", seconds=_PROOF_SECONDS)
        try:
            return str(json.loads(text)["left"])
        except (ValueError, KeyError, TypeError):
            raise DaemonRefused(_no_daemon(url)) from None

    async def alarms(self) -> list[Alarm]:
        """Return the alarms not yet acknowledged, oldest first."""
        return await self._list("/v1/alarms", "alarms", Alarm)

    async def take_alarms(self, taker: str) -> tuple[list[Alarm], str]:
        """
        Return the alarms that ``taker`` is to deliver, and who takes them instead.

        One of both is always empty: the daemon gives its queue to one taker at a
        time, until that one has not asked for 15 s.
        """
        text, url = await self._answer("GET", f"/v1/alarms?taker={quote(taker)}")
        try:
            value = json.loads(text)
            alarms = [Alarm(**item) for item in value["alarms"]]
            return alarms, str(value.get("taken_by", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DaemonRefused(_no_daemon(url)) from None

    async def acknowledge(self, alarm_id: int) -> None:
        """Tell the daemon that an alarm was delivered."""
        await self._answer("POST", f"/v1/alarms/{alarm_id}/ack")

    async def add_drill(self, result: DrillResult) -> None:
        """Append the result of a drill to the daemon's audit log."""
        await self._answer("POST", "/v1/drills", asdict(result))

    async def samples(self, *, after_ns: int = 0, limit: int = 1000) -> list[Sample]:
        """Return up to ``limit`` samples taken after ``after_ns``, oldest first."""
        path = f"/v1/samples?after_ns={after_ns}&limit={limit}"
        return await self._list(path, "samples", Sample)

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

    async def _order(self, verb: str, who: str, reason: str) -> RiskState:
        body = {"who": who, "reason": reason}
        text, url = await self._answer("POST", f"/v1/{verb}", body)
        try:
            return RiskState(json.loads(text)["state"])
        except (ValueError, KeyError, TypeError):
            raise DaemonRefused(_no_daemon(url)) from None

    async def _list[T](self, path: str, name: str, kind: Callable[..., T]) -> list[T]:
        text, url = await self._answer("GET", path)
        try:
            return [kind(**item) for item in json.loads(text)[name]]
        except (ValueError, KeyError, TypeError):
            raise DaemonRefused(_no_daemon(url)) from None

    async def _answer(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        seconds: float | None = None,
    ) -> tuple[str, str]:
        """Return the text of a successful answer, and the address it came from."""
        assert self._session is not None, "use `async with OperatorClient(...)`"
        url, asked = self._url + path.partition("?")[0], self._url + path
        timeout = self._timeout
        if seconds is not None:
            timeout = aiohttp.ClientTimeout(
                total=seconds, sock_connect=_CONNECT_SECONDS
            )
        try:
            async with self._session.request(
                method, asked, json=body, timeout=timeout
            ) as answer:
                text = await answer.text(errors="replace")
                if answer.status != 200:
                    raise DaemonRefused(_refusal(answer.status, text, url))
                return text, url
        except TimeoutError:
            raise DaemonUnreachable(self._unanswered(method)) from None
        except (aiohttp.ClientError, OSError) as error:
            msg = (
                f"cannot reach the risk daemon at {self._url} ({_why(error)}): start "
                f"it with `cqx up` or `cqx risk`, or correct risk.url"
            )
            raise DaemonUnreachable(msg) from None

    def _unanswered(self, method: str) -> str:
        if method == "GET":
            return f"the risk daemon at {self._url} does not answer"
        return (
            f"the risk daemon at {self._url} did not answer in time; what was asked "
            f"may have been carried out: look at `cqx status`"
        )


def _refusal(status: int, text: str, url: str) -> str:
    if status in {401, 403}:
        return f"{url} refuses this credential (risk.token must be the same there)"
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return f"{_no_daemon(url)} (HTTP {status})"


def _why(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error) or type(error).__name__


def _no_daemon(url: str) -> str:
    return f"what {url} answered is not the answer of a risk daemon"
