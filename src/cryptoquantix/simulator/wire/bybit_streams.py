"""
Bybit's WebSocket protocol, sans-I/O: messages in, frames queued out.

``/v5/public/linear`` carries topics anyone may have, ``/v5/private`` those of the
account that authenticated. A message that is malformed gets an answer saying so.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from cryptoquantix.simulator.history import PrintedTrade
from cryptoquantix.simulator.orders import VenueEvent
from cryptoquantix.simulator.wire import bybit_dead_man
from cryptoquantix.simulator.wire.bybit_facts import BybitState, Charge
from cryptoquantix.simulator.wire.bybit_ids import ms
from cryptoquantix.simulator.wire.bybit_private import (
    DEAD_MAN_TOPIC,
    TOPICS,
    notices,
)
from cryptoquantix.simulator.wire.bybit_requests import Json
from cryptoquantix.simulator.wire.bybit_topics import Topic, TradeTopic, make_topic
from cryptoquantix.simulator.wire.frames import text_frame
from cryptoquantix.simulator.wire.messages import Key, Subscriber

PUBLIC_PATH = "/v5/public/linear"
PRIVATE_PATH = "/v5/private"
ARGS_CHARACTERS_MAX = 21_000
_MILLISECONDS = re.compile(r"[0-9]{1,15}\Z")


class BybitSubscriber(Subscriber):
    """One connection: what it wants, and who it is once it has said so."""

    __slots__ = ("account_id", "conn_id", "is_private", "key_role", "topics")

    def __init__(self, conn_id: str, *, is_private: bool) -> None:
        super().__init__()
        self.conn_id = conn_id
        self.is_private = is_private
        self.account_id = 0
        self.key_role = "none"
        self.topics: set[str] = set()

    def say(self, message: Mapping[str, Any]) -> None:
        """Queue one message."""
        self.frames.append(text_frame(msgspec.json.encode(message)))


class BybitStreams:
    """Who listens to what, and the messages for them."""

    def __init__(
        self, state: BybitState, keys: Mapping[str, Key], *, is_lenient: bool = False
    ) -> None:
        self._state = state
        self._keys = keys
        self._is_lenient = is_lenient
        self._topics: dict[str, Topic] = {}
        self._trades: dict[str, TradeTopic] = {}
        self._private: dict[int, set[BybitSubscriber]] = {}
        self._messages = 0

    # What clients ask for.

    def open(self, path: str) -> BybitSubscriber | None:
        """Return the subscriber of a new connection, None for an unknown path."""
        if path not in {PUBLIC_PATH, PRIVATE_PATH}:
            return None
        self._state.connections_made += 1
        seed = f"{self._state.seed}{self._state.connections_made}".encode()
        name = hashlib.sha256(seed).hexdigest()[:20]
        return BybitSubscriber(f"{name}-1", is_private=path == PRIVATE_PATH)

    def receive(
        self, subscriber: BybitSubscriber, text: str | bytes, time_ns: int
    ) -> None:
        """Carry out one message and queue its answer; never raises for bad input."""
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            message = None
        if not isinstance(message, dict):
            _refuse(subscriber, "", {}, "Invalid JSON format")
            return
        op = str(message.get("op"))
        if op == "ping":
            _pong(subscriber, message, time_ns)
        elif op == "auth" and subscriber.is_private:
            self._authenticate(subscriber, message, time_ns)
        elif op in {"subscribe", "unsubscribe"}:
            self._carry_out(subscriber, message, op, time_ns)
        else:
            shown = op[:40]
            _refuse(subscriber, shown, message, f"error:request not found,op:{shown}")

    def _carry_out(
        self, subscriber: BybitSubscriber, message: Json, op: str, time_ns: int
    ) -> None:
        args = message.get("args")
        if not isinstance(args, list) or not all(isinstance(a, str) for a in args):
            _refuse(subscriber, op, message, "error:args must be a list of topics")
            return
        if sum(map(len, args)) > ARGS_CHARACTERS_MAX:
            _refuse(subscriber, op, message, "error:args are too long")
            return
        if op == "unsubscribe":
            for name in args:
                self._unsubscribe(subscriber, name, time_ns)
            _acknowledge(subscriber, op, message)
            return
        refused = self._check(subscriber, args)
        if refused:
            _refuse(subscriber, op, message, refused)
            return
        _acknowledge(subscriber, op, message)
        for name in dict.fromkeys(args):
            self._subscribe(subscriber, name, time_ns)

    def _check(self, subscriber: BybitSubscriber, args: Sequence[str]) -> str:
        """Return why a subscription is refused, empty if it is not."""
        if not args:
            return "error:args is empty"
        if subscriber.is_private and not subscriber.account_id:
            return "Request not authorized"
        for name in args:
            if name in subscriber.topics:
                return f"error:already subscribed,topic:{name[:60]}"
            known = (
                name in TOPICS
                if subscriber.is_private
                else name in self._topics or make_topic(name, self._state) is not None
            )
            if not known and not self._is_lenient:
                return f"error:handler not found,topic:{name[:60]}"
        return ""

    def _subscribe(self, subscriber: BybitSubscriber, name: str, time_ns: int) -> None:
        subscriber.topics.add(name)
        if subscriber.is_private:
            if name == DEAD_MAN_TOPIC:
                bybit_dead_man.joined(self._state, subscriber.account_id)
            return
        topic = self._topics.get(name) or make_topic(name, self._state)
        if topic is None:
            return
        self._topics[name] = topic
        if isinstance(topic, TradeTopic):
            self._trades[topic.market.listing.symbol] = topic
        topic.subscribers.add(subscriber)
        topic.greet(subscriber, time_ns)

    def _unsubscribe(
        self, subscriber: BybitSubscriber, name: str, time_ns: int
    ) -> None:
        if name not in subscriber.topics:
            return
        subscriber.topics.discard(name)
        if subscriber.is_private:
            if name == DEAD_MAN_TOPIC:
                self._leave_dead_man(subscriber, time_ns)
            return
        topic = self._topics.get(name)
        if topic is None:
            return
        topic.subscribers.discard(subscriber)
        if not topic.subscribers:
            del self._topics[name]
            if isinstance(topic, TradeTopic):
                del self._trades[topic.market.listing.symbol]

    def leave(self, subscriber: BybitSubscriber, time_ns: int) -> None:
        """Forget a subscriber whose connection is gone."""
        self._private.get(subscriber.account_id, set()).discard(subscriber)
        for name in list(subscriber.topics):
            self._unsubscribe(subscriber, name, time_ns)

    def expire(self) -> int:
        """Close every authenticated connection; return how many there were."""
        ended = [s for subscribers in self._private.values() for s in subscribers]
        for subscriber in ended:
            subscriber.close_code = 1000
        return len(ended)

    def _leave_dead_man(self, subscriber: BybitSubscriber, time_ns: int) -> None:
        others = self._private.get(subscriber.account_id, set())
        if not any(DEAD_MAN_TOPIC in o.topics for o in others if o is not subscriber):
            bybit_dead_man.left(self._state, subscriber.account_id, time_ns)

    def _authenticate(
        self, subscriber: BybitSubscriber, message: Json, time_ns: int
    ) -> None:
        key, refused = self._check_auth(message.get("args"), ms(time_ns))
        if key is None:
            # The venue says it in `ret_msg`; `retCode` lets clients tell why.
            subscriber.say(
                {
                    "success": False,
                    "ret_msg": refused,
                    "retCode": 10004 if "sign" in refused else 10003,
                    "op": "auth",
                    "conn_id": subscriber.conn_id,
                }
            )
            return
        subscriber.account_id, subscriber.key_role = key.account_id, key.role
        self._private.setdefault(key.account_id, set()).add(subscriber)
        answer = {"success": True, "ret_msg": "", "op": "auth"}
        if isinstance(message.get("req_id"), str):
            answer["req_id"] = message["req_id"]
        subscriber.say(answer | {"conn_id": subscriber.conn_id})

    def _check_auth(self, args: object, now_ms: int) -> tuple[Key | None, str]:
        """Return whose key it is, or None and why not."""
        if not isinstance(args, list) or len(args) != 3:
            return None, "Params Error"
        name, expires, signature = (str(a) for a in args)
        key = self._keys.get(name)
        if key is None:
            return None, "Invalid apikey"
        if not _MILLISECONDS.match(expires) or int(expires) <= now_ms:
            return None, "Params Error: expires is not in the future"
        text = f"GET/realtime{expires}".encode()
        wanted = hmac.new(key.secret.encode(), text, hashlib.sha256).hexdigest()
        given = signature.lower().encode("utf-8", "replace")
        if not hmac.compare_digest(wanted.encode(), given):
            return None, "error sign"
        return key, ""

    # What happens.

    def on_trade(self, symbol: str, trade: PrintedTrade, time_ns: int) -> None:
        """Take a trade for those who listen; called for every trade of the tape."""
        topic = self._trades.get(symbol)
        if topic is not None:
            topic.add(trade, time_ns)

    def on_events(
        self, events: Sequence[VenueEvent], charges: Iterable[Charge], time_ns: int
    ) -> None:
        """Queue what private topics say of ``events``."""
        if not any(self._private.values()):
            return
        for notice in notices(self._state, events, charges):
            for subscriber in self._private.get(notice.account_id, ()):
                for name in subscriber.topics:
                    if TOPICS.get(name) == notice.topic:
                        self._messages += 1
                        subscriber.say(
                            {
                                "id": f"{subscriber.conn_id}-{self._messages}",
                                "topic": name,
                                "creationTime": ms(time_ns),
                                "data": [notice.row],
                            }
                        )

    def on_turn(self, time_ns: int) -> None:
        """Queue what follows a burst of trades: all topics that are due."""
        for topic in self._topics.values():
            topic.update(time_ns)

    def on_timer(self, time_ns: int) -> None:
        """Queue what is due, and let dead-man's switches fire."""
        self.on_turn(time_ns)
        bybit_dead_man.fire(self._state, time_ns)


def _req_id(message: Json) -> str:
    value = message.get("req_id", "")
    return str(value)[:64] if isinstance(value, str | int) else ""


def _acknowledge(subscriber: BybitSubscriber, op: str, message: Json) -> None:
    subscriber.say(
        {
            "success": True,
            "ret_msg": "" if subscriber.is_private else op,
            "conn_id": subscriber.conn_id,
            "req_id": _req_id(message),
            "op": op,
        }
    )


def _refuse(subscriber: BybitSubscriber, op: str, message: Json, why: str) -> None:
    subscriber.say(
        {
            "success": False,
            "ret_msg": why,
            "conn_id": subscriber.conn_id,
            "req_id": _req_id(message),
            "op": op,
        }
    )


def _pong(subscriber: BybitSubscriber, message: Json, time_ns: int) -> None:
    if subscriber.is_private:
        subscriber.say(
            {
                "req_id": _req_id(message),
                "op": "pong",
                "args": [str(ms(time_ns))],
                "conn_id": subscriber.conn_id,
            }
        )
        return
    subscriber.say(
        {
            "success": True,
            "ret_msg": "pong",
            "conn_id": subscriber.conn_id,
            "req_id": _req_id(message),
            "op": "ping",
        }
    )
