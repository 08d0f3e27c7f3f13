"""
What each venue says when it fails: status, headers and body; it decides nothing.

Where a venue has no such answer of its own (an HTML page of the proxy before it),
all three say the same.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from cryptoquantix.simulator.fault_kinds import ANSWERS, Kind
from cryptoquantix.simulator.faults import Active

_JSON = "application/json"
_HTML = "text/html"


class Answer(NamedTuple):
    """An HTTP answer that no core has seen."""

    status: int
    body: bytes
    content_type: str = _JSON
    headers: dict[str, str] | None = None


def answer(venue: str, active: Active, now_ns: int, time_ns: int) -> Answer:
    """
    Return what ``venue`` says of a fault; ``time_ns`` is its wall time.

    A 429 that has been ignored ``ban_after`` times is a 418.
    """
    kind, fault = active.kind, active.fault
    if kind is Kind.TOO_MANY_REQUESTS and 0 < fault.ban_after < active.hits:
        kind = Kind.BANNED
    wait = active.retry_after(now_ns)
    if kind is Kind.FORBIDDEN:
        return _forbidden(venue, time_ns)
    if kind is Kind.BAD_GATEWAY:
        return Answer(502, _page("502 Bad Gateway"), _HTML)
    if venue == "bybit":
        return _bybit(kind, wait, time_ns)
    if venue == "deribit":
        return _deribit(kind, wait)
    return _binance(kind, wait, time_ns)


def with_wrong_numbers(body: bytes, active: Active) -> bytes:
    """Return a JSON body with each number of the fault's fields times its factor."""
    fault = active.fault
    factor = Decimal(fault.factor)
    pattern = rf'"(?:{fault.fields})":"?(?P<wrong_number>-?\d+(?:\.\d+)?)'

    def wrong(found: re.Match[str]) -> str:
        head = found.group()[: found.start("wrong_number") - found.start()]
        return f"{head}{Decimal(found['wrong_number']) * factor:f}"

    return re.sub(pattern, wrong, body.decode(errors="replace")).encode()


def handshake_answer(active: Active, now_ns: int) -> Answer:
    """Return the refusal of a WebSocket handshake."""
    wait = active.retry_after(now_ns)
    if active.kind is Kind.HANDSHAKE_REFUSED:
        return Answer(429, b"", "text/plain", {"Retry-After": str(wait)})
    return Answer(503, _page("503 Service Unavailable"), _HTML)


def error_frame(venue: str) -> str:
    """Return a message that tells of an error nobody asked about."""
    if venue == "bybit":
        return '{"success":false,"ret_msg":"internal error","conn_id":"","op":"error"}'
    if venue == "deribit":
        return (
            '{"jsonrpc":"2.0","error":{"code":10040,"message":"retry"},"testnet":false}'
        )
    return '{"error":{"code":0,"msg":"Unknown property","type":"Internal"}}'


def unknown_channel(venue: str) -> str:
    """Return a notification on a channel nobody has heard of."""
    if venue == "bybit":
        return '{"topic":"novelty.BTCUSDT","type":"snapshot","ts":1,"data":{}}'
    if venue == "deribit":
        return (
            '{"jsonrpc":"2.0","method":"subscription","params":'
            '{"channel":"novelty.BTC-PERPETUAL","data":{}}}'
        )
    return '{"e":"noveltyUpdate","E":1,"s":"BTCUSDT"}'


def message_kinds(venue: str) -> frozenset[Kind]:
    """Return which refusals concern a WebSocket message: all where calls come so."""
    return ANSWERS if venue == "deribit" else frozenset({Kind.AUTH_REFUSED})


def message_answer(
    venue: str,
    active: Active,
    request: Any,  # noqa: ANN401 - whatever a client sent
    now_ns: int,
) -> str:
    """Return the refusal of a WebSocket message, with the number it was asked by."""
    asked = request if isinstance(request, dict) else {}
    if venue == "deribit":
        said = _deribit(active.kind, active.retry_after(now_ns))
        refused = msgspec.json.decode(said.body)
        return msgspec.json.encode({"id": asked.get("id"), **refused}).decode()
    refused = {
        "success": False,
        "ret_msg": "Params Error",
        "op": "auth",
        "conn_id": "",
        "req_id": asked.get("req_id", ""),
    }
    return msgspec.json.encode(refused).decode()


