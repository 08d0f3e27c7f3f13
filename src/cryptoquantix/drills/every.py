"""
Every drill there is, as a table; it starts nothing.

What each one answers, and its last figures, are in docs/drills.md.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from cryptoquantix.control.status import RiskState
from cryptoquantix.drills import checks
from cryptoquantix.drills.book import Book
from cryptoquantix.drills.drill import Drill
from cryptoquantix.drills.steps import (
    FIRST,
    LAST,
    Deleverage,
    EndFaults,
    Fault,
    FillDisk,
    FreeDisk,
    Kill,
    KilledAt,
    LoseStore,
    Order,
    Price,
    SilenceTelegram,
    Start,
    StepClock,
    Transfer,
    TwoHolders,
    Until,
    UntilDelivered,
    UntilPermit,
    UntilRecord,
    Wait,
)

FLAT_SECONDS: Final = 3.5
"""Verified flat after the true crossing: a second to see it, one to close, half a
second between the two looks, and room for a busy machine."""

HALT_STEPS: Final = (
    "decided",
    "latched",
    "revoked",
    "canceling",
    "cancel-sent",
    "cancel-answered",
    "closing",
    "close-sent",
    "close-answered",
    "rest",
    "verifying",
    "seen-once",
    "verified",
    "halted",
    "halt-written",
)

_HALTED = Until(RiskState.HALTED)
_KILLED = (checks.halted, checks.only_reduced)
_FAST = (*_KILLED, checks.flat_within(FLAT_SECONDS))
# The second look of "verified" is the last thing the log shows of a halt.
_SETTLED = Wait(0.3)

_CRASH = (Price("0.94"), _HALTED, _SETTLED)

_CLOSES = {
    "binance": {"match": "^POST /fapi/v1/order"},
    "bybit": {"match": "^POST /v5/order/create"},
    "deribit": {"match": "private/(buy|sell|close_position)"},
}
_READINGS = {
    "binance": {
        "match": "^GET /fapi/v3/account",
        "fields": "total(Cross)?(Wallet|Margin)Balance|walletBalance|marginBalance"
        "|crossWalletBalance",
    },
    "bybit": {
        "match": "^GET /v5/account/wallet-balance",
        "fields": "total\\w*(Equity|Balance)|equity|walletBalance|usdValue",
    },
    "deribit": {
        "match": "private/get_account_summar",
        "fields": "equity|balance|margin_balance|total_equity_usd",
    },
}
_LATE = {
    "binance": {"symbol": "BTCUSDT", "amount": "0.05"},
    "bybit": {"symbol": "BTCUSDT", "amount": "0.05"},
    "deribit": {"symbol": "BTC-PERPETUAL", "amount": "3000"},
}
_COINS = {"binance": "USDT", "bybit": "USDT", "deribit": "USDC"}


def _money(kind: str, venue: str, amount: str, label: str) -> Fault:
    by_venue = {name: {"coin": coin} for name, coin in _COINS.items()}
    return Fault(kind, venue, label, {"amount": amount}, by_venue)


FLASH_CRASH = Drill(
    "flash-crash",
    "prices fall by 6 % at once",
    steps=_CRASH,
    must_hold=_FAST,
    book=Book(symbols=5),
)

SLOW_BLEED = Drill(
    "slow-bleed",
    "prices fall by 3.2 % within 25 seconds: warnings, then the halt",
    steps=(Price("0.968", seconds=25), Until(RiskState.HALTED, 40), _SETTLED),
    quick=(Price("0.968", seconds=6), Until(RiskState.HALTED, 20), _SETTLED),
    must_hold=(*_FAST, checks.alarmed("drawdown", at_least=2)),
)

ONE_VENUE_OUTAGE = Drill(
    "one-venue-outage",
    "one venue hangs while all prices fall: the others are flat as fast, it follows",
    steps=(
        Fault("outage", FIRST, "hanging", {"mode": "hang", "seconds": 12}),
        Wait(1.0),
        Price("0.94"),
        Wait(11.0, "back"),
        _HALTED,
        _SETTLED,
    ),
    must_hold=(
        *_KILLED,
        checks.others_flat_within(FLAT_SECONDS),
        checks.flat_within(6, after="back"),
    ),
    venues_min=2,
)

ALL_VENUE_OUTAGE = Drill(
    "all-venue-outage",
    "nothing answers: blind, no act; a crash meanwhile is seen at the first reading",
    steps=(
        Fault("outage", label="dark", more={"mode": "refuse", "seconds": 9}),
        Until(RiskState.BLIND, 8),
        Until(RiskState.ARMED, 15, "light"),
        UntilPermit(15, "traded"),
        Fault("outage", label="dark again", more={"mode": "hang", "seconds": 7}),
        Wait(2.0),
        Price("0.94"),
        Wait(4.5, "light again"),
        _HALTED,
        _SETTLED,
    ),
    must_hold=(
        *_KILLED,
        checks.state_within(RiskState.BLIND, 7, after="dark"),
        checks.no_permit("dark", grace_seconds=7, seconds=9),
        checks.no_acts("dark", "traded"),
        checks.never_halted("dark", "crash"),
        checks.flat_within(6, after="light again"),
    ),
    needs_permit=True,
)

LOST_ACK = Drill(
    "lost-ack",
    "closes are carried out and their answers never come",
    steps=(
        Fault("lost-answer", more={"seconds": 20, "count": 3}, by_venue=_CLOSES),
        *_CRASH,
    ),
    must_hold=(
        *_KILLED,
        checks.flat_within(6),
        checks.noted("is lost"),
    ),
)

BAND_REFUSAL = Drill(
    "band-refusal",
    "market orders are refused for a minute as outside the price band",
    steps=(
        Fault("price-band", label="shut", more={"seconds": 60}),
        *_CRASH,
        EndFaults(),
    ),
    must_hold=(*_KILLED, checks.flat_within(5), checks.refused((-4131, 30208, 10043))),
)

PARTIAL_FILLS = Drill(
    "partial-fills",
    "positions larger than the book is deep: every close fills in part",
    steps=(Price("0.94"), Until(RiskState.HALTED, 30), _SETTLED),
    must_hold=(*_KILLED, checks.flat_within(20), checks.closed_in_parts),
    book=Book(symbols=1, order_max=Decimal(400_000)),
    balance="800000",
)

BAN_429 = Drill(
    "ban-429",
    "one venue refuses every request with 429, then bans, for six seconds",
    steps=(
        Fault(
            "429",
            FIRST,
            "banned",
            {"seconds": 6, "retry_after": 6, "ban_after": 30},
        ),
        Price("0.94"),
        Wait(6.0, "over"),
        _HALTED,
        _SETTLED,
    ),
    must_hold=(
        *_KILLED,
        checks.flat_within(6, after="over"),
        checks.quiet_while_banned("banned", 6, at_most=30),
        checks.others_flat_within(FLAT_SECONDS),
    ),
)

BAD_READING = Drill(
    "bad-reading",
    "one reading says half, another three times the equity: no halt, no peak",
    steps=(
        Fault(
            "wrong-numbers",
            FIRST,
            "half",
            {"factor": "0.5", "count": 1},
            _READINGS,
        ),
        Wait(3.0),
        Fault(
            "wrong-numbers",
            FIRST,
            "triple",
            {"factor": "3", "count": 1},
            _READINGS,
        ),
        Wait(3.0),
        UntilPermit(10, "after"),
        *_CRASH,
    ),
    must_hold=(
        *_FAST,
        checks.noted("is wrong", at_least=2),
        checks.never_halted("half", "after"),
        checks.no_acts("half", "after"),
        checks.peak_unmoved("half", "after"),
        checks.permitted("after"),
    ),
    needs_permit=True,
)


def _transfer(name: str, kind: str) -> Drill:
    return Drill(
        name,
        f"a {kind} of a fifth of one account: no halt, no peak moved",
        steps=(
            # In a drawdown, so that money taken for a gain would hide it.
            Price("0.99", label="dip"),
            Wait(2.0),
            _money(kind, FIRST, "20000", "moved"),
            Wait(4.0),
            UntilPermit(20, "after"),
            *_CRASH,
        ),
        must_hold=(
            *_FAST,
            checks.never_halted("moved", "after"),
            checks.no_acts("moved", "after"),
            checks.peak_unmoved("moved", "after"),
            checks.permitted("after"),
        ),
        needs_permit=True,
    )


DEPOSIT = _transfer("deposit", "deposit")
WITHDRAWAL = _transfer("withdrawal", "withdrawal")

TRANSFER_IN_TRANSIT = Drill(
    "transfer-in-transit",
    "money leaves one account and reaches another five seconds later",
    steps=(
        Transfer("15000", 5.0),
        Wait(9.0),
        UntilPermit(20, "after"),
        *_CRASH,
    ),
    must_hold=(
        *_FAST,
        checks.never_halted("sent", "after"),
        checks.no_acts("sent", "after"),
        checks.peak_unmoved("sent", "after"),
        checks.permitted("after"),
    ),
    venues=("binance", "bybit"),
    venues_min=2,
    needs_permit=True,
)

ADL_ONE_LEG = Drill(
    "adl-one-leg",
    "a hedged book falls unharmed; then its winning legs are taken away",
    steps=(
        Price("0.95", label="hedged fall"),
        Wait(3.0),
        Deleverage(),
        Wait(3.0, "naked"),
        Price("0.93"),
        _HALTED,
        _SETTLED,
    ),
    must_hold=(
        *_FAST,
        checks.never_halted("hedged fall", "naked"),
        checks.no_acts("hedged fall", "naked"),
        checks.noted("auto-deleveraged"),
    ),
    book=Book(symbols=4, is_hedged=True, exposure=Decimal(2)),
)

LATE_FILL = Drill(
    "late-fill-after-flat",
    "a fill at the moment of flat, another and an order after the halt: all removed",
    steps=(
        Fault("late-fill", FIRST, "planned", {"side": "buy", "seconds": 60}, _LATE),
        *_CRASH,
        Order(FIRST, label="late fill"),
        UntilRecord("flat", "late fill", label="closed"),
        Order(LAST, price_factor="0.8", label="late order"),
        UntilRecord("flat", "late order", 35, label="canceled"),
        Wait(1.5),
    ),
    must_hold=(
        checks.empty,
        checks.only_reduced,
        checks.noted("from elsewhere"),
        checks.state_throughout(RiskState.HALTED, "late fill"),
        checks.no_permit("late fill"),
    ),
)

DAEMON_KILLED = Drill(
    "daemon-killed",
    "SIGKILL at each step of the halt: another daemon finds it and ends it",
    steps=tuple(KilledAt(step) for step in HALT_STEPS),
    quick=(KilledAt("decided"), KilledAt("close-sent"), KilledAt("seen-once")),
    must_hold=(
        checks.halted,
        checks.only_reduced,
        checks.fact_at_most(
            "slowest recovery", 12, "seconds from death to verified flat"
        ),
    ),
    # Small: fifteen crashes must not use up a coin of the account.
    book=Book(symbols=2, exposure=Decimal("0.7")),
    harms_daemon=True,
    is_kill=False,
    # Thirty halts and as many starts would share two minutes of Binance's weight,
    # which the daemon reads from each answer and keeps to.
    has_rate_limits=False,
    venues=("bybit", "deribit"),
)

EMPTY_VOLUME = Drill(
    "empty-volume",
    "the daemon wakes up without its store, and prices fall: LOCKED, touches nothing",
    steps=(
        Kill(),
        LoseStore(),
        Start(),
        Price("0.94"),
        Wait(12.0, "end"),
    ),
    quick=(Kill(), LoseStore(), Start(), Price("0.94"), Wait(5.0, "end")),
    must_hold=(
        checks.state_throughout(RiskState.LOCKED, "started"),
        checks.no_permit("killed", grace_seconds=5),
        checks.no_acts("killed"),
        checks.untouched,
    ),
    harms_daemon=True,
    is_kill=False,
)

DISK_FULL = Drill(
    "disk-full",
    "no write of the daemon succeeds: it acts all the same, and remembers later",
    steps=(
        FillDisk(),
        Wait(1.0),
        *_CRASH,
        FreeDisk(),
        Wait(3.0),
        Kill(),
        Start(),
        Wait(2.0),
    ),
    must_hold=(
        *_FAST,
        checks.no_permit("crash", grace_seconds=3),
        checks.state_throughout(RiskState.HALTED, "started"),
    ),
    harms_daemon=True,
)

CLOCK_STEP = Drill(
    "clock-step",
    "venues' clocks run 20 s ahead, the daemon's own steps back an hour: no halt by it",
    steps=(
        Kill(),
        Start(step=0),
        Until(RiskState.ARMED, 10),
        Wait(2.0),
        Fault(
            "clock-skew", label="ahead", more={"milliseconds": 20_000, "seconds": 60}
        ),
        Wait(5.0),
        StepClock(-3_600, "back"),
        Wait(5.0),
        UntilPermit(20, "after"),
        *_CRASH,
        EndFaults(),
    ),
    must_hold=(
        *_FAST,
        checks.never_halted("ahead", "after"),
        checks.no_acts("ahead", "after"),
        checks.peak_unmoved("ahead", "after"),
        checks.permitted("after"),
    ),
    harms_daemon=True,
    needs_permit=True,
)

TELEGRAM_DOWN = Drill(
    "telegram-down",
    "the chat takes no message: flat as fast, and the alarm arrives later",
    steps=(
        SilenceTelegram(),
        *_CRASH,
        UntilDelivered("Halt", 60),
    ),
    must_hold=(
        *_FAST,
        checks.fact_at_most("delivered early", 0, "messages while the chat was down"),
    ),
    needs_telegram=True,
)

SECOND_EXECUTION = Drill(
    "second-execution",
    "a second holder asks for the permit: none until the first one's has run out",
    steps=(TwoHolders(),),
    must_hold=(
        checks.fact_at_most("both", 0, "permits held at once"),
        checks.fact_at_least("handover", 6.0, "seconds of handover"),
        checks.fact_at_most("handover", 10.0, "seconds of handover"),
    ),
    needs_permit=True,
    is_kill=False,
)

EVERY: Final = {
    drill.name: drill
    for drill in (
        FLASH_CRASH,
        SLOW_BLEED,
        ONE_VENUE_OUTAGE,
        ALL_VENUE_OUTAGE,
        LOST_ACK,
        BAND_REFUSAL,
        PARTIAL_FILLS,
        BAN_429,
        BAD_READING,
        DEPOSIT,
        WITHDRAWAL,
        TRANSFER_IN_TRANSIT,
        ADL_ONE_LEG,
        LATE_FILL,
        DAEMON_KILLED,
        EMPTY_VOLUME,
        DISK_FULL,
        CLOCK_STEP,
        TELEGRAM_DOWN,
        SECOND_EXECUTION,
    )
}
"""By name, in the order of ``cqx drill all``."""
