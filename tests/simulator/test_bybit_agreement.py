"""Whatever is asked in whatever order: REST, private streams and the books agree."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptoquantix.simulator.listing import money_text
from simulator.bybit_bench import Bench

SCOPE = {"category": "linear", "settleCoin": "USDT"}
SYMBOLS = ("BTCUSDT", "ETHUSDT")
SIZES = {"BTCUSDT": "0.05", "ETHUSDT": "0.8"}

symbols = st.sampled_from(SYMBOLS)
sides = st.sampled_from(["Buy", "Sell"])
percents = st.integers(-8, 8)
COMMANDS = st.one_of(
    st.tuples(st.just("market"), symbols, sides, st.booleans()),
    st.tuples(
        st.just("limit"),
        symbols,
        sides,
        percents,
        st.sampled_from(["GTC", "IOC", "FOK", "PostOnly"]),
    ),
    st.tuples(st.just("stop"), symbols, sides, percents, st.booleans()),
    st.tuples(st.just("protect"), symbols, st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.just("amend"), st.integers(0, 40), percents),
    st.tuples(st.just("cancel"), st.integers(0, 40)),
    st.tuples(st.just("cancel-all"), st.sampled_from(["", "Order", "StopOrder"])),
    st.tuples(st.just("mode"), symbols, st.sampled_from([0, 3])),
    st.tuples(st.just("shock"), symbols, st.integers(94, 106)),
    st.tuples(st.just("transfer"), st.integers(-50, 50).filter(bool)),
    st.tuples(st.just("time")),
)


class Client:
    """Sends commands, whatever becomes of them, and keeps what it is told."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.listener = self.bench.listen("order", "execution", "position", "wallet")
        self.ids: list[str] = []
        self.orders: dict[str, dict] = {}
        self.fills: list[dict] = []
        self.positions: dict[tuple[str, int], dict] = {}
        self.wallet: dict | None = None

    def price(self, symbol: str, percent: int) -> str:
        market = self.bench.market(symbol)
        return market.listing.price_text(market.price_ticks * (100 + percent) // 100)

    def send(self, path: str, **parameters) -> dict:
        answer = self.bench.ask("POST", path, {"category": "linear"} | parameters)
        assert answer["retCode"] != 10004, answer
        if "orderId" in answer["result"]:
            self.ids.append(answer["result"]["orderId"])
        return answer

    def create(self, symbol: str, side: str, **more) -> None:
        base = {"symbol": symbol, "side": side, "qty": SIZES[symbol]}
        if self.bench.account.is_hedged(symbol):
            closes = more.get("reduceOnly", False)
            base["positionIdx"] = 1 if (side == "Buy") != closes else 2
        self.send("/v5/order/create", **base, **more)

    def do(self, command) -> None:
        getattr(self, command[0].replace("-", "_"))(*command[1:])
        self.hear()

    def market(self, symbol, side, reduces) -> None:
        self.create(symbol, side, orderType="Market", reduceOnly=reduces)

    def limit(self, symbol, side, percent, time_in_force) -> None:
        price = self.price(symbol, percent)
        more = {"orderType": "Limit", "price": price, "timeInForce": time_in_force}
        self.create(symbol, side, **more)

    def stop(self, symbol, side, percent, reduces) -> None:
        trigger = {
            "triggerPrice": self.price(symbol, percent),
            "triggerDirection": 1 if percent > 0 else 2,
        }
        more = {"orderType": "Market", "reduceOnly": reduces} | trigger
        self.create(symbol, side, **more)

    def protect(self, symbol, above, below) -> None:
        prices = self.price(symbol, above), self.price(symbol, -below)
        is_long = self.bench.account.size_lots(symbol) > 0
        take, stop = prices if is_long else prices[::-1]
        levels = {"takeProfit": take, "stopLoss": stop}
        self.send("/v5/position/trading-stop", symbol=symbol, **levels)

    def amend(self, number, percent) -> None:
        if self.ids:
            order = self.ids[number % len(self.ids)]
            symbol = self.orders[order]["symbol"]
            price = self.price(symbol, percent)
            waits = self.orders[order]["orderStatus"] == "Untriggered"
            change = {"triggerPrice" if waits else "price": price}
            self.send("/v5/order/amend", symbol=symbol, orderId=order, **change)

    def cancel(self, number) -> None:
        if self.ids:
            order = self.ids[number % len(self.ids)]
            symbol = self.orders[order]["symbol"]
            self.send("/v5/order/cancel", symbol=symbol, orderId=order)

    def cancel_all(self, order_filter) -> None:
        chosen = {"orderFilter": order_filter} if order_filter else {}
        self.send("/v5/order/cancel-all", settleCoin="USDT", **chosen)

    def mode(self, symbol, mode) -> None:
        self.send("/v5/position/switch-mode", symbol=symbol, mode=mode)

    def shock(self, symbol, percent) -> None:
        now_ns = self.bench.clock.time_ns()
        self.bench.venue.shock(symbol, Fraction(percent, 100), now_ns)

    def transfer(self, coins) -> None:
        self.bench.venue.transfer(1, coins * 10**8, self.bench.clock.time_ns())

    def time(self) -> None:
        self.bench.run(0.3)

    def hear(self) -> None:
        for message in self.bench.heard(self.listener):
            [row] = message["data"]
            if message["topic"] == "order":
                self.orders[row["orderId"]] = row
            elif message["topic"] == "execution":
                self.fills.append(row)
            elif message["topic"] == "position":
                self.positions[row["symbol"], row["positionIdx"]] = row
            elif message["topic"] == "wallet":
                self.wallet = row


def all_pages(bench, path, **parameters) -> list[dict]:
    rows, cursor = [], ""
    while True:
        page = bench.get(path, **parameters, limit=20, cursor=cursor)
        rows += page["list"]
        cursor = page["nextPageCursor"]
        if not cursor:
            return rows


def without_volatile(row) -> dict:
    return {k: v for k, v in row.items() if k not in {"category", "feeCurrency"}}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(commands=st.lists(COMMANDS, min_size=8, max_size=30))
def test_rest_streams_and_books_agree(commands):
    client = Client()
    bench = client.bench
    for command in commands:
        client.do(command)
    exchange, account = bench.venue.exchange, bench.account
    # Open orders: those of the books, and those whose last message says so.
    shown = all_pages(bench, "/v5/order/realtime", **SCOPE)
    plain = sum(len(m.open_orders) for m in exchange.markets.values())
    assert len(shown) == plain + len(exchange.open_algos(1))
    told = {
        o["orderId"]
        for o in client.orders.values()
        if o["orderStatus"] in {"New", "PartiallyFilled", "Untriggered", "Triggered"}
    }
    assert {o["orderId"] for o in shown} == told
    # Every order, open or not, is as its last message said.
    for order_id, last in client.orders.items():
        assert bench.shown(order_id) == without_volatile(last)
    # Finished ones are in the history, each once.
    closed = all_pages(bench, "/v5/order/history", **SCOPE)
    assert sorted(o["orderId"] for o in closed) == sorted(set(client.orders) - told)
    # Executions are the messages', and add up to the positions.
    fills = all_pages(bench, "/v5/execution/list", **SCOPE)
    assert {f["execId"] for f in fills} == {f["execId"] for f in client.fills}
    for symbol in SYMBOLS:
        lots = sum(
            Decimal(f["execQty"]) * (1 if f["side"] == "Buy" else -1)
            for f in fills
            if f["symbol"] == symbol and f["execType"] != "Funding"
        )
        held = bench.get("/v5/position/list", category="linear", symbol=symbol)["list"]
        sizes = {r["positionIdx"]: Decimal(r["size"]) for r in held}
        signed = sum(
            size if r["side"] == "Buy" else -size
            for r, size in zip(held, sizes.values(), strict=True)
        )
        assert signed == lots
        for row in held:
            last = client.positions.get((symbol, row["positionIdx"]))
            if last is not None:
                assert (last["size"], last["side"]) == (row["size"], row["side"])
    # The ledger adds up to the wallet, which is what the stream last said.
    ledger = all_pages(bench, "/v5/account/transaction-log")
    total = sum(Decimal(r["change"]) for r in ledger)
    assert total == Decimal(money_text(account.wallet_units))
    wallet = bench.get("/v5/account/wallet-balance", accountType="UNIFIED")["list"][0]
    assert Decimal(wallet["totalWalletBalance"]) == total
    if client.wallet is not None:
        said = client.wallet["totalWalletBalance"]
        assert said == wallet["totalWalletBalance"]