def _forbidden(venue: str, time_ns: int) -> Answer:
    if venue == "bybit":
        value = {
            "retCode": 10018,
            "retMsg": "403, access too frequent",
            "result": {},
            "retExtInfo": {},
            "time": time_ns // 1_000_000,
        }
        return Answer(403, msgspec.json.encode(value), _JSON)
    return Answer(403, _page("403 Forbidden"), _HTML)


def _page(title: str) -> bytes:
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    ).encode()


def _binance(kind: Kind, wait: int, time_ns: int) -> Answer:
    retry = {"Retry-After": str(wait)}
    until_ms = time_ns // 1_000_000 + wait * 1_000
    status, code, text = {
        Kind.TOO_MANY_REQUESTS: (
            429,
            -1003,
            (
                "Too many requests; current limit of IP is 2400 requests per minute. "
                "Please use the websocket for live updates to avoid polling the API."
            ),
        ),
        Kind.BANNED: (
            418,
            -1003,
            (
                f"Way too many requests; IP banned until {until_ms}. Please use the "
                "websocket for live updates to avoid bans."
            ),
        ),
        Kind.KEEP_ALIVE_REFUSED: (400, -1125, "This listenKey does not exist."),
        Kind.AUTH_REFUSED: (
            401,
            -2015,
            "Invalid API-key, IP, or permissions for action.",
        ),
        Kind.MAINTENANCE: (503, -1001, "System is under maintenance."),
    }.get(
        kind,
        (
            503,
            -1008,
            (
                "Server is currently overloaded with other requests. Please try again "
                "in a few minutes."
            ),
        ),
    )
    headers = retry if status in {418, 429} else None
    body = msgspec.json.encode({"code": code, "msg": text})
    return Answer(status, body, _JSON, headers)


def _bybit(kind: Kind, wait: int, time_ns: int) -> Answer:
    if kind is Kind.BANNED:
        return _forbidden("bybit", time_ns)
    status, code, text = {
        Kind.TOO_MANY_REQUESTS: (200, 10006, "Too many visits!"),
        Kind.AUTH_REFUSED: (200, 10003, "API key is invalid."),
        Kind.KEEP_ALIVE_REFUSED: (200, 10003, "API key is invalid."),
        Kind.MAINTENANCE: (200, 10016, "System maintenance"),
    }.get(kind, (503, 10016, "Internal System Error."))
    now_ms = time_ns // 1_000_000
    headers = None
    if kind is Kind.TOO_MANY_REQUESTS:
        headers = {
            "X-Bapi-Limit-Status": "0",
            "X-Bapi-Limit-Reset-Timestamp": str(now_ms + wait * 1_000),
        }
    value = {
        "retCode": code,
        "retMsg": text,
        "result": {},
        "retExtInfo": {},
        "time": now_ms,
    }
    return Answer(status, msgspec.json.encode(value), _JSON, headers)


def _deribit(kind: Kind, wait: int) -> Answer:
    status, code, text = {
        Kind.TOO_MANY_REQUESTS: (429, 10028, "too_many_requests"),
        Kind.BANNED: (429, 10028, "too_many_requests"),
        Kind.AUTH_REFUSED: (400, 13004, "invalid_credentials"),
        Kind.KEEP_ALIVE_REFUSED: (400, 13009, "unauthorized"),
        Kind.MAINTENANCE: (503, 11051, "system_maintenance"),
    }.get(kind, (503, 10040, "retry"))
    headers = {"Retry-After": str(wait)} if code == 10028 else None
    value = {
        "jsonrpc": "2.0",
        "error": {"code": code, "message": text},
        "testnet": False,
    }
    return Answer(status, msgspec.json.encode(value), _JSON, headers)
