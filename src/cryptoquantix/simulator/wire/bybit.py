"""
Bybit v5 REST, sans-I/O: a request's bytes in, a response's bytes out.

It checks key, signature, time, parameters and rate limits as the venue documents
them, then hands the call to an endpoint. It opens no socket and reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from cryptoquantix.simulator.refusals import CommandRefusedError
from cryptoquantix.simulator.wire import (
    bybit_account,
    bybit_conditional,
    bybit_ledger,
    bybit_market,
    bybit_queries,
    bybit_trading,
)
from cryptoquantix.simulator.wire.bybit_errors import (
    BybitError,
    bad_parameter,
    bybit_error,
)
from cryptoquantix.simulator.wire.bybit_facts import BybitState
from cryptoquantix.simulator.wire.bybit_limits import LimitReachedError, RateLimits
from cryptoquantix.simulator.wire.bybit_requests import (
    Call,
    Credentials,
    Json,
    Parameters,
    Result,
    Route,
    check_signature,
    check_time,
    parse_body,
    parse_query,
)
from cryptoquantix.simulator.wire.messages import Key, Request, Response

ROUTES: dict[tuple[str, str], Route] = (
    bybit_market.ROUTES
    | bybit_trading.ROUTES
    | bybit_queries.ROUTES
    | bybit_conditional.ROUTES
    | bybit_account.ROUTES
    | bybit_ledger.ROUTES
)
_SUMMARY = {
    "symbol": "symbol",
    "side": "side",
    "orderType": "type",
    "qty": "quantity",
    "reduceOnly": "reduceOnly",
    "orderLinkId": "clientOrderId",
    "orderId": "orderId",
    "orderFilter": "orderFilter",
}


class BybitWire:
    """
    The venue's REST front door.

    With ``is_lenient`` unknown parameters are noted in the response's ``notes``
    instead of refused.
    """

    def __init__(
        self,
        state: BybitState,
        keys: Iterable[Key],
        *,
        is_lenient: bool = False,
        is_limited: bool = True,
    ) -> None:
        self.state = state
        self.keys = {key.key: key for key in keys}
        self._is_lenient = is_lenient
        self.limits = RateLimits(is_enforced=is_limited)

    def respond(self, request: Request, time_ns: int) -> Response:
        """Carry out one request and return the answer; never raises for bad input."""
        response = Response(200, b"")
        result: Json = {}
        ext_info: Json = {}
        code, text = 0, "OK"
        try:
            answer = self._answer(request, response, time_ns)
            if isinstance(answer, Result):
                result, ext_info = answer
            else:
                result = answer
        except CommandRefusedError as refused:
            error = bybit_error(refused)
            code, text = error.code, error.text
        except BybitError as error:
            code, text, response.status = error.code, error.text, error.status
            if isinstance(error, LimitReachedError):
                response.headers |= error.headers
        response.code = code
        response.body = envelope(code, text, result, ext_info, time_ns=time_ns)
        return response

    def _answer(
        self, request: Request, response: Response, time_ns: int
    ) -> Json | Result:
        self.limits.spend_address(request.address, time_ns)
        found = ROUTES.get((request.method, request.path))
        if found is None:
            shown = _printable(f"{request.method[:10]} {request.path[:100]}")
            raise BybitError(10404, f"path not found: {shown}", status=404)
        account_id, key = 0, ""
        if found.is_private:
            known = self._authorize(request, time_ns)
            account_id, response.key_role, key = known.account_id, known.role, known.key
        is_get = request.method == "GET"
        values = (
            parse_query(_printable(request.query))
            if is_get
            else parse_body(request.body)
        )
        response.summary = summary_of(values)
        parameters = Parameters(values)
        if found.is_private:
            response.headers |= self.limits.spend(
                account_id,
                request.path,
                found.limit,
                count=_count(values),
                time_ns=time_ns,
            )
        response.notes = self._check_known(found, values)
        call = Call(self.state, parameters, time_ns, account_id, response.key_role, key)
        answer: Json | Result = found.handler(call)
        return answer

    def _authorize(self, request: Request, time_ns: int) -> Key:
        """Return whose request it is, or refuse it."""
        sent = Credentials.of(request.headers)
        if not sent.key:
            raise BybitError(
                10001, "empty value: apiTimestamp[] apiKey[] apiSignature[]"
            )
        key = self.keys.get(sent.key)
        if key is None:
            raise BybitError(10003, "API key is invalid.")
        check_time(sent, time_ns // 1_000_000)
        is_get = request.method == "GET"
        # A server hands on bytes that are no UTF-8 as lone surrogates.
        query = request.query.encode("utf-8", "surrogatepass")
        check_signature(key, sent, query if is_get else request.body)
        return key

    def _check_known(self, found: Route, values: Json) -> tuple[str, ...]:
        """Refuse parameters the path does not have (10001), or return them."""
        unknown = tuple(str(n)[:60] for n in values if n not in found.parameters)
        if not unknown:
            return ()
        if self._is_lenient:
            return tuple(f"unknown parameter {name!r}" for name in unknown)
        raise bad_parameter(text=f"unknown parameter {', '.join(unknown)[:200]}")


def envelope(
    code: int,
    text: str,
    result: Json | None = None,
    ext_info: Json | None = None,
    *,
    time_ns: int,
) -> bytes:
    """Return the bytes of an answer."""
    return msgspec.json.encode(
        {
            "retCode": code,
            "retMsg": text,
            "result": result or {},
            "retExtInfo": ext_info or {},
            "time": time_ns // 1_000_000,
        }
    )


def _printable(text: str) -> str:
    """Return text that can be written as JSON, whatever bytes it came from."""
    return text.encode("utf-8", "replace").decode()


def _count(values: Mapping[str, object]) -> int:
    """Return how many calls a request counts as: each order of a batch is one."""
    batch = values.get("request")
    return max(1, len(batch)) if isinstance(batch, list) else 1


def summary_of(values: Mapping[str, object]) -> dict[str, str]:
    """Return what the log keeps of a request's parameters: no secret, no signature."""
    return {
        label: _shown(values[name])
        for name, label in _SUMMARY.items()
        if name in values
    }


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)[:100]
