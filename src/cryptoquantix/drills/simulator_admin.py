"""The simulator's admin API, for drills and the demo; it is no venue client."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

from cryptoquantix.core.errors import CryptoquantixError

if TYPE_CHECKING:
    from types import TracebackType

EVERYWHERE: Final = "*"
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_LOG_PAGE = 5_000
_LOG_PAGES_MAX = 1_000


class AdminRefused(CryptoquantixError):  # noqa: N818 - it names a state
    """The simulator's admin API said no."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The simulated account's true drawdown since the watch began."""

    peak: Decimal
    equity: Decimal
    drawdown: Decimal
    deepest: Decimal
    crossed_time_ns: int | None


@dataclass(frozen=True, slots=True)
class TrueAccount:
    """What the simulated account truly holds. Sizes are signed, in coin."""

    equity: Decimal
    positions: dict[str, Decimal]
    open_orders: int
    algo_orders: int


class SimulatorAdmin:
    """Moves prices, injects faults, and reads what truly happened."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def state(self) -> dict[str, Any]:
        """Return clocks, tape and prices as the simulator shows them."""
        return await self._call("GET", "/state")

    async def set_tape(self, **change: float | bool) -> None:
        """Set the tape's ``speed``, or pause it (``paused``)."""
        await self._call("POST", "/tape", json=change)

    async def move_price(
        self,
        factor: Decimal,
        *,
        symbol: str = "*",
        venue: str = "binance",
        seconds: float = 0,
    ) -> None:
        """Multiply a price, its book, mark and index: at once, or within seconds."""
        wanted = {
            "venue": venue,
            "symbol": symbol,
            "factor": str(factor),
            "seconds": seconds,
        }
        await self._call("POST", "/price", json=wanted)

    async def add_fault(self, **fault: str | float) -> int:
        """Let something fail, from now on, and return the fault's number."""
        return int((await self._call("POST", "/faults", json=fault))["id"])

    async def send(
        self, sender: str, receiver: str, *, coin: str, amount: str, lag_seconds: float
    ) -> None:
        """Move money between two venues: it leaves now and arrives later."""
        wanted = {
            "from": sender,
            "to": receiver,
            "coin": coin,
            "amount": amount,
            "lag_seconds": lag_seconds,
        }
        await self._call("POST", "/transfer", json=wanted)

    async def end_faults(self) -> None:
        """End every fault."""
        await self._call("DELETE", "/faults")

    async def begin_watch(self, threshold: Decimal, *, venue: str = "binance") -> None:
        """Start the true high-water mark anew, at the equity now."""
        wanted = {"venue": venue, "threshold": str(threshold)}
        await self._call("POST", "/watch", json=wanted)

    async def watch(self, venue: str = "binance") -> Watch:
        """Return the true drawdown, and when it first reached the threshold."""
        value = await self._call("GET", f"/watch?venue={venue}")
        return Watch(
            peak=Decimal(value["peak"]),
            equity=Decimal(value["equity"]),
            drawdown=Decimal(value["drawdown"]),
            deepest=Decimal(value["deepest"]),
            crossed_time_ns=value["crossed_time_ns"],
        )

    async def account(self, venue: str = "binance") -> TrueAccount:
        """Return what the account truly holds at this instant."""
        value = await self._call("GET", f"/account?venue={venue}")
        positions: dict[str, Decimal] = {}
        for row in value["positions"]:
            if Decimal(row["size"]) != 0:
                leg = "" if row["leg"] == "both" else f" {row['leg']}"
                positions[f"{row['symbol']}{leg}"] = Decimal(row["size"])
        return TrueAccount(
            equity=Decimal(value["equity"]),
            positions=positions,
            open_orders=len(value["open_orders"]),
            algo_orders=len(value["algo_orders"]),
        )

    async def log(self, after: int = 0) -> list[dict[str, Any]]:
        """Return every record of the simulator's own log after a sequence number."""
        records: list[dict[str, Any]] = []
        for _ in range(_LOG_PAGES_MAX):
            page = await self._call("GET", f"/log?after={after}&limit={_LOG_PAGE}")
            records += page["records"]
            if len(page["records"]) < _LOG_PAGE:
                return records
            after = records[-1]["sequence"]
        msg = f"the simulator's log has more than {_LOG_PAGES_MAX * _LOG_PAGE} records"
        raise AdminRefused(msg)

    async def _call(self, method: str, path: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - aiohttp's
        assert self._session is not None, "used outside its context"
        async with self._session.request(method, self._url + path, **more) as answer:
            value = await answer.json(content_type=None)
            if answer.status != 200:
                msg = f"simulator admin {method} {path} was refused: {value}"
                raise AdminRefused(msg)
            result: dict[str, Any] = value
            return result
