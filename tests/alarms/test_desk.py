"""Who may say what, and what it means."""

from __future__ import annotations

import itertools

import pytest

from cryptoquantix.alarms.desk import CODE_SECONDS, Act, Allowed, Desk
from cryptoquantix.alarms.telegram import Written
from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock

OWNER, GROUP, PARTNER, STRANGER = 42, -100, 43, 99


class Room:
    """A desk, and people who write to it."""

    def __init__(self, chats=(OWNER,), users=()) -> None:
        self.clock = ManualClock(10**18, 10**12)
        codes = itertools.count(1001)
        allowed = Allowed(frozenset(chats), frozenset(users))
        self.desk = Desk(allowed, self.clock, lambda: str(next(codes)))

    def say(self, text, *, user=OWNER, chat=OWNER, age=0, forwarded=False):
        time_ns = self.clock.time_ns() - age * NS_PER_SECOND
        said = Written(1, chat, user, text, time_ns, is_forwarded=forwarded)
        return self.desk.decide(said)

    def wait(self, seconds):
        self.clock.advance(int(seconds * NS_PER_SECOND))


@pytest.mark.parametrize(
    ("word", "act"), [("halt", Act.HALT), ("flatten", Act.FLATTEN)]
)
def test_an_order_needs_its_code(word, act) -> None:
    room = Room()
    answer = room.say(f"/{word}")
    assert answer.act is Act.REPLY
    assert "/confirm 1001" in answer.text
    assert room.say("/confirm 1001").act is act


def test_a_code_counts_once() -> None:
    room = Room()
    room.say("/halt")
    assert room.say("/confirm 1001").act is Act.HALT
    assert room.say("/confirm 1001").act is Act.REPLY


def test_a_wrong_code_uses_the_right_one_up() -> None:
    room = Room()
    room.say("/halt")
    assert "Another code" in room.say("/confirm 1002").text
    assert room.say("/confirm 1001").act is Act.REPLY


def test_a_code_counts_for_a_minute() -> None:
    room = Room()
    room.say("/halt")
    room.wait(CODE_SECONDS)
    assert room.say("/confirm 1001").act is Act.HALT
    room.say("/halt")
    room.wait(CODE_SECONDS + 0.1)
    assert "Too late" in room.say("/confirm 1002").text


def test_a_new_order_replaces_the_code_of_the_old_one() -> None:
    room = Room()
    room.say("/halt")
    room.say("/flatten")
    assert room.say("/confirm 1001").act is Act.REPLY
    room.say("/flatten")
    assert room.say("/confirm 1003").act is Act.FLATTEN


def test_a_code_belongs_to_who_asked_and_where() -> None:
    room = Room(chats=(OWNER, GROUP), users=(OWNER, PARTNER))
    room.say("/halt", chat=GROUP)
    assert room.say("/confirm 1001", user=PARTNER, chat=GROUP).act is Act.REPLY
    assert room.say("/confirm 1001", chat=OWNER).act is Act.REPLY
    assert room.say("/confirm 1001", chat=GROUP).act is Act.HALT


def test_a_code_of_another_life_confirms_nothing() -> None:
    first, second = Room(), Room()
    first.say("/halt")
    assert second.say("/confirm 1001").act is Act.REPLY


@pytest.mark.parametrize(
    ("chat", "user", "is_allowed"),
    [
        (OWNER, OWNER, True),
        (GROUP, OWNER, True),
        (GROUP, STRANGER, False),
        (STRANGER, STRANGER, False),
        (STRANGER, OWNER, False),
        (GROUP, 0, False),
    ],
)
def test_both_the_chat_and_the_person_must_be_allowed(chat, user, is_allowed) -> None:
    room = Room(chats=(OWNER, GROUP), users=(OWNER,))
    act = room.say("/status", chat=chat, user=user).act
    assert act is (Act.STATUS if is_allowed else Act.STRANGER)


def test_without_users_only_the_person_of_a_private_chat_may() -> None:
    room = Room(chats=(OWNER, GROUP))
    assert room.say("/status").act is Act.STATUS
    assert room.say("/status", chat=GROUP).act is Act.STRANGER
    assert room.say("/halt", user=STRANGER).act is Act.STRANGER


def test_a_group_may_talk() -> None:
    room = Room(chats=(GROUP,), users=(OWNER,))
    assert room.say("hello", chat=GROUP, user=STRANGER).act is Act.NOTHING
    assert room.say("hello", chat=GROUP).act is Act.NOTHING
    assert room.say("hello", chat=STRANGER, user=STRANGER).act is Act.STRANGER


@pytest.mark.parametrize("text", ["/halt", "/confirm 1001", "/ack", "/status"])
def test_what_is_older_than_a_minute_is_refused(text) -> None:
    room = Room()
    room.say("/halt")
    assert "written 61 s ago" in room.say(text, age=61).text
    assert room.say("/confirm 1001", age=60).act is Act.HALT


def test_what_is_forwarded_is_refused() -> None:
    room = Room()
    assert "forwarded" in room.say("/halt", forwarded=True).text


@pytest.mark.parametrize("text", ["/rearm", "/arm", "/rearm now please"])
def test_nothing_in_a_chat_raises_risk(text) -> None:
    answer = Room().say(text)
    assert answer.act is Act.REPLY
    assert "cqx rearm --who" in answer.text
    assert {act.value for act in Act} == {
        *("nothing", "reply", "stranger", "status", "ack", "halt", "flatten")
    }


def test_a_command_for_another_program_in_the_group_is_left_to_it() -> None:
    room = Room()
    room.desk.username = "our_guard"
    assert room.say("/halt@another").act is Act.NOTHING
    assert room.say("/halt@Our_Guard").act is Act.REPLY
    assert room.say("/HALT").act is Act.REPLY


def test_too_many_are_said_once_and_then_ignored() -> None:
    room = Room()
    acts = [room.say("/status") for _ in range(30)]
    assert [one.act for one in acts[:20]] == [Act.STATUS] * 20
    assert "Too many" in acts[20].text
    assert {one.act for one in acts[21:]} == {Act.NOTHING}
    # Asking much never stands in the way of acting.
    assert "/confirm" in room.say("/halt").text
    room.wait(61)
    assert room.say("/status").act is Act.STATUS


def test_codes_cannot_be_tried_out() -> None:
    room = Room()
    confirmed = 0
    for _ in range(200):
        room.say("/halt")
        confirmed += room.say("/confirm 0000").act is not Act.NOTHING
    assert confirmed <= 7


@pytest.mark.parametrize("text", ["", " ", "/", "/" + "x" * 5000, "/confirm", "/help@"])
def test_nonsense_is_answered_or_ignored(text) -> None:
    assert Room().say(text).act in {Act.NOTHING, Act.REPLY}
