"""
The last checks before an order is journalled; it changes no order and sends none.

Nothing here may stop a :class:`Reduction` but the duplicate check: what keeps us from
entering (permit, throttle, collar, leverage) must never keep us from leaving.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from cryptoquantix.control.permit import Permit
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.instrument import Instrument
from cryptoquantix.core.order import Increase, Reduction, Side
from cryptoquantix.orders.exposure import Exposure
from cryptoquantix.orders.value import lot_quote

# Half of Binance USD-M's 300 orders in ten seconds an account: the daemon's emergency
# orders need the other half. The half of its 1 200 a minute is the bound of the
# setting ``orders_per_minute_max``.
ORDERS_PER_TEN_SECONDS_MAX: Final = 150

_STAMP: Final = object()
_NOTHING: Final = Exposure()


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """
    The numbers an order is held against, from the settings.

    ``leverage_max`` bounds gross exposure, ``net_max`` its signed sum and
    ``instrument_max`` that of one instrument (``instrument_max_of`` that of those it
    names, by their ids' text), all as multiples of the venue's equity;
    ``order_max`` bounds one order that increases, as a multiple of the same.
    ``portfolio_gross_max`` and ``portfolio_net_max`` bound all venues together, as
    multiples of the equity of them all. None where there is no such bound.
    """

    leverage_max: Decimal
    price_collar_fraction: Decimal
    orders_per_minute_max: int
    net_max: Decimal | None = None
    instrument_max: Decimal | None = None
    instrument_max_of: Mapping[str, Decimal] = field(default_factory=dict)
    order_max: Decimal | None = None
    portfolio_gross_max: Decimal | None = None
    portfolio_net_max: Decimal | None = None

    @property
    def are_across_venues(self) -> bool:
        """Whether an order here depends on what is held elsewhere."""
        return (
            self.portfolio_gross_max is not None or self.portfolio_net_max is not None
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What the world looks like to an order at the moment it is checked.

    ``account`` is what may be at stake at this venue, ``held`` in this instrument
    alone, ``portfolio`` at every venue (None where one of them was never read; equal
    to ``account`` where there is no other). ``reference_price`` is the price the
    target was made at; ``sent_monotonic_ns`` when orders were sent lately;
    ``known_ids`` every client order id ever journalled.
    """

    instrument: Instrument
    mark_price: Decimal | None
    reference_price: Decimal
    account: Exposure
    sent_monotonic_ns: tuple[int, ...]
    known_ids: Container[str]
    permit: Permit | None
    monotonic_now_ns: int
    held: Exposure = _NOTHING
    portfolio: Exposure | None = None

    @property
    def price(self) -> Decimal:
        """What an order is valued at: the dearer of mark and target price."""
        if not _is_positive(self.mark_price) or not _is_positive(self.reference_price):
            return Decimal(0)
        assert self.mark_price is not None, "a positive mark is one"
        return max(self.mark_price, self.reference_price)


@dataclass(frozen=True, slots=True)
class Approved:
    """An order that passed every check; only :func:`check_order` makes one."""

    order: Increase | Reduction
    stamp: object = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.stamp is not _STAMP:
            msg = "only check_order approves an order"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Refused:
    """An order that must not be sent, and why, in one sentence."""

    order: Increase | Reduction
    reason: str


def check_order(
    order: Increase | Reduction, around: Surroundings, settings: LimitSettings
) -> Approved | Refused:
    """
    Return the order approved, or the first reason against it.

    A permit that is live here is not enough to send: the sender asks again at the
    moment the bytes are written.
    """
    reason = _duplicate(order, around)
    if isinstance(order, Increase):
        reason = (
            reason
            or _permit(around)
            or _throttle(around, settings)
            or _size(order, around, settings)
            or _collar(around, settings)
            or _leverage(order, around, settings)
        )
    return Refused(order, reason) if reason else Approved(order, _STAMP)


def check_amendment(around: Surroundings, settings: LimitSettings) -> str:
    """Return why a resting increase must not follow the price, or nothing."""
    return _permit(around) or _throttle(around, settings) or _collar(around, settings)


def room_lots(around: Surroundings, settings: LimitSettings, side: Side) -> int:
    """
    Return the lots that still fit under every cap on that side, toward zero.

    Parameters
    ----------
    around : Surroundings
        Where the account stands.
    settings : LimitSettings
        The caps.
    side : Side
        Where the increase would go.
    """
    price = around.price
    if not price or not _is_positive(around.account.equity_quote):
        return 0
    if _unread(around, settings):
        return 0
    room = min(room for _, room in _rooms(around, settings, side))
    return max(0, int(room / lot_quote(around.instrument, price)))


def order_max_lots(around: Surroundings, settings: LimitSettings) -> int | None:
    """Return the most lots that one increase may hold, toward zero; None: no bound."""
    price, equity = around.price, around.account.equity_quote
    if settings.order_max is None or not price or not _is_positive(equity):
        return None
    most = settings.order_max * equity / lot_quote(around.instrument, price)
    return int(most)


def _rooms(
    around: Surroundings, settings: LimitSettings, side: Side
) -> Iterator[tuple[str, Decimal]]:
    """Yield each cap in words and what is left under it, in quote."""
    account, equity = around.account, around.account.equity_quote
    yield (
        f"{settings.leverage_max} × equity {equity:.2f}",
        settings.leverage_max * equity - account.gross_quote,
    )
    if settings.net_max is not None:
        yield (
            f"{settings.net_max} × equity {equity:.2f} net",
            settings.net_max * equity - account.toward(side),
        )
    name = str(around.instrument.id)
    single = settings.instrument_max_of.get(name, settings.instrument_max)
    if single is not None:
        yield (
            f"{single} × equity {equity:.2f} in {name}",
            single * equity - around.held.toward(side),
        )
    yield from _portfolio_rooms(around, settings, side)


def _portfolio_rooms(
    around: Surroundings, settings: LimitSettings, side: Side
) -> Iterator[tuple[str, Decimal]]:
    """Yield the caps over all venues; there are none before every venue was read."""
    portfolio = around.portfolio
    if portfolio is None:
        return
    equity = portfolio.equity_quote
    if settings.portfolio_gross_max is not None:
        yield (
            f"{settings.portfolio_gross_max} × equity {equity:.2f} of all venues",
            settings.portfolio_gross_max * equity - portfolio.gross_quote,
        )
    if settings.portfolio_net_max is not None:
        yield (
            f"{settings.portfolio_net_max} × equity {equity:.2f} of all venues net",
            settings.portfolio_net_max * equity - portfolio.toward(side),
        )


def _unread(around: Surroundings, settings: LimitSettings) -> str:
    if not settings.are_across_venues:
        return ""
    if around.portfolio is None:
        return "a venue was not read yet: what all of them hold together is not known"
    if not _is_positive(around.portfolio.equity_quote):
        return f"the equity of all venues is {around.portfolio.equity_quote}"
    return ""


def _duplicate(order: Increase | Reduction, around: Surroundings) -> str:
    if order.client_order_id in around.known_ids:
        return f"client order id {order.client_order_id} was used before"
    return ""


def _permit(around: Surroundings) -> str:
    if around.permit is None:
        return "no permit: the risk daemon has not answered"
    if around.permit.allows_increase(around.monotonic_now_ns):
        return ""
    answer = around.permit.answer
    return (
        f"no live permit to trade (last answer: {answer.mode}) {answer.reason}".strip()
    )


def _throttle(around: Surroundings, settings: LimitSettings) -> str:
    for seconds, most in (
        (10, ORDERS_PER_TEN_SECONDS_MAX),
        (60, settings.orders_per_minute_max),
    ):
        since = around.monotonic_now_ns - seconds * NS_PER_SECOND
        sent = sum(1 for time_ns in around.sent_monotonic_ns if time_ns > since)
        if sent >= most:
            return f"{sent} orders in {seconds} s, at most {most} are allowed"
    return ""


def _size(order: Increase, around: Surroundings, settings: LimitSettings) -> str:
    most = around.instrument.size_market_max_lots
    if 0 < most < order.size_lots:
        return f"{order.size_lots} lots exceed the venue's {most} for one market order"
    allowed = order_max_lots(around, settings)
    if allowed is not None and order.size_lots > allowed:
        return (
            f"{order.size_lots} lots exceed the {allowed} of one order, "
            f"{settings.order_max} × equity {around.account.equity_quote:.2f}"
        )
    return ""


def _collar(around: Surroundings, settings: LimitSettings) -> str:
    mark, reference = around.mark_price, around.reference_price
    if not _is_positive(mark) or not _is_positive(reference):
        return f"no price to hold the target against (mark {mark}, target {reference})"
    assert mark is not None, "a positive mark is one"
    away = abs(mark / reference - 1)
    if away > settings.price_collar_fraction:
        return (
            f"mark {mark} is {away:.2%} from the target's price {reference}, "
            f"beyond the collar of {settings.price_collar_fraction:.2%}"
        )
    return ""


def _leverage(order: Increase, around: Surroundings, settings: LimitSettings) -> str:
    if not _is_positive(around.account.equity_quote):
        return f"equity is {around.account.equity_quote}"
    unread = _unread(around, settings)
    if unread:
        return unread
    value = order.size_lots * lot_quote(around.instrument, around.price)
    for cap, room in _rooms(around, settings, order.side):
        if value > room:
            return (
                f"an order of {value:.2f} is beyond {cap} by {value - room:.2f} "
                "(what is unfinished included)"
            )
    return ""


def _is_positive(value: Decimal | None) -> bool:
    """Return whether ``value`` is a number above zero; NaN and infinity are not."""
    return value is not None and value.is_finite() and value > 0
