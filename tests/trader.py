"""The account's owner at the simulator: a signed REST client without our adapters."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.parse
import urllib.request


class Trader:
    """Signs as documented; ``call`` raises ``AssertionError`` on a refusal."""

    def __init__(self, rest, key, secret):
        self.rest, self.key, self.secret = rest, key, secret

    def call(self, method, path, **params):
        params = {k: str(v) for k, v in params.items()}
        params |= {"recvWindow": "2000", "timestamp": str(int(time.time() * 1000))}
        query = urllib.parse.urlencode(params)
        sign = hmac.new(self.secret.encode(), query.encode(), hashlib.sha256)
        url = f"{self.rest}{path}?{query}&signature={sign.hexdigest()}"
        request = urllib.request.Request(
            url, method=method, headers={"X-MBX-APIKEY": self.key}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            msg = f"{method} {path}: {error.code} {error.read().decode()}"
            raise AssertionError(msg) from None

    def marks(self):
        url = f"{self.rest}/fapi/v1/premiumIndex"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return {row["symbol"]: float(row["markPrice"]) for row in json.load(answer)}

    def steps(self):
        url = f"{self.rest}/fapi/v1/exchangeInfo"
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = {}
            for row in json.load(answer)["symbols"]:
                filters = {f["filterType"]: f for f in row["filters"]}
                found[row["symbol"]] = (
                    float(filters["PRICE_FILTER"]["tickSize"]),
                    float(filters["LOT_SIZE"]["stepSize"]),
                )
            return found

    def market(self, symbol, side, size):
        return self.call(
            "POST",
            "/fapi/v1/order",
            symbol=symbol,
            side=side,
            type="MARKET",
            quantity=size,
        )

    def build(self, notional=40_000):
        """A long position in every symbol; 3 resting orders and an algo each."""
        marks, steps = self.marks(), self.steps()
        for symbol, (tick, lot) in steps.items():
            size = _down(notional / marks[symbol], lot)
            small = _down(notional / 20 / marks[symbol], lot)
            self.market(symbol, "BUY", size)
            for fraction in (0.6, 0.55):
                self.limit(symbol, "BUY", small, _down(marks[symbol] * fraction, tick))
            self.limit(
                symbol, "SELL", small, _down(marks[symbol] * 1.04, tick), reduce=True
            )
            self.call(
                "POST",
                "/fapi/v1/algoOrder",
                algoType="CONDITIONAL",
                symbol=symbol,
                side="SELL",
                type="STOP_MARKET",
                quantity=small,
                triggerPrice=_down(marks[symbol] * 0.5, tick),
                reduceOnly="true",
            )

    def limit(self, symbol, side, size, price, *, reduce=False):
        extra = {"reduceOnly": "true"} if reduce else {}
        return self.call(
            "POST",
            "/fapi/v1/order",
            symbol=symbol,
            side=side,
            type="LIMIT",
            timeInForce="GTC",
            quantity=size,
            price=price,
            **extra,
        )


def _down(value, step):
    digits = max(0, len(f"{step:.10f}".rstrip("0").split(".")[1]))
    return f"{int(value / step + 1e-9) * step:.{digits}f}"
