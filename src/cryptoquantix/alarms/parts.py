"""What the loops of the alarms process share; it has no behavior."""

from __future__ import annotations

from dataclasses import dataclass

from cryptoquantix.alarms.delivery import Delivery
from cryptoquantix.alarms.keeper import Keeper
from cryptoquantix.alarms.progress import Ledger
from cryptoquantix.core.clock import Clock
from cryptoquantix.risk_client.operator import OperatorClient


@dataclass(frozen=True, slots=True)
class Parts:
    """The daemon's client, what is known, where it is kept, and how it goes out."""

    client: OperatorClient
    ledger: Ledger
    keeper: Keeper
    delivery: Delivery
    clock: Clock
    url: str
