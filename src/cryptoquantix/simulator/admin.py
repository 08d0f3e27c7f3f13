"""The operator's HTTP API of the simulator: prices, faults, watches, the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import msgspec
from aiohttp import web

from cryptoquantix.simulator.account_faults import ACCOUNT
from cryptoquantix.simulator.clearing import STABLECOINS
from cryptoquantix.simulator.fault_kinds import OUTAGES
from cryptoquantix.simulator.fault_runner import FaultRunner
from cryptoquantix.simulator.faults import ANY, parse_fault
from cryptoquantix.simulator.inlet import Inlet
from cryptoquantix.simulator.listing import money_text, to_units
from cryptoquantix.simulator.server import VenueServer
from cryptoquantix.simulator.venue import SimulatedVenue
from cryptoquantix.simulator.world import World

LOG_LIMIT_MAX = 10_000
SECONDS_MAX = 86_400.0
TRADES_MAX = 1_000_000
_TIME_NS_MAX = 2**63 - 1

type _Handler = Callable[[web.BaseRequest], Awaitable[Any]]


class AdminError(Exception):
    """The operator asked for something that cannot be; one sentence."""


class Admin:
    """Handlers by method and path over a world and its servers."""

    def __init__(
        self, world: World, servers: dict[str, VenueServer], faults: FaultRunner
    ) -> None:
        self._world = world
        self._servers = servers
        self._faults = faults
        self._routes: dict[tuple[str, str], _Handler] = {
            ("GET", "/state"): self._state,
            ("POST", "/tape"): self._tape,
            ("POST", "/price"): self._price,
            ("POST", "/outage"): self._outage,
            ("GET", "/faults"): self._list_faults,
            ("POST", "/faults"): self._add_fault,
            ("DELETE", "/faults"): self._end_faults,
            ("GET", "/account"): self._account,
            ("POST", "/account"): self._transfer,
            ("POST", "/transfer"): self._send,
            ("POST", "/rate"): self._rate,
            ("GET", "/watch"): self._watched,
            ("POST", "/watch"): self._watch,
            ("GET", "/log"): self._log,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; a wrong one is 400 with ``{"error": sentence}``."""
        handler = self._routes.get((request.method, request.path))
        if handler is None:
            paths = ", ".join(sorted(f"{m} {p}" for m, p in self._routes))
            return _json(404, {"error": f"no {request.method} {request.path}: {paths}"})
        try:
            answer = await handler(request)
        except (AdminError, web.HTTPRequestEntityTooLarge) as error:
            return _json(400, {"error": str(error)})
        for server in self._servers.values():
            server.flush()
        return _json(200, answer)

    async def _state(self, request: web.BaseRequest) -> dict[str, Any]:
        del request
        tape, inlet = self._world.tape, self._world.inlet
        state = {
            "time_ns": self._world.clock.time_ns(),
            "tape": {
                "time_ns": tape.played_ns,
                "speed": tape.speed,
                "paused": tape.is_paused,
                "finished": tape.is_finished and inlet is None,
                "lock_step": tape.is_lock_step,
                "standing": tape.is_standing,
                "next_ns": tape.next_ns,
            },
            "prices": {n: v.prices_json() for n, v in self._world.venues.items()},
            "outages": {n: s.outage for n, s in self._servers.items()},
        }
        if inlet is not None:
            state["mirror"] = _mirror_json(inlet)
        return state

    async def _tape(self, request: web.BaseRequest) -> dict[str, Any]:
        wanted = await _object(request, {"speed", "paused", "until_ns", "trades"})
        tape, now_ns = self._world.tape, self._world.clock.monotonic_ns()
        if self._world.inlet is not None:
            msg = "a mirrored market goes at its own pace: there is no tape to drive"
            raise AdminError(msg)
        if "speed" in wanted:
            try:
                tape.set_speed(float(_number(wanted, "speed")), now_ns)
            except ValueError as error:
                raise AdminError(str(error)) from None
        if "paused" in wanted:
            if not isinstance(wanted["paused"], bool):
                msg = f"paused must be true or false, was {wanted['paused']!r}"
                raise AdminError(msg)
            tape.set_paused(now_ns, paused=wanted["paused"])
        if "until_ns" in wanted or "trades" in wanted:
            tape.step(
                _whole(wanted, "until_ns", _TIME_NS_MAX),
                _whole(wanted, "trades", TRADES_MAX),
            )
        return await self._state(request)

    async def _price(self, request: web.BaseRequest) -> dict[str, Any]:
        wanted = await _object(
            request, {"venue", "symbol", "factor", "price", "seconds"}
        )
        if ("factor" in wanted) == ("price" in wanted):
            msg = "give either factor or price"
            raise AdminError(msg)
        duration_ns = int(_seconds(wanted, default=Decimal(0)) * 10**9)
        if wanted.get("venue") == ANY:
            if wanted.get("symbol") != ANY:
                msg = "venue * moves every price: symbol must be *"
                raise AdminError(msg)
            joint = next(iter(self._world.venues.values())).joint
            if joint is not None:
                joint.hold()
            for venue in self._world.venues.values():
                self._move(venue, wanted, duration_ns)
            if joint is not None:
                joint.release(self._world.clock.time_ns())
            return {n: v.prices_json() for n, v in self._world.venues.items()}
        venue = self._venue(wanted)
        self._move(venue, wanted, duration_ns)
        return venue.prices_json()

    def _move(
        self, venue: SimulatedVenue, wanted: dict[str, Any], duration_ns: int
    ) -> None:
        symbol = wanted.get("symbol")
        symbols = list(venue.exchange.markets) if symbol == ANY else [symbol]
        for name in map(str, symbols):
            factor = self._factor(venue, name, wanted)
            self._world.shock(venue, name, factor, duration_ns)

    def _factor(
        self, venue: SimulatedVenue, symbol: object, wanted: dict[str, Any]
    ) -> Fraction:
        market = venue.exchange.markets.get(str(symbol))
        if market is None:
            known = ", ".join(venue.exchange.markets)
            msg = f"symbol must be * or one of {known}, was {symbol!r}"
            raise AdminError(msg)
        name = "factor" if "factor" in wanted else "price"
        value = Fraction(_number(wanted, name))
        if value <= 0:
            msg = f"{name} must be positive, was {wanted[name]!r}"
            raise AdminError(msg)
        if name == "factor":
            return value
        ticks = value / Fraction(market.listing.tick_size)
        return ticks / (market.raw_ticks * market.factor)

    async def _outage(self, request: web.BaseRequest) -> dict[str, Any]:
        wanted = await _object(request, {"venue", "seconds", "kind"})
        server = self._servers[self._venue(wanted).name]
        kind = wanted.get("kind")
        if kind not in OUTAGES:
            msg = f"kind must be one of {', '.join(OUTAGES)}, was {kind!r}"
            raise AdminError(msg)
        seconds = float(_seconds(wanted))
        if seconds > 0:
            server.begin_outage(str(kind), seconds)
        elif server.outage is not None:
            server.end_outage()
        return {"venue": server.venue.name, "outage": server.outage}

    async def _list_faults(self, request: web.BaseRequest) -> dict[str, Any]:
        del request
        now_ns = self._world.clock.monotonic_ns()
        return {"faults": self._faults.board.to_json(now_ns)}

    async def _add_fault(self, request: web.BaseRequest) -> dict[str, Any]:
        wanted = await _object(request, None)
        try:
            active = self._faults.add(parse_fault(wanted))
        except ValueError as error:
            raise AdminError(str(error)) from None
        return active.to_json(self._world.clock.monotonic_ns())

    async def _end_faults(self, request: web.BaseRequest) -> dict[str, Any]:
        text = request.rel_url.query.get("id")
        if text is not None and not (text.isdecimal() and len(text) < 10):
            msg = f"id must be a whole number, was {text!r}"
            raise AdminError(msg)
        ended = self._faults.remove(None if text is None else int(text))
        return {"ended": ended} | await self._list_faults(request)

    async def _account(self, request: web.BaseRequest) -> dict[str, Any]:
        query = request.rel_url.query
        venue = self._venue(query)
        return venue.account_json(_account_of(venue, query))

    async def _transfer(self, request: web.BaseRequest) -> dict[str, Any]:
        wanted = await _object(
            request, {"venue", "deposit", "withdraw", "coin", "account"}
        )
        venue = self._venue(wanted)
        if ("deposit" in wanted) == ("withdraw" in wanted):
            msg = "give either deposit or withdraw"
            raise AdminError(msg)
        name = "deposit" if "deposit" in wanted else "withdraw"
        units = _units(wanted, name) * (1 if name == "deposit" else -1)
        account = _account_of(venue, wanted)
        coin, time_ns = str(wanted.get("coin", "")), self._world.clock.time_ns()
        try:
            venue.transfer(account, units, time_ns, coin)
        except ValueError as error:
            raise AdminError(str(error)) from None
        return venue.account_json(account)

    async def _send(self, request: web.BaseRequest) -> dict[str, Any]:
        """Move money from one venue to another, with a lag."""
        wanted = await _object(
            request, {"from", "to", "coin", "amount", "lag_seconds", "account"}
        )
        sender = self._venue({"venue": wanted.get("from")})
        receiver = self._venue({"venue": wanted.get("to")})
        lag = _seconds(wanted, default=Decimal(0), name="lag_seconds")
        try:
            self._world.send(
                sender,
                receiver,
                account_id=_account_of(sender, wanted),
                coin=str(wanted.get("coin", "")),
                units=_units(wanted, "amount"),
                lag_ns=int(lag * 10**9),
            )
        except ValueError as error:
            raise AdminError(str(error)) from None
        return {
            "on_their_way": [
                {"to": c.to, "coin": c.coin, "amount": money_text(c.units)}
                for c in self._world.crossings
            ]
        }

    async def _rate(self, request: web.BaseRequest) -> dict[str, Any]:
        """Say what a coin is worth in dollars, at one venue or at all."""
        wanted = await _object(request, {"venue", "coin", "usd"})
        coin = wanted.get("coin")
        named = wanted.get("venue")
        venues = (
            list(self._world.venues.values()) if named == ANY else [self._venue(wanted)]
        )
        usd: Fraction | None = None
        if wanted.get("usd") is not None:
            usd = Fraction(_number(wanted, "usd"))
            if usd <= 0:
                msg = f"usd must be positive or null, was {wanted['usd']!r}"
                raise AdminError(msg)
        time_ns = self._world.clock.time_ns()
        for venue in venues:
            known = {*venue.rules.known_coins, *STABLECOINS} - {"USD"}
            if coin not in known:
                msg = f"coin must be one of {', '.join(sorted(known))}, was {coin!r}"
                raise AdminError(msg)
        for venue in venues:
            venue.set_coin_price(str(coin), usd, time_ns + venue.skew_ns)
            self._world.record.add(
                "rate",
                time_ns,
                venue=venue.name,
                coin=coin,
                usd=None if usd is None else str(wanted["usd"]),
            )
        return {v.name: v.coin_prices() for v in venues}

    async def _watch(self, request: web.BaseRequest) -> dict[str, Any]:
        wanted = await _object(request, {"venue", "threshold"})
        threshold = _number(wanted, "threshold")
        if not 0 < threshold <= 1:
            msg = f"threshold must be within (0, 1], was {wanted['threshold']!r}"
            raise AdminError(msg)
        now_ns = self._world.clock.time_ns()
        if wanted.get("venue") == ANY:
            return self._world.watch(ACCOUNT, threshold, now_ns).to_json()
        venue = self._venue(wanted)
        return venue.watch(ACCOUNT, threshold, now_ns).to_json()

    async def _watched(self, request: web.BaseRequest) -> dict[str, Any]:
        query = request.rel_url.query
        if query.get("venue") == ANY:
            joint = next(iter(self._world.venues.values())).joint
            watch = joint.watch if joint is not None else None
        else:
            watch = self._venue(query).watches.get(ACCOUNT)
        if watch is None:
            msg = f"nothing is watched at {query['venue']}: POST /watch first"
            raise AdminError(msg)
        return watch.to_json()

    async def _log(self, request: web.BaseRequest) -> dict[str, Any]:
        query = request.rel_url.query
        after, limit = query.get("after", "0"), query.get("limit", "1000")
        if not (after.isdecimal() and limit.isdecimal() and len(after) < 19):
            msg = f"after and limit must be whole numbers, were {after!r}, {limit!r}"
            raise AdminError(msg)
        records = self._world.record.after(
            int(after), min(int(limit[:9]), LOG_LIMIT_MAX)
        )
        return {"records": records}

    def _venue(self, wanted: Any) -> SimulatedVenue:  # noqa: ANN401 - dict or query
        name = wanted.get("venue")
        venue = self._world.venues.get(str(name))
        if venue is None:
            known = ", ".join(self._world.venues)
            msg = f"venue must be one of {known}, was {name!r}"
            raise AdminError(msg)
        return venue


