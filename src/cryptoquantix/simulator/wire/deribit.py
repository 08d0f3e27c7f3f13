"""
Deribit's API, sans-I/O: a request's or a message's bytes in, an answer's bytes out.

One set of methods over three ways in: GET with a query, POST of a JSON-RPC message,
and JSON-RPC over a WebSocket. It checks login, rights, parameters and credits, then
hands the call to its method. It opens no socket and reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.refusals import CommandRefusedError
from cryptoquantix.simulator.wire import (
    deribit_account,
    deribit_connection,
    deribit_market,
    deribit_trading,
)
from cryptoquantix.simulator.wire.deribit_auth import Gate, Login
from cryptoquantix.simulator.wire.deribit_calls import Call, Method, VenueState
from cryptoquantix.simulator.wire.deribit_errors import (
    DeribitError,
    deribit_error,
    invalid_parameter,
    unauthorized,
)
from cryptoquantix.simulator.wire.deribit_limits import CreditLimits
from cryptoquantix.simulator.wire.deribit_requests import (
    Parameters,
    Rpc,
    answer,
    message_id,
    parse_query,
    parse_rpc,
)
from cryptoquantix.simulator.wire.deribit_session import POLICY_VIOLATION, Session
from cryptoquantix.simulator.wire.messages import Key, Request, Response

PREFIX = "/api/v2/"
TOO_MANY_REQUESTS = 10028
METHODS: dict[str, Method] = (
    deribit_market.METHODS
    | deribit_connection.METHODS
    | deribit_trading.METHODS
    | deribit_account.METHODS
)
_SUMMARY = {
    "instrument_name": "symbol",
    "type": "type",
    "amount": "quantity",
    "reduce_only": "reduceOnly",
    "label": "clientOrderId",
    "order_id": "orderId",
    "channels": "channels",
}


class DeribitWire:
    """
    The venue's front door.

    With ``is_lenient`` unknown parameters are noted in the response's ``notes``
    instead of refused.
    """

    def __init__(
        self,
        exchange: ConditionalExchange,
        keys: Iterable[Key],
        *,
        token_seed: str,
        is_lenient: bool = False,
        is_limited: bool = True,
    ) -> None:
        gate = Gate(keys, token_seed=token_seed, is_limited=is_limited)
        self.state = VenueState(exchange, gate)
        self.is_lenient = is_lenient
        self._limits = CreditLimits(is_enforced=is_limited)

    def respond(self, request: Request, time_ns: int) -> Response:
        """Carry out one HTTP request; never raises for bad input."""
        response = Response(200, b"")
        rpc = Rpc(request.path.removeprefix(PREFIX), {})
        session = Session()
        try:
            rpc = _http_call(request)
            session.login = self._http_login(request, time_ns)
            response.key_role = session.role
            result = self.carry_out(session, rpc, response, time_ns)
        except (DeribitError, CommandRefusedError) as refused:
            error = _error(refused)
            response.status, response.code = 400, error.code
            body: dict[str, Any] = {"error": error.json()}
        else:
            response.code = 200
            body = {"result": result}
        response.body = answer(rpc.id, body, time_ns, has_id=rpc.has_id)
        return response

    def receive(self, session: Session, text: str | bytes, time_ns: int) -> Response:
        """Carry out one WebSocket message, queue the answer, return it for the log."""
        response = Response(200, b"")
        session.hear()
        rpc = Rpc("", {})
        try:
            rpc = _message_call(text)
            result = self.carry_out(session, rpc, response, time_ns)
        except (DeribitError, CommandRefusedError) as refused:
            error = _error(refused)
            response.status, response.code = 400, error.code
            body: dict[str, Any] = {"error": error.json()}
            number = rpc.id if rpc.method else message_id(text)
            response.body = answer(number, body, time_ns, has_id=number is not None)
        else:
            response.code = 200
            response.body = answer(rpc.id, {"result": result}, time_ns)
        response.key_role = session.role
        response.summary["method"] = rpc.method[:100]
        if session.close_code is None:
            session.send(response.body)
        if response.code == TOO_MANY_REQUESTS:
            session.end(POLICY_VIOLATION)
        return response

    def carry_out(
        self, session: Session, rpc: Rpc, response: Response, time_ns: int
    ) -> object:
        """Check a call against its method and return the method's result."""
        response.summary, response.notes = summary_of(rpc), rpc.notes
        method = METHODS.get(rpc.method)
        if method is None:
            raise DeribitError(-32601, "Method not found", {"method": rpc.method[:100]})
        token = rpc.parameters.get("access_token")
        login = session.login
        if isinstance(token, str):
            login = self.state.gate.by_token(token, time_ns)
        account_id = login.key.account_id if login else 0
        self._limits.spend(account_id, time_ns, is_matching=method.is_matching)
        if method.is_socket_only and not session.is_socket:
            raise DeribitError(10030, "must_be_websocket_request")
        if method.right:
            if login is None:
                raise unauthorized(reason="not logged in")
            if not login.may(method.right):
                needed = {"reason": f"scope lacks {method.right}"}
                raise DeribitError(13021, "forbidden", needed)
        response.notes += self._check_known(method, rpc)
        caller = session
        if login is not session.login:
            caller = Session(0, login)
        call = Call(self.state, Parameters(rpc.parameters), caller, time_ns)
        return method.handler(call)

    def _http_login(self, request: Request, time_ns: int) -> Login | None:
        query = f"?{request.query}" if request.query else ""
        return self.state.gate.by_header(
            request.headers.get("authorization", ""),
            request.method,
            request.path + query,
            request.body,
            time_ns=time_ns,
        )

    def _check_known(self, method: Method, rpc: Rpc) -> tuple[str, ...]:
        """Refuse parameters the method does not have (-32602), or return them."""
        known = method.parameters | {"access_token"}
        unknown = tuple(name for name in rpc.parameters if name not in known)
        if not unknown:
            return ()
        if self.is_lenient:
            return tuple(f"unknown parameter {name[:60]!r}" for name in unknown)
        raise invalid_parameter(unknown[0][:60], "unknown parameter")


def _error(refused: DeribitError | CommandRefusedError) -> DeribitError:
    return refused if isinstance(refused, DeribitError) else deribit_error(refused)


def _http_call(request: Request) -> Rpc:
    """Return the call a GET or a POST makes."""
    if not f"{request.path}/".startswith(PREFIX):
        raise DeribitError(-32601, "Method not found", {"path": request.path[:100]})
    name = request.path.removeprefix(PREFIX.rstrip("/")).lstrip("/")
    if request.method == "GET":
        return Rpc(name, parse_query(request.query))
    if request.method != "POST":
        raise DeribitError(11050, "bad_request", {"reason": "GET or POST only"})
    rpc = parse_rpc(request.body)
    if name and name != rpc.method:
        raise DeribitError(11050, "bad_request", {"reason": "path is another method"})
    return rpc


def _message_call(text: str | bytes) -> Rpc:
    if isinstance(text, bytes):
        raise DeribitError(-32700, "Parse error", {"reason": "binary message"})
    return parse_rpc(text)


def summary_of(rpc: Rpc) -> dict[str, str]:
    """Return what the log keeps of a call's parameters: no secret, no token."""
    summary = {
        label: str(rpc.parameters[name])[:200]
        for name, label in _SUMMARY.items()
        if name in rpc.parameters
    }
    side = rpc.method.removeprefix("private/")
    return summary | ({"side": side} if side in {"buy", "sell"} else {})
