"""
What a message in the chat means, and who may say it; it carries nothing out.

From a chat risk can only be reduced. ``/halt`` and ``/flatten`` ask for a code, which
counts once, for a minute, for the person and the chat that asked. Whoever is not
allowed is ignored. What people wrote is kept nowhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptoquantix.alarms.telegram import Written
from cryptoquantix.alarms.texts import HELP, REARM
from cryptoquantix.core.clock import NS_PER_SECOND, Clock

AGE_SECONDS_MAX: Final = 60
CODE_SECONDS: Final = 60
_RATE_NS: Final = 60 * NS_PER_SECOND
_RATES: Final = {"asking": 20, "acting": 12}
_ACTING: Final = {"/halt", "/flatten", "/confirm"}
_WORD_MAX: Final = 64


class Act(StrEnum):
    """What is to be done about one message."""

    NOTHING = "nothing"
    REPLY = "reply"
    STRANGER = "stranger"
    STATUS = "status"
    ACKNOWLEDGE = "ack"
    HALT = "halt"
    FLATTEN = "flatten"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and what to answer."""

    act: Act
    text: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """
    Who may command: a user of ``users`` in a chat of ``chats``.

    Without users, only the person of a private chat, whose number is the chat's.
    """

    chats: frozenset[int]
    users: frozenset[int]

    def includes(self, chat_id: int, user_id: int) -> bool:
        """Return whether this person may command in this chat."""
        if chat_id not in self.chats or user_id == 0:
            return False
        return user_id in self.users if self.users else user_id == chat_id


@dataclass(frozen=True, slots=True)
class _Pending:
    act: Act
    code: str
    until_ns: int


_PLAIN: Final = {
    "/status": Decision(Act.STATUS),
    "/ack": Decision(Act.ACKNOWLEDGE),
    "/help": Decision(Act.REPLY, HELP),
    "/start": Decision(Act.REPLY, HELP),
    "/rearm": Decision(Act.REPLY, REARM),
    "/arm": Decision(Act.REPLY, REARM),
}
_CODED: Final = {"/halt": Act.HALT, "/flatten": Act.FLATTEN}


class Desk:
    """
    One bot's commands.

    Parameters
    ----------
    draw : callable
        Returns a code nobody can guess, four digits.
    """

    def __init__(self, allowed: Allowed, clock: Clock, draw: Callable[[], str]) -> None:
        self._allowed = allowed
        self._clock = clock
        self._draw = draw
        self._pending: dict[tuple[int, int], _Pending] = {}
        self._times: dict[tuple[int, int, str], deque[int]] = {}
        self.username = ""

    def decide(self, said: Written) -> Decision:
        """Return what ``said`` asks for, if its author may ask for it now."""
        word, _, rest = said.text.strip().partition(" ")
        command, _, addressee = word[:_WORD_MAX].partition("@")
        if not self._allowed.includes(said.chat_id, said.user_id):
            return self._stranger(said, is_command=command.startswith("/"))
        if not command.startswith("/") or self._is_for_another(addressee):
            return Decision(Act.NOTHING)
        age_seconds = (self._clock.time_ns() - said.time_ns) / NS_PER_SECOND
        if age_seconds > AGE_SECONDS_MAX:
            return Decision(
                Act.REPLY,
                f"Not carried out: written {age_seconds:.0f} s ago, by this machine's "
                f"clock. Write it again.",
            )
        if said.is_forwarded:
            return Decision(Act.REPLY, "Not carried out: a forwarded message.")
        return self._command(said, command.lower(), rest.strip())

    def _stranger(self, said: Written, *, is_command: bool) -> Decision:
        # In an allowed group others may talk to each other.
        if said.chat_id == 0 or (
            said.chat_id in self._allowed.chats and not is_command
        ):
            return Decision(Act.NOTHING)
        return Decision(Act.STRANGER)

    def _is_for_another(self, addressee: str) -> bool:
        name = self.username.lower()
        return bool(addressee and name and addressee.lower() != name)

    def _command(self, said: Written, command: str, rest: str) -> Decision:
        who = (said.chat_id, said.user_id)
        over = self._over_rate(who, "acting" if command in _ACTING else "asking")
        if over:
            # Said once, not to each of them.
            text = "Too many commands: wait a minute, or use `cqx` on the machine."
            return Decision(Act.REPLY, text) if over == 1 else Decision(Act.NOTHING)
        if command in _PLAIN:
            return _PLAIN[command]
        if command in _CODED:
            return self._ask_code(who, _CODED[command])
        if command == "/confirm":
            return self._confirm(who, rest)
        return Decision(Act.REPLY, f"I do not know this command.\n{HELP}")

    def _ask_code(self, who: tuple[int, int], act: Act) -> Decision:
        code = self._draw()
        until_ns = self._clock.monotonic_ns() + CODE_SECONDS * NS_PER_SECOND
        self._pending[who] = _Pending(act, code, until_ns)
        return Decision(
            Act.REPLY,
            f"To {act.value} everything, write within {CODE_SECONDS} s:\n"
            f"/confirm {code}",
        )

    def _confirm(self, who: tuple[int, int], code: str) -> Decision:
        # Taken out first: whatever is written, the code counts once.
        pending = self._pending.pop(who, None)
        if pending is None:
            return Decision(
                Act.REPLY, "There is nothing to confirm: write /halt or /flatten."
            )
        if self._clock.monotonic_ns() > pending.until_ns:
            return Decision(Act.REPLY, f"Too late: write /{pending.act.value} again.")
        if code != pending.code:
            return Decision(
                Act.REPLY, f"Another code: write /{pending.act.value} again."
            )
        return Decision(pending.act)

    def _over_rate(self, who: tuple[int, int], kind: str) -> int:
        """Count one command; return by how many there are too many in a minute."""
        limit = _RATES[kind]
        times = self._times.setdefault((*who, kind), deque(maxlen=limit + 2))
        now_ns = self._clock.monotonic_ns()
        while times and now_ns - times[0] > _RATE_NS:
            times.popleft()
        times.append(now_ns)
        return max(0, len(times) - limit)