def _mirror_json(inlet: Inlet) -> dict[str, Any]:
    """Return what is known of the markets that are mirrored."""
    return {
        "waiting": len(inlet),
        "prints_dropped": inlet.prints_dropped,
        "passed_over": inlet.passed_over,
        "venues": {
            name: {
                "source": one.source,
                "connected": one.connected,
                "latency_ms": round(one.latency_ns / 1e6, 3),
                "reconnects": one.reconnects,
                "halted": dict(one.halted),
            }
            for name, one in inlet.status.items()
        },
    }


async def _object(request: web.BaseRequest, known: set[str] | None) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        msg = "expected a JSON object"
        raise AdminError(msg) from None
    if not isinstance(value, dict):
        msg = f"expected a JSON object, found {type(value).__name__}"
        raise AdminError(msg)
    unknown = sorted(set(value) - known) if known is not None else []
    if known is not None and unknown:
        msg = f"unknown field {unknown[0]!r}, expected {', '.join(sorted(known))}"
        raise AdminError(msg)
    return value


def _number(wanted: dict[str, Any], name: str) -> Decimal:
    value = wanted.get(name)
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    # An exponent beyond any price would make an integer as large as memory.
    is_sane = number.is_finite() and -30 < number.adjusted() < 30
    if isinstance(value, bool) or not is_sane or len(str(value)) > 40:
        msg = f"{name} must be a number, was {value!r}"
        raise AdminError(msg)
    return number


