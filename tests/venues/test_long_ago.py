"""What happened long ago is found, as far as the venues let one look for it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, ManualClock
from cryptoquantix.core.errors import OrderNotFound
from cryptoquantix.core.instrument import (
    Instrument,
    InstrumentId,
    InstrumentKind,
    Venue,
)
from cryptoquantix.venues.bybit_account import BybitReader
from cryptoquantix.venues.ccxt_bybit import CcxtBybit
from cryptoquantix.venues.ccxt_deribit import CcxtDeribit
from cryptoquantix.venues.deribit_account import DeribitReader
from venues.stub_venue import StubVenue

NOW_MS = 1_760_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def perpetual(venue, symbol, coin):
    return Instrument(
        id=InstrumentId.of(venue, symbol, InstrumentKind.PERPETUAL),
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
        notional_min=Decimal(5),
        settlement=coin,
        base="BTC",
        quote=coin,
    )


@pytest.fixture
async def stub():
    stub = await StubVenue().start()
    yield stub
    await stub.stop()


async def connected(kind, reader, instrument, stub):
    port = kind(
        rest=stub.url, key="k", secret="s", clock=ManualClock(NOW_MS * NS_PER_MS)
    )
    port._connect()
    port._reader = reader({"BTCUSDT": instrument})
    port._instruments = {instrument.id: instrument}
    return port


def bybit_ledger(times_ms):
    """Answers as documented: a day from a lone start, a week at most, in pages."""

    async def answer(params):
        start = int(params["startTime"])
        end = int(params.get("endTime", start + DAY_MS))
        if end - start > 7 * DAY_MS:
            return {"retCode": 10001, "retMsg": "7 days at most", "time": NOW_MS}
        offset, count = int(params.get("cursor", 0)), int(params["limit"])
        found = sorted((t for t in times_ms if start <= t <= end), reverse=True)
        shown = found[offset : offset + count]
        rows = [
            {
                "id": f"f{time_ms}",
                "type": "SETTLEMENT",
                "symbol": "BTCUSDT",
                "change": "-1.5",
                "currency": "USDT",
                "transactionTime": str(time_ms),
            }
            for time_ms in shown
        ]
        after = offset + len(shown)
        cursor = str(after) if after < len(found) else ""
        result = {"list": rows, "nextPageCursor": cursor}
        return {"retCode": 0, "retMsg": "OK", "result": result, "time": NOW_MS}

    return answer


def deribit_ledger(times_ms):
    """Answers as documented: newest first, the rest by a continuation."""

    async def answer(params):
        start, end = int(params["start_timestamp"]), int(params["end_timestamp"])
        before = int(params.get("continuation", 10**18))
        found = sorted(t for t in times_ms if start <= t <= end and t < before)
        shown = found[::-1][: int(params["count"])]
        rows = [
            {
                "id": time_ms,
                "instrument_name": "BTCUSDT",
                "interest_pl": -1.5,
                "currency": "USDT",
                "timestamp": time_ms,
            }
            for time_ms in shown
        ]
        more = shown[-1] if len(shown) < len(found) else None
        return {"result": {"logs": rows, "continuation": more}}

    return answer


async def test_after_days_without_funding_at_bybit_the_next_is_found(stub):
    times_ms = [NOW_MS - 20 * DAY_MS, NOW_MS - 2 * HOUR_MS]
    time = {"retCode": 0, "result": {}, "time": NOW_MS}
    stub.answers["GET", "/v5/market/time"] = time
    stub.answers["GET", "/v5/account/transaction-log"] = bybit_ledger(times_ms)
    instrument = perpetual(Venue.BYBIT, "BTCUSDT", "USDT")
    port = await connected(CcxtBybit, BybitReader, instrument, stub)
    found = await port.funding([instrument.id], times_ms[0] * NS_PER_MS)
    await port.close()
    assert [flow.venue_time_ns // NS_PER_MS for flow in found] == times_ms


async def test_funding_of_many_months_at_bybit_is_found_once_and_in_order(stub):
    times_ms = [NOW_MS - number * 4 * HOUR_MS for number in range(900, 0, -1)]
    time = {"retCode": 0, "result": {}, "time": NOW_MS}
    stub.answers["GET", "/v5/market/time"] = time
    stub.answers["GET", "/v5/account/transaction-log"] = bybit_ledger(times_ms)
    instrument = perpetual(Venue.BYBIT, "BTCUSDT", "USDT")
    port = await connected(CcxtBybit, BybitReader, instrument, stub)
    found = await port.funding([instrument.id], 0)
    await port.close()
    assert [flow.venue_time_ns // NS_PER_MS for flow in found] == times_ms


async def test_more_funding_at_deribit_than_a_page_holds_is_found(stub):
    times_ms = [NOW_MS - number * 60_000 for number in range(600, 0, -1)]
    stub.answers["GET", "/api/v2/public/get_time"] = {"result": NOW_MS}
    path = "/api/v2/private/get_transaction_log"
    stub.answers["GET", path] = deribit_ledger(times_ms)
    instrument = perpetual(Venue.DERIBIT, "BTCUSDT", "USDT")
    port = await connected(CcxtDeribit, DeribitReader, instrument, stub)
    found = await port.funding([instrument.id], times_ms[0] * NS_PER_MS)
    await port.close()
    assert [flow.venue_time_ns // NS_PER_MS for flow in found] == times_ms
    assert found[0].cash == Decimal("-1.5")
    assert found[-1].venue_time_ns - found[0].venue_time_ns > 590 * 60 * NS_PER_SECOND


# -- orders that ended long ago ---------------------------------------------------


async def test_an_order_that_deribit_forgot_by_its_label_is_in_its_history(stub):
    stub.answers["GET", "/api/v2/public/get_time"] = {"result": NOW_MS}
    by_label = "/api/v2/private/get_order_state_by_label"
    history = "/api/v2/private/get_order_history_by_instrument"
    stub.answers["GET", by_label] = {"result": []}
    row = {
        "order_id": "BTC-1",
        "instrument_name": "BTCUSDT",
        "direction": "buy",
        "amount": 0.04,
        "filled_amount": 0.04,
        "order_state": "filled",
        "order_type": "market",
    }
    rows = [row | {"label": "cqx-2"}, row | {"order_id": "BTC-2"}, row | {"label": "x"}]
    stub.answers["GET", history] = {"result": rows}
    instrument = perpetual(Venue.DERIBIT, "BTCUSDT", "USDT")
    port = await connected(CcxtDeribit, DeribitReader, instrument, stub)
    try:
        found = await port.order_by_client_id(instrument.id, "cqx-2")
        assert (found.venue_order_id, found.filled_lots) == ("BTC-1", 40)
        with pytest.raises(OrderNotFound):
            await port.order_by_client_id(instrument.id, "cqx-3")
    finally:
        await port.close()
