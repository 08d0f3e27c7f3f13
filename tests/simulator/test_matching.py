"""Price-time priority, against an obvious slow book."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.core.order import TimeInForce
from cryptoquantix.simulator.matching import (
    Book,
    BookOrder,
    Expired,
    Refused,
    Rested,
    SelfTradePrevented,
    Traded,
)

GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
POST_ONLY = TimeInForce.POST_ONLY


def order(number: int, owner: int, sign: int, price: int, size: int) -> BookOrder:
    return BookOrder(number, owner, sign, price_ticks=price, size_lots=size)


def run(book: Book, *args, time_in_force=GTC) -> list:
    return [
        (type(e), *e[2:]) if isinstance(e, Traded) else (type(e),)
        for e in book.execute(order(*args), time_in_force)
    ]


def test_better_price_first_then_earlier_order():
    book = Book()
    for number, price in ((1, 101), (2, 100), (3, 100)):
        run(book, number, 1, -1, price, 5)
    makers = [
        (e.maker.id, e.price_ticks, e.size_lots)
        for e in book.execute(order(9, 2, 1, 101, 12), IOC)
        if isinstance(e, Traded)
    ]
    assert makers == [(2, 100, 5), (3, 100, 5), (1, 101, 2)]
    assert book.levels(-1, 10) == [(101, 3)]


def test_the_rest_of_a_limit_order_rests_at_its_own_price():
    book = Book()
    run(book, 1, 1, -1, 100, 5)
    assert run(book, 2, 2, 1, 102, 8) == [(Traded, 100, 5), (Rested,)]
    assert book.best_ticks(1) == 102
    assert book.best_ticks(-1) is None


def test_immediate_orders_never_rest():
    book = Book()
    run(book, 1, 1, -1, 100, 5)
    assert run(book, 2, 2, 1, 100, 8, time_in_force=IOC) == [
        (Traded, 100, 5),
        (Expired,),
    ]
    assert len(book) == 0


def test_all_or_nothing_trades_nothing_when_short():
    book = Book()
    run(book, 1, 1, -1, 100, 5)
    before = book.update_id
    assert run(book, 2, 2, 1, 100, 6, time_in_force=FOK) == [(Expired,)]
    assert book.update_id == before
    assert run(book, 3, 2, 1, 100, 5, time_in_force=FOK) == [(Traded, 100, 5)]


def test_post_only_never_takes():
    book = Book()
    run(book, 1, 1, -1, 100, 5)
    assert run(book, 2, 2, 1, 100, 5, time_in_force=POST_ONLY) == [(Refused,)]
    assert run(book, 3, 2, 1, 99, 5, time_in_force=POST_ONLY) == [(Rested,)]


def test_an_owner_never_trades_with_itself():
    book = Book()
    run(book, 1, 7, -1, 100, 5)
    run(book, 2, 8, -1, 100, 5)
    assert run(book, 3, 7, 1, 100, 5) == [(SelfTradePrevented,), (Traded, 100, 5)]


def test_a_shrunk_order_keeps_its_place():
    book = Book()
    run(book, 1, 1, -1, 100, 5)
    run(book, 2, 1, -1, 100, 5)
    book.shrink(1, 1)
    [first, *_] = book.execute(order(3, 2, 1, 100, 2), IOC)
    assert (first.maker.id, first.size_lots) == (1, 1)


def test_the_caller_may_remove_orders_between_two_matches():
    book = Book()
    for number in (1, 2, 3):
        run(book, number, 1, -1, 100, 5)
    makers = []
    for event in book.execute(order(9, 2, 1, 100, 15), IOC):
        if isinstance(event, Traded):
            makers.append(event.maker.id)
            book.remove(2)
    assert makers == [1, 3]


def test_an_order_of_no_size_is_a_programmer_error():
    with pytest.raises(AssertionError):
        order(1, 1, 1, 100, 0)


COMMANDS = st.lists(
    st.one_of(
        st.tuples(
            st.just("place"),
            st.integers(1, 3),
            st.sampled_from((1, -1)),
            st.integers(95, 105),
            st.integers(1, 9),
            st.sampled_from((GTC, IOC, FOK, POST_ONLY)),
        ),
        st.tuples(st.just("remove"), st.integers(1, 60)),
    ),
    max_size=60,
)


class SlowBook:
    """Every order in one list, searched through for every match."""

    def __init__(self) -> None:
        self.resting: list[list[int]] = []  # id, owner, sign, price, left

    def place(self, number, owner, sign, price, size, time_in_force):
        def meets(o):
            return o[2] == -sign and sign * o[3] <= sign * price

        facing = [o for o in self.resting if meets(o)]
        if time_in_force is POST_ONLY and facing:
            return []
        others = sum(o[4] for o in facing if o[1] != owner)
        if time_in_force is FOK and others < size:
            return []
        trades = []
        for o in sorted(facing, key=lambda o: sign * o[3]):  # stable: time stays
            if not size:
                break
            if o[1] == owner:
                self.resting.remove(o)
                continue
            lots = min(size, o[4])
            trades.append((o[0], o[3], lots))
            size -= lots
            o[4] -= lots
            if not o[4]:
                self.resting.remove(o)
        if size and time_in_force in {GTC, POST_ONLY}:
            self.resting.append([number, owner, sign, price, size])
        return trades

    def levels(self, sign):
        prices = sorted({o[3] for o in self.resting if o[2] == sign}, reverse=sign > 0)
        return [
            (p, sum(o[4] for o in self.resting if o[2] == sign and o[3] == p))
            for p in prices
        ]


@settings(max_examples=200, deadline=None)
@given(COMMANDS)
def test_agrees_with_an_obvious_slow_book(commands):
    book, slow = Book(), SlowBook()
    tracker = book.track()
    shown = {sign: {} for sign in (1, -1)}
    for number, command in enumerate(commands, 1):
        if command[0] == "place":
            _, owner, sign, price, size, time_in_force = command
            trades = [
                (e.maker.id, e.price_ticks, e.size_lots)
                for e in book.execute(
                    order(number, owner, sign, price, size), time_in_force
                )
                if isinstance(e, Traded)
            ]
            assert trades == slow.place(number, owner, sign, price, size, time_in_force)
        else:
            removed = book.remove(command[1])
            kept = [o for o in slow.resting if o[0] != command[1]]
            assert (removed is None) == (len(kept) == len(slow.resting))
            slow.resting = kept
        for sign in (1, -1):
            assert book.levels(sign, 100) == slow.levels(sign)
        assert not book.crosses(1, (book.best_ticks(1) or 0))
        for sign, price in tracker:
            shown[sign].pop(price, None)
            if lots := book.level_lots(sign, price):
                shown[sign][price] = lots
        tracker.clear()
        assert shown == {s: dict(book.levels(s, 100)) for s in (1, -1)}
