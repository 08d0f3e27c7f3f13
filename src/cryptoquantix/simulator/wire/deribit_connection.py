"""Methods about the connection itself: login, heartbeat, dead-man's switch."""

from __future__ import annotations

from cryptoquantix.simulator.wire.deribit_calls import Call, Method, private, public
from cryptoquantix.simulator.wire.deribit_errors import DeribitError, invalid_parameter
from cryptoquantix.simulator.wire.deribit_payloads import ms
from cryptoquantix.simulator.wire.deribit_requests import Json
from cryptoquantix.simulator.wire.deribit_session import (
    HEARTBEAT_SECONDS_MIN,
    NORMAL_CLOSURE,
)

VERSION = "1.2.26"
_AUTH = [
    "grant_type",
    "client_id",
    "client_secret",
    "timestamp",
    "signature",
    "nonce",
    "data",
    "scope",
    "state",
    "refresh_token",
]


def get_time(call: Call) -> int:
    """Return the venue's time in milliseconds."""
    return ms(call.time_ns)


def test(call: Call) -> Json:
    """Answer that the venue is there; also the answer to a ``test_request``."""
    if call.parameters.text("expected_result", "") == "exception":
        raise DeribitError(10001, "error")
    return {"version": VERSION}


def status(call: Call) -> Json:
    """Return that nothing is locked."""
    del call
    return {"locked": False, "locked_indices": []}


def hello(call: Call) -> Json:
    """Take note of a client's name and version."""
    call.parameters.text("client_name")
    call.parameters.text("client_version")
    return {"version": VERSION}


def auth(call: Call) -> Json:
    """Log the connection in; over HTTP the token is all that remains."""
    login, tokens = call.state.gate.login(call.parameters, call.time_ns)
    call.session.login = login
    if call.account_id in call.state.cancels_on_disconnect:
        call.session.cancels_on_disconnect = True
    if state := call.parameters.text("state", ""):
        tokens["state"] = state
    return tokens


def logout(call: Call) -> str:
    """Close the connection without an answer; its orders stay where they are."""
    call.session.cancels_on_disconnect = False
    call.session.login = None
    call.session.end(NORMAL_CLOSURE)
    return "ok"


def set_heartbeat(call: Call) -> str:
    """Ask for a heartbeat at an interval of at least ten seconds."""
    seconds = call.parameters.integer("interval")
    if not HEARTBEAT_SECONDS_MIN <= seconds <= 3_600:
        raise invalid_parameter(
            name="interval", reason="must be within 10..3600 seconds"
        )
    call.session.set_heartbeat(seconds, call.time_ns)
    return "ok"


def disable_heartbeat(call: Call) -> str:
    """Ask for no heartbeat."""
    call.session.set_heartbeat(0, call.time_ns)
    return "ok"


def _scope(call: Call) -> str:
    scope = call.parameters.choice("scope", {"connection", "account"}, "connection")
    if scope == "connection" and not call.session.is_socket:
        raise DeribitError(10030, "must_be_websocket_request")
    return scope


def enable_cancel_on_disconnect(call: Call) -> str:
    """
    Have a connection's orders canceled when it ends.

    Scope ``account`` makes that so for every connection of the account opened from
    then on, this one included.
    """
    if _scope(call) == "account":
        call.state.cancels_on_disconnect.add(call.account_id)
    call.session.cancels_on_disconnect = True
    return "ok"


def disable_cancel_on_disconnect(call: Call) -> str:
    """Leave orders where they are when a connection ends."""
    if _scope(call) == "account":
        call.state.cancels_on_disconnect.discard(call.account_id)
    call.session.cancels_on_disconnect = False
    return "ok"


def get_cancel_on_disconnect(call: Call) -> Json:
    """Return whether orders are canceled when the connection ends."""
    scope = _scope(call)
    is_enabled = call.session.cancels_on_disconnect
    if scope == "account":
        is_enabled = call.account_id in call.state.cancels_on_disconnect
    return {"scope": scope, "enabled": is_enabled}


def subscribe(call: Call) -> list[str]:
    """Add channels to this connection and return those it now has of them."""
    assert call.state.subscriptions is not None, "the venue has no streams"
    names = call.parameters.texts("channels")
    return call.state.subscriptions.subscribe(call.session, names)


def unsubscribe(call: Call) -> list[str]:
    """Take channels from this connection and return those it had of them."""
    assert call.state.subscriptions is not None, "the venue has no streams"
    names = call.parameters.texts("channels")
    return call.state.subscriptions.unsubscribe(call.session, names)


def unsubscribe_all(call: Call) -> str:
    """Take every channel from this connection."""
    assert call.state.subscriptions is not None, "the venue has no streams"
    names = sorted(call.session.channels)
    call.state.subscriptions.unsubscribe(call.session, names)
    return "ok"


_CHANNELS = ("channels", "label")
_LISTEN: dict[str, Method] = {
    f"{area}/{name}": (
        public(handler, *parameters)
        if area == "public"
        else private(handler, *parameters, right="account:read")
    )._replace(is_socket_only=True)
    for area in ("public", "private")
    for name, handler, parameters in (
        ("subscribe", subscribe, _CHANNELS),
        ("unsubscribe", unsubscribe, _CHANNELS),
        ("unsubscribe_all", unsubscribe_all, ()),
    )
}
METHODS: dict[str, Method] = _LISTEN | {
    "public/get_time": public(get_time),
    "public/test": public(test, "expected_result"),
    "public/status": public(status),
    "public/hello": public(hello, "client_name", "client_version"),
    "public/auth": public(auth, *_AUTH),
    "public/set_heartbeat": public(set_heartbeat, "interval")._replace(
        is_socket_only=True
    ),
    "public/disable_heartbeat": public(disable_heartbeat)._replace(is_socket_only=True),
    "private/logout": private(
        logout, "invalidate_token", right="account:read"
    )._replace(is_socket_only=True),
    "private/enable_cancel_on_disconnect": private(
        enable_cancel_on_disconnect, "scope", right="account:read"
    ),
    "private/disable_cancel_on_disconnect": private(
        disable_cancel_on_disconnect, "scope", right="account:read"
    ),
    "private/get_cancel_on_disconnect": private(
        get_cancel_on_disconnect, "scope", right="account:read"
    ),
}
