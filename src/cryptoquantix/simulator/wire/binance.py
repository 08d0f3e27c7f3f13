"""
Binance USD-M REST, sans-I/O: a request's bytes in, a response's bytes out.

It checks key, signature, time, parameters and rate limits as the venue documents
them, then hands the call to an endpoint. It opens no socket and reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.refusals import CommandRefusedError
from cryptoquantix.simulator.wire import (
    binance_account,
    binance_algo,
    binance_market,
    binance_trading,
    binance_wallet,
)
from cryptoquantix.simulator.wire.binance_errors import BinanceError, binance_error
from cryptoquantix.simulator.wire.binance_limits import RateLimits
from cryptoquantix.simulator.wire.binance_requests import (
    Call,
    Parameters,
    Route,
    Security,
    VenueState,
    check_signature,
    check_time,
    missing,
    parse_parameters,
)
from cryptoquantix.simulator.wire.messages import Key, Request, Response

ROUTES: dict[tuple[str, str], Route] = (
    binance_market.ROUTES
    | binance_trading.ROUTES
    | binance_algo.ROUTES
    | binance_account.ROUTES
    | binance_wallet.ROUTES
)
WALLET_PREFIX = "/sapi/"
_PATHS = {path for _, path in ROUTES}
_ENVELOPE = frozenset({"timestamp", "recvWindow", "signature"})
_SUMMARY = {
    "symbol": "symbol",
    "side": "side",
    "type": "type",
    "quantity": "quantity",
    "reduceOnly": "reduceOnly",
    "newClientOrderId": "clientOrderId",
    "origClientOrderId": "clientOrderId",
    "clientAlgoId": "clientOrderId",
    "orderId": "orderId",
    "algoId": "algoId",
}


class BinanceWire:
    """
    The venue's REST front door.

    With ``is_lenient`` unknown parameters are noted in the response's ``notes``
    instead of refused.
    """

    def __init__(
        self,
        exchange: ConditionalExchange,
        keys: Iterable[Key],
        *,
        listen_key_seed: str,
        is_lenient: bool = False,
        is_limited: bool = True,
    ) -> None:
        self.state = VenueState(exchange, listen_key_seed=listen_key_seed)
        self._keys = {key.key: key for key in keys}
        self._is_lenient = is_lenient
        self.limits = RateLimits(is_enforced=is_limited)

    def respond(self, request: Request, time_ns: int) -> Response:
        """Carry out one request and return the answer; never raises for bad input."""
        response = Response(200, b"")
        try:
            answer = self._answer(request, response, time_ns)
        except CommandRefusedError as refused:
            _refuse(response, binance_error(refused))
        except BinanceError as error:
            _refuse(response, error)
        else:
            response.body = msgspec.json.encode(answer)
            response.code = 200
        return response

    def _answer(self, request: Request, response: Response, time_ns: int) -> object:
        found = ROUTES.get((request.method, request.path))
        if found is None:
            text = f"Path {request.path}, Method {request.method} is invalid"
            raise BinanceError(-5000, text, status=404)
        try:
            body = request.body.decode()
        except UnicodeDecodeError:
            raise BinanceError(-1100, "Illegal characters found in body.") from None
        parameters = Parameters(parse_parameters(request.query, body))
        response.summary = summary_of(parameters.values)
        weight = found.weight_of(parameters.values)
        account_id = 0
        is_wallet = request.path.startswith(WALLET_PREFIX)
        try:
            if not is_wallet:
                self.limits.spend_weight(request.address, weight, time_ns)
            key = self._authorize(found, request, body, parameters, time_ns=time_ns)
            if key is not None:
                account_id, response.key_role = key.account_id, key.role
            if is_wallet:
                response.headers = self.limits.spend_wallet(
                    request.address, account_id, request.path, weight, time_ns=time_ns
                )
            response.notes = self._check_known(found, parameters)
            count = _order_count(found, request, parameters)
            if count:
                self.limits.spend_orders(account_id, count, time_ns)
        finally:
            if not is_wallet:
                response.headers = self.limits.headers(
                    request.address, account_id, with_orders=bool(found.orders)
                )
        call = Call(self.state, parameters, time_ns, account_id, response.key_role)
        return found.handler(call)

    def _authorize(
        self,
        found: Route,
        request: Request,
        body: str,
        parameters: Parameters,
        *,
        time_ns: int,
    ) -> Key | None:
        """Return whose request it is, None where the path asks for nobody."""
        if found.security is Security.NONE:
            return None
        name = request.api_key or request.headers.get("x-mbx-apikey", "")
        if not name:
            raise BinanceError(-2014, "API-key format invalid.", status=401)
        key = self._keys.get(name)
        if key is None:
            text = "Invalid API-key, IP, or permissions for action."
            raise BinanceError(-2015, text, status=401)
        if found.security is Security.SIGNED:
            if not parameters.values.get("timestamp"):
                raise missing(name="timestamp")
            check_time(parameters, time_ns // 1_000_000)
            check_signature(key, request.query, body)
        return key

    def _check_known(self, found: Route, parameters: Parameters) -> tuple[str, ...]:
        """Refuse parameters the path does not have (-1104), or return them."""
        envelope = _ENVELOPE if found.security is not Security.NONE else frozenset()
        sent = parameters.values.keys()
        unknown = tuple(n for n in sent if n not in found.parameters | envelope)
        if not unknown:
            return ()
        if self._is_lenient:
            return tuple(f"unknown parameter {name!r}" for name in unknown)
        raise BinanceError(
            -1104,
            "Not all sent parameters were read; "
            f"read '{len(sent) - len(unknown)}' parameter(s) but was sent "
            f"'{len(sent)}'. Unknown: {', '.join(unknown)}",
        )


def _refuse(response: Response, error: BinanceError) -> None:
    response.status = error.status
    response.code = error.code
    response.body = msgspec.json.encode({"code": error.code, "msg": error.text})
    if error.retry_after_seconds:
        response.headers["Retry-After"] = str(error.retry_after_seconds)


def _order_count(found: Route, request: Request, parameters: Parameters) -> int:
    if request.path == "/fapi/v1/batchOrders" and request.method == "POST":
        return parameters.values.get("batchOrders", "").count("{")
    return found.orders


def summary_of(values: dict[str, str]) -> dict[str, str]:
    """Return what the log keeps of a request's parameters: no secret, no signature."""
    return {
        label: values[name][:100] for name, label in _SUMMARY.items() if name in values
    }
