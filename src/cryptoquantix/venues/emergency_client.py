"""
What the risk daemon's three venue clients share: a wire, a clock, and obedience.

It knows no venue's words. Its caller paces acts, most urgent first; here none is held
up but the one that the venue would refuse for coming too early. What only reads is held
to the daemon's share of the venue's budget. Every request is made once; once more when
only our clock was wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar, Final

import ccxt.async_support as ccxt  # noqa: TID251 - its errors end here

from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from cryptoquantix.core.errors import (
    CredentialsRefused,
    RateLimited,
    SettingsError,
    VenueError,
    VenueUnavailable,
)
from cryptoquantix.core.exposure import Act, Contract, Pace
from cryptoquantix.core.instrument import Venue
from cryptoquantix.venues.ccxt_wire import (
    ATTEMPT,
    CONNECTIONS,
    Attempt,
    close_wire,
    failure_of,
    open_wire,
)
from cryptoquantix.venues.errors import (
    Failure,
    is_clock_doubtful,
    order_error,
    read_error,
)
from cryptoquantix.venues.weight import ActGuard, ReadBudget

WARM_CONNECTIONS: Final = 16
"""Connections kept open: a halt of ten symbols sends about this much at once."""

PROBES: Final = 4
"""How often a venue's time is asked at the start: the quickest answer counts."""

TURN_SECONDS: Final = 1.0
"""How long an act waits for the venue to have room for it; its caller paces it."""

EVERYTHING: Final = ""
"""The silence that covers every call, whatever budget it counts on."""

SINCE_SLACK_MS: Final = 1_000
"""How far our idea of the venue's clock may be off, at most."""

UNREADABLE: Final = (
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    ArithmeticError,
    AttributeError,
)


