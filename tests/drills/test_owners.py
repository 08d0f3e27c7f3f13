"""The owner's book stands at every venue, and a wrong owner hears the venue's words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import RateLimited, SettingsError, VenueError
from cryptoquantix.drills import account
from cryptoquantix.drills.account import place
from cryptoquantix.drills.book import BookOrder, build_book
from cryptoquantix.drills.owners import VENUES, owner_of
from cryptoquantix.drills.simulator_admin import AdminRefused, SimulatorAdmin
from processes import start_simulator


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    directory = tmp_path_factory.mktemp("owners")
    args = ("--venues", ",".join(VENUES), "--generate", "5")
    with start_simulator(directory, *args) as process:
        yield process.line


@pytest.mark.parametrize("venue", VENUES)
async def test_the_book_stands_at_the_venue_as_it_was_built(line, venue):
    async with (
        SimulatorAdmin(line["admin"]) as admin,
        owner_of(venue, line["venues"][venue], SystemClock()) as owner,
    ):
        listings, prices = (await owner.listings())[:3], await owner.prices()
        equity = (await admin.account(venue)).equity
        book = build_book(listings, prices, equity, gross_exposure=Decimal("1.5"))
        for order in book:
            await place(owner, order)
        held = await admin.account(venue)
    assert held.positions == {o.symbol: o.quantity for o in book if o.price is None}
    assert held.open_orders == 9
    assert held.algo_orders == 3


@pytest.mark.parametrize("venue", VENUES)
async def test_a_refused_order_is_the_venues_own_words(line, venue):
    wrong = line["venues"][venue] | {"secret": "wrong"}
    order = BookOrder("BTCUSDT", "BUY", Decimal(1))
    async with owner_of(venue, wrong, SystemClock()) as owner:
        with pytest.raises(VenueError, match=f"{venue}: .* was refused: "):
            await place(owner, order)


async def test_a_venue_that_is_not_there_is_one_sentence():
    nowhere = {"rest": "http://127.0.0.1:1", "key": "k", "secret": "s"}
    async with owner_of("bybit", nowhere, SystemClock()) as owner:
        with pytest.raises(VenueError, match="bybit gave no answer to GET /v5"):
            await owner.listings()


def test_an_unknown_venue_is_refused():
    with pytest.raises(SettingsError, match="drills know binance, bybit, deribit"):
        owner_of("mtgox", {}, SystemClock())


class Busy:
    """A venue whose order budget is spent for a while."""

    venue = "busy"

    def __init__(self, times):
        self.left = times

    async def send(self, order):
        if self.left:
            self.left -= 1
            raise RateLimited(self.venue, venue=self.venue)


async def test_an_order_waits_for_the_venues_budget_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(account, "_PAUSE_SECONDS", 0.001)
    order = BookOrder("BTCUSDT", "BUY", Decimal(1))
    await place(Busy(3), order)
    with pytest.raises(RateLimited, match="busy takes no order for ten seconds"):
        await place(Busy(1000), order)


async def test_the_admin_api_says_why_not(line):
    async with SimulatorAdmin(line["admin"]) as admin:
        with pytest.raises(AdminRefused, match="not a fault"):
            await admin.add_fault(kind="flood")
