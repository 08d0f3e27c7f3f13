"""Bybit's identities and number texts; it keeps no state."""

from __future__ import annotations

import re

from cryptoquantix.simulator.listing import Listing, money_text
from cryptoquantix.simulator.orders import OrderRequest, Origin

# One space of order ids holds plain and conditional orders; a conditional order
# keeps its id when it triggers.
PLAIN = 1
CONDITIONAL = 2
TRADE = 3
CHARGE = 4
EXECUTION = 5
_UUID = re.compile(r"(?P<kind>[0-9a-f]{8})-0000-4000-8000-(?P<number>[0-9a-f]{12})\Z")
# Client ids the venue makes up for itself; a client cannot send this character.
UNNAMED = "~"


def uuid_text(kind: int, number: int) -> str:
    """
    Return an identity shaped like the venue's.

    Examples
    --------
    >>> uuid_text(PLAIN, 255)
    '00000001-0000-4000-8000-0000000000ff'
    """
    return f"{kind:08x}-0000-4000-8000-{number:012x}"


def parse_uuid(text: str) -> tuple[int, int] | None:
    """Return kind and number of an identity of ours, None if it is none."""
    found = _UUID.match(text)
    if found is None:
        return None
    return int(found["kind"], 16), int(found["number"], 16)


def link_id_text(request: OrderRequest) -> str:
    """Return the ``orderLinkId`` to show, empty where the client gave none."""
    is_named = not request.client_id.startswith(UNNAMED)
    return request.client_id if is_named and request.origin is Origin.CLIENT else ""


def trimmed(text: str) -> str:
    """
    Return decimal text without zeros at its end.

    Examples
    --------
    >>> trimmed("1.500"), trimmed("0.00"), trimmed("100")
    ('1.5', '0', '100')
    """
    if "." not in text:
        return text
    short = text.rstrip("0").rstrip(".")
    return "0" if short in {"-0", ""} else short


def money(units: int) -> str:
    """Return units of the coin as the venue writes amounts."""
    return trimmed(money_text(units))


def average(listing: Listing, value_units: int, lots: int) -> str:
    """Return an average price as the venue writes it."""
    return trimmed(listing.average_text(value_units, lots))


def ms(time_ns: int) -> int:
    """Return milliseconds of a time in nanoseconds."""
    return time_ns // 1_000_000


def ms_text(time_ns: int) -> str:
    """Return milliseconds of a time in nanoseconds as text."""
    return str(time_ns // 1_000_000)