class EmergencyClient:
    """
    One account, read and flattened.

    Canceling a call leaves its request where it is: it may have been accepted.
    """

    venue: ClassVar[Venue]
    paces: ClassVar[Mapping[Act, Pace]] = {}
    """The documented budgets of acts: the caller paces them, most urgent first."""

    reads_all_cheaply: ClassVar[bool] = False
    """Whether the orders of all symbols cost no more than those of a few."""

    connections: ClassVar[int] = CONNECTIONS
    """How many connections it opens at most."""

    _time_method: ClassVar[str]
    _time_cost: ClassVar[int] = 1

    def __init__(self, *, rest: str, key: str, secret: str, clock: Clock) -> None:
        if not key or not secret:
            msg = (
                "the risk daemon needs a key of its own: set "
                f"venues.{self.venue}.risk.key and venues.{self.venue}.risk.secret"
            )
            raise SettingsError(msg)
        self._clock = clock
        self._key, self._secret, self._rest = key, secret, rest
        self._wire = open_wire(
            rest, key, secret, self.venue, connections=self.connections
        )
        self._budgets: dict[str, ReadBudget] = {}
        self._guards = {p.bucket: ActGuard(clock, p) for p in self.paces.values()}
        self._contracts: Mapping[str, Contract] = {}
        self._silent_until_ns: dict[str, int] = {}
        self._ahead_ms = 0

    @property
    def name(self) -> str:
        """The venue's name in this project."""
        return self.venue.value

    @property
    def clock_ahead_ms(self) -> int:
        """How far the venue's clock was ahead of ours when it was read last."""
        return self._ahead_ms

    async def close(self) -> None:
        """Close every connection."""
        await close_wire(self._wire)

    async def keep_warm(self) -> None:
        """Use every spare connection once, and learn the venue's clock from it."""
        await self._read_clock(min(WARM_CONNECTIONS, self.connections))

    # -- what a venue says of itself ---------------------------------------------

    def _read_budget(self) -> ReadBudget:
        """Return the daemon's share of what the venue allows one bucket of reads."""
        raise NotImplementedError

    def _venue_ms(self, answer: Any) -> int:  # noqa: ANN401 - JSON
        """Return the venue's time out of the answer of ``_time_method``."""
        raise NotImplementedError

    def _silence_of(self, failure: Failure, bucket: str) -> str:
        """Return which calls must wait after a refusal for too many of them."""
        del failure, bucket
        return EVERYTHING

    # -- the wire ----------------------------------------------------------------

    async def _read_clock(self, probes: int = 1) -> None:
        """Learn how far the venue's clock is ahead of ours, by the quickest answer."""
        found = await asyncio.gather(*(self._probe() for _ in range(probes)))
        _, self._ahead_ms = min(found)
        self._wire.options["timeDifference"] = -self._ahead_ms

    async def _probe(self) -> tuple[int, int]:
        """Return how long the venue's time took to come, and how far it is ahead."""
        sent_ns = self._clock.time_ns()
        answer = await self._read("time", self._time_method, {}, cost=self._time_cost)
        got_ns = self._clock.time_ns()
        with self._shaped("time"):
            ahead_ms = self._venue_ms(answer) - (sent_ns + got_ns) // 2 // NS_PER_MS
        return got_ns - sent_ns, ahead_ms

    async def _read(
        self,
        request: str,
        method: str,
        params: Mapping[str, object],
        *,
        cost: int = 1,
        bucket: str = EVERYTHING,
    ) -> Any:  # noqa: ANN401 - JSON
        """Make a request that changes nothing, as soon as the budget allows."""
        await self._pay(cost, bucket)
        answer = await self._call(request, method, params, bucket, is_order=False)
        headers = self._wire.last_response_headers
        if headers is not None:
            self._note_headers(self._budget_of(bucket), headers)
        return answer

    async def _pay(self, cost: int, bucket: str = EVERYTHING) -> None:
        """Return when the budget of ``bucket`` has ``cost`` left for reading."""
        if cost:
            # What is not sent costs nothing: after a silence the whole budget must be
            # there, or a halt of many rounds starves on reads that it never made.
            self._keep_silence("a read", bucket)
            await self._budget_of(bucket).take(cost)

    def _budget_of(self, bucket: str) -> ReadBudget:
        if bucket not in self._budgets:
            self._budgets[bucket] = self._read_budget()
        return self._budgets[bucket]

    def _note_headers(self, budget: ReadBudget, headers: Mapping[str, str]) -> None:
        """Learn from an answer what the venue counts itself, where it says so."""

    async def _act(
        self, request: str, method: str, params: Mapping[str, object], *, bucket: str
    ) -> Any:  # noqa: ANN401 - JSON
        """Make a request that changes orders, as soon as the venue takes it."""
        guard = self._guards.get(bucket)
        if guard is None:
            return await self._call(request, method, params, bucket, is_order=True)
        async with guard.turn(TURN_SECONDS) as is_free:
            if not is_free:
                msg = f"{self.name} takes no {bucket} yet: {request} was not sent"
                delay_ns = int(TURN_SECONDS * NS_PER_SECOND)
                raise RateLimited(
                    msg, venue=self.name, request=request, delay_ns=delay_ns
                )
            return await self._call(request, method, params, bucket, is_order=True)

    async def _call(
        self,
        request: str,
        method: str,
        params: Mapping[str, object],
        bucket: str,
        *,
        is_order: bool,
    ) -> Any:  # noqa: ANN401 - JSON
        for is_last in (False, True):
            attempt = Attempt(is_once=is_order)
            self._keep_silence(request, bucket)
            token = ATTEMPT.set(attempt)
            try:
                return await getattr(self._wire, method)(dict(params))
            except ccxt.BaseError as error:
                failure = failure_of(
                    self.venue, error, request, is_sent=attempt.is_sent
                )
            finally:
                ATTEMPT.reset(token)
            if is_last or not is_clock_doubtful(failure):
                raise self._error(failure, bucket, is_order=is_order) from None
            await self._read_clock()
        raise AssertionError

    def _keep_silence(self, request: str, bucket: str) -> None:
        """
        Refuse to send while the venue wants to hear nothing of the kind.

        Raises
        ------
        RateLimited
            With what is left of the wait.
        """
        until = self._silent_until_ns
        until_ns = max(until.get(EVERYTHING, 0), until.get(bucket, 0))
        wait_ns = until_ns - self._clock.monotonic_ns()
        if wait_ns > 0:
            msg = (
                f"{self.name} asked for silence: {request} waits "
                f"{wait_ns // NS_PER_MS} ms"
            )
            raise RateLimited(msg, venue=self.name, request=request, delay_ns=wait_ns)

    def _error(self, failure: Failure, bucket: str, *, is_order: bool) -> VenueError:
        error = order_error(failure) if is_order else read_error(failure)
        if isinstance(error, RateLimited):
            what = self._silence_of(failure, bucket)
            until_ns = self._clock.monotonic_ns() + error.delay_ns
            known_ns = self._silent_until_ns.get(what, 0)
            self._silent_until_ns[what] = max(known_ns, until_ns)
        if isinstance(error, CredentialsRefused):
            msg = f"{error} (key venues.{self.name}.risk.key)"
            return CredentialsRefused(msg, venue=self.name, request=failure.request)
        return error

    @contextlib.contextmanager
    def _shaped(self, request: str) -> Iterator[None]:
        """Turn an answer of unknown shape into one sentence: it is no reading."""
        try:
            yield
        except UNREADABLE as error:
            msg = f"{self.name} answered {request} in an unknown shape: {error!r}"
            raise VenueUnavailable(msg, venue=self.name, request=request) from None

    def _venue_time_ms(self, time_ns: int) -> int:
        """Return a time of our clock as the venue's milliseconds."""
        return time_ns // NS_PER_MS + self._ahead_ms

    def _since_ms(self, since_ns: int) -> int:
        """Return from when to ask for entries: a little early, clocks are not exact."""
        return max(0, self._venue_time_ms(since_ns) - SINCE_SLACK_MS)


def params_of(symbols: Collection[str] | None) -> list[dict[str, str]]:
    """Return the parameters of one request a symbol, or of one for all."""
    return [{}] if symbols is None else [{"symbol": s} for s in sorted(symbols)]


def refuse_key(venue: Venue, reason: str) -> CredentialsRefused:
    """Return the refusal of a key that the daemon must not run with."""
    msg = f"the {venue} risk key {reason} (key venues.{venue}.risk.key)"
    return CredentialsRefused(msg, venue=venue, request="key rights")
