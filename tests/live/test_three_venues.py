"""One execution process at three venues: none waits for another, none is mistaken."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.journal.reader import JournalReader
from cryptoquantix.live.round_trips import fold
from cryptoquantix.venues.ccxt_wire import ANSWER_MS_MAX
from live.rig import STRATEGY
from live.rig3 import INSTRUMENTS, SYMBOLS, VENUES, three_venues
from processes import end, wait_for


def near(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= 0.02 * abs(wanted) + 100


@pytest.mark.slow
def test_targets_become_positions_of_the_same_worth_at_three_venues(tmp_path):
    with three_venues(tmp_path) as rig:
        process = rig.start()
        rig.wait_reconciled(process, times=3)
        rig.targets(dict.fromkeys(INSTRUMENTS.values(), 0.5))
        wait_for(
            lambda: all(near(rig.held_dollars(v), 50_000) for v in VENUES), 20, 0.2
        )
        rig.targets(dict.fromkeys(INSTRUMENTS.values(), -0.25))
        wait_for(
            lambda: all(near(rig.held_dollars(v), -25_000) for v in VENUES), 20, 0.2
        )
        rig.targets(dict.fromkeys(INSTRUMENTS.values(), 0.0))
        wait_for(lambda: all(rig.held(v) == 0 for v in VENUES), 20, 0.2)

        def all_booked() -> bool:
            lots: dict[str, list[int]] = {venue: [] for venue in VENUES}
            for f in rig.fills():
                sign = 1 if f["side"] == "buy" else -1
                lots[f["instrument"].partition(":")[0]].append(sign * f["size_lots"])
            # Bought, sold, bought back: each venue's own fills, not those of another.
            return all(len(each) >= 3 and sum(each) == 0 for each in lots.values())

        wait_for(all_booked, 20, 0.2)
        assert {f["fee_currency"] for f in rig.fills()} == {"USDT", "BTC"}
        assert all(f["client_order_id"] for f in rig.fills())
        kinds = {r["kind"] for r in rig.reports()}
        assert not kinds & {"position differs", "foreign fills", "foreign order"}
        assert process.poll() is None


@pytest.mark.slow
def test_a_dead_venue_delays_no_other_and_a_lost_answer_doubles_nothing(tmp_path):
    with three_venues(tmp_path) as rig:
        process = rig.start()
        rig.wait_reconciled(process, times=3)
        hang = {"venue": "bybit", "kind": "hang", "seconds": 600}
        rig.simulator.admin("/outage", hang)
        rig.simulator.admin(
            "/faults",
            {
                "kind": "lost-answer",
                "venue": "deribit",
                "match": "GET /api/v2/private/buy",
                "count": 1,
                "mode": "cut",
            },
        )
        rig.targets(dict.fromkeys(INSTRUMENTS.values(), 0.5))
        # The third hangs until both others are where they are to be.
        wait_for(lambda: near(rig.held_dollars("binance"), 50_000), 20, 0.1)
        wait_for(lambda: near(rig.held_dollars("deribit"), 50_000), 20, 0.1)
        assert rig.held("bybit") == 0
        assert rig.orders("bybit")
        (order,) = wait_for(
            lambda: [o for o in rig.orders("binance") if o["state"] == "filled"], 20
        )
        began_ns = min(o["created_ns"] for o in rig.journalled().values())
        waited_ms = (order["updated_ns"] - began_ns) / 1e6
        assert waited_ms < ANSWER_MS_MAX, "it waited for no answer of the third"
        rig.simulator.admin("/outage", hang | {"seconds": 0})
        rig.targets(dict.fromkeys(INSTRUMENTS.values(), 0.5))
        wait_for(lambda: near(rig.held_dollars("bybit"), 50_000), 60, 0.2)
        wait_for(
            lambda: all(o["state"] == "filled" for o in rig.orders("deribit")), 20, 0.2
        )
        (order,) = rig.orders("deribit")
        assert order["filled_lots"] == rig.held("deribit") / 10
        assert process.poll() is None


@pytest.mark.slow
def test_resting_orders_follow_the_price_and_end_at_their_deadline(tmp_path):
    extra = "[execution.working]\nseconds = 6\n"
    with three_venues(tmp_path, extra=extra, style="post_only") as rig:
        process = rig.start()
        rig.wait_reconciled(process, times=3)
        rig.targets(dict.fromkeys(INSTRUMENTS.values(), 0.5))
        wait_for(lambda: all(resting(rig, v) for v in VENUES), 20, 0.05)
        for venue in VENUES:
            price = {"venue": venue, "symbol": SYMBOLS[venue], "factor": "1.001"}
            rig.simulator.admin("/price", price)
        wait_for(
            lambda: all(near(rig.held_dollars(v), 50_000) for v in VENUES), 40, 0.2
        )
        asked = {(r["method"], r["path"]) for r in rig.simulator.log("request")}
        assert {("PUT", "/fapi/v1/order"), ("POST", "/v5/order/amend")} <= asked
        orders = rig.journalled().values()
        assert {o["time_in_force"] for o in orders} >= {"post_only"}
        assert all(o["style"] == "post_only" for o in orders)
        for venue in VENUES:
            assert len(rig.orders(venue)) <= 12
        rig.permit("reduce_only")
        assert process.poll() is None


@pytest.mark.slow
def test_three_slow_venues_take_no_longer_than_the_slowest_alone(tmp_path):
    """The benchmark holds 1.3; here, beside other tests, twice is already a queue."""
    with three_venues(tmp_path) as rig:
        process = rig.start()
        rig.wait_reconciled(process, times=3)
        latency = {"kind": "latency", "milliseconds": 300, "jitter": 0, "seconds": 600}
        for venue in VENUES:
            rig.simulator.admin("/faults", latency | {"venue": venue})
        # Each in its turn, and then all at once; the position only ever grows. What
        # else the machine does adds to a time, and takes nothing from it: the shortest
        # of three is ours.
        alone = [
            min(rig.answered_ms((v,), target) for target in (0.1, 0.15, 0.2))
            for v in VENUES
        ]
        together = min(rig.answered_ms(VENUES, target) for target in (0.3, 0.4, 0.5))
        assert together <= 2 * max(alone), (together, alone)
        assert together < sum(alone)


def resting(rig, venue: str) -> list[dict]:
    found = rig.simulator.admin(f"/account?venue={venue}")["open_orders"]
    return [o for o in found if o["symbol"] == SYMBOLS[venue]]


@pytest.mark.slow
def test_a_stop_cancels_or_leaves_what_rests_as_the_setting_says(tmp_path):
    extra = "[execution.working]\nseconds = 600\nrequotes_max = 40\n"
    with three_venues(tmp_path, extra=extra, style="post_only") as rig:
        settings = rig.config.read_text()
        rig.simulator.admin("/tape", {"paused": True})
        for on_stop, is_left in (("leave", True), ("cancel_increases", False)):
            line = f'[execution]\non_stop = "{on_stop}"\n'
            rig.config.write_text(settings.replace("[execution]\n", line))
            process = rig.start()
            rig.wait_reconciled(process, times=3 if on_stop == "leave" else 6)
            rig.targets(dict.fromkeys(INSTRUMENTS.values(), 0.5))
            wait_for(lambda: all(resting(rig, v) for v in VENUES), 20, 0.2)
            assert end(process) == 0
            assert all(bool(resting(rig, v)) is is_left for v in VENUES), rig.log()
        assert all(rig.held(venue) == 0 for venue in VENUES)


def wallets(rig) -> dict[str, Decimal]:
    """What each venue holds for us in the coin that is traded with."""
    found = {}
    for venue in VENUES:
        account = rig.simulator.admin(f"/account?venue={venue}")
        found[venue] = Decimal(account["wallet"])
    return found


@pytest.mark.slow
def test_funding_is_booked_once_and_the_ledger_is_the_balance(tmp_path):
    """Read at every start, beginning with the hour of funding; to the last digit."""
    tape = ("--start", "2026-11-20T15:59:30Z")
    with three_venues(tmp_path, simulate=tape) as rig:
        before = wallets(rig)
        process = rig.start()
        rig.wait_reconciled(process, times=3)
        rig.targets(dict.fromkeys(INSTRUMENTS.values(), 0.5))
        wait_for(
            lambda: all(near(rig.held_dollars(v), 50_000) for v in VENUES), 20, 0.2
        )
        rig.simulator.admin("/tape", {"speed": 20})
        wait_for(lambda: len(rig.simulator.log("funds")) >= 2, 60, 0.2)
        rig.simulator.admin("/tape", {"speed": 1})
        assert rig._rows("flows") == []  # read at the start, then every ten minutes
        for times in (6, 9):
            assert end(process) == 0
            process = rig.start()
            rig.wait_reconciled(process, times=times)
            wait_for(lambda: len(rig._rows("flows")) >= 2, 20, 0.2)
        rig.targets(dict.fromkeys(INSTRUMENTS.values(), 0.0))
        wait_for(lambda: all(rig.held(venue) == 0 for venue in VENUES), 20, 0.2)
        fills = len(rig.simulator.log("fill"))
        wait_for(lambda: len(rig.fills()) == fills, 30, 0.2)
        assert end(process) == 0
        booked = {row["instrument"]: row["cash"] for row in rig._rows("flows")}
        paid = {f["venue"]: f["change"] for f in rig.simulator.log("funds")}
        assert len(rig._rows("flows")) == 2
        for venue in ("binance", "bybit"):
            assert Decimal(booked[INSTRUMENTS[venue]]) == Decimal(paid[venue])
        reader = JournalReader(tmp_path / "journal" / "journal.sqlite")
        books = fold(reader.records(), reader.fills(), reader.flows())
        earned = {one.venue: one.net for one in books.earned}
        after = wallets(rig)
        assert earned == {venue: after[venue] - before[venue] for venue in VENUES}
        funding = {t.instrument: t.funding for t in books.trades if t.funding}
        assert funding == {i: Decimal(cash) for i, cash in booked.items()}
        assert {t.strategy for t in books.trades} == {STRATEGY}
