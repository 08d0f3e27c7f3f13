"""
The venue's truth against our journal, as differences; it repairs and adopts nothing.

What this finds is for people: an order or a position that no order of ours explains is
reported, never canceled, closed or taken over (the risk daemon's halt is what closes
everything). Of a traded position what our orders made is planned from, no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from cryptoquantix.core.account import Position
from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.venues.port import VenueOrder

FOREIGN_ORDER = "foreign order"
FOREIGN_POSITION = "foreign position"
POSITION_DIFFERS = "position differs"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing on which venue and journal do not agree."""

    kind: str
    subject: str
    text: str


def foreign_orders(
    found: Iterable[VenueOrder], ours: Collection[str]
) -> list[Difference]:
    """
    Return the resting orders that no order of the journal explains.

    Parameters
    ----------
    found : iterable of VenueOrder
        What rests at the venue, conditional orders included.
    ours : collection of str
        The client order ids among them that the journal knows.
    """
    return [
        Difference(
            FOREIGN_ORDER,
            f"{order.instrument} {order.venue_order_id}",
            f"{order.side.value} {order.size_lots} lots"
            f"{' reduce-only' if order.is_reduce_only else ''}"
            f"{' conditional' if order.is_conditional else ''}, client id "
            f"{order.client_order_id!r}, was not sent by this journal",
        )
        for order in found
        if order.client_order_id not in ours
    ]


def foreign_part(instrument: Instrument, venue_lots: int, lots: int) -> Difference:
    """
    Return the difference of a traded position of which ``lots`` are not ours.

    Parameters
    ----------
    instrument : Instrument
        What is held.
    venue_lots, lots : int
        The venue's position, and what of it no order of ours made; signed.
    """
    unit = instrument.quote if instrument.is_inverse else instrument.base
    size = f"{(lots * instrument.lot_size).normalize():f} {unit}"
    return Difference(
        FOREIGN_POSITION,
        str(instrument.id),
        f"{lots} of the {venue_lots} lots held ({size} of {instrument.id}) are of no "
        "order of ours: they are left alone, and nothing is opened there. Close them "
        f'by hand, or let `execution.adopt = ["{instrument.id}"]` in the settings take '
        "the whole position as ours",
    )


def position_differences(
    held: Iterable[Position], expected_lots: Mapping[InstrumentId, int]
) -> list[Difference]:
    """
    Return where the venue's positions are not what journal and baseline make.

    Parameters
    ----------
    held : iterable of Position
        The venue's positions, of every instrument.
    expected_lots : mapping of InstrumentId to int
        For each traded instrument: its baseline and the fills since, signed lots.
    """
    held_lots = {position.instrument: position.size_lots for position in held}
    differences = [
        Difference(
            POSITION_DIFFERS,
            str(id_),
            f"the venue holds {held_lots.get(id_, 0)} lots, the journal's fills make "
            f"{expected}; no more than the venue's count is planned from",
        )
        for id_, expected in expected_lots.items()
        if held_lots.get(id_, 0) != expected
    ]
    return differences + [
        Difference(
            FOREIGN_POSITION,
            str(id_),
            f"{lots} lots are held in an instrument that no strategy here trades",
        )
        for id_, lots in held_lots.items()
        if id_ not in expected_lots
    ]