def _whole(wanted: dict[str, Any], name: str, most: int) -> int:
    value = wanted.get(name, 0)
    if type(value) is not int or not 0 <= value <= most:
        msg = f"{name} must be a whole number within 0..{most}, was {value!r}"
        raise AdminError(msg)
    return value


def _units(wanted: dict[str, Any], name: str) -> int:
    units = to_units(_number(wanted, name))
    if units <= 0:
        msg = f"{name} must be positive, was {wanted[name]!r}"
        raise AdminError(msg)
    return units


def _account_of(
    venue: SimulatedVenue,
    wanted: Any,  # noqa: ANN401 - dict or query
) -> int:
    name = str(wanted.get("account", ACCOUNT))
    accounts = venue.exchange.clearing.accounts
    if not name.isdecimal() or len(name) > 9 or int(name) not in accounts:
        known = ", ".join(map(str, accounts))
        msg = f"account must be one of {known}, was {name!r}"
        raise AdminError(msg)
    return int(name)


def _seconds(
    wanted: dict[str, Any], default: Decimal | None = None, name: str = "seconds"
) -> Decimal:
    if name not in wanted and default is not None:
        return default
    seconds = _number(wanted, name)
    if not 0 <= seconds <= SECONDS_MAX:
        msg = f"{name} must be within 0..{SECONDS_MAX:.0f}, was {seconds}"
        raise AdminError(msg)
    return seconds


def _json(status: int, value: object) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        content_type="application/json",
    )
