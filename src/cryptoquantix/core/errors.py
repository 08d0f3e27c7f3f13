"""
Every error this project raises on purpose, as one tree; it handles none.

::

    CryptoquantixError
    ├── SettingsError         a setting or an argument is wrong
    ├── DataError             SchemaError, GapError, DisorderError
    ├── VenueError            .venue, .request
    │   ├── VenueUnavailable      retry: nothing was accepted
    │   ├── RateLimited           retry after .delay_ns
    │   ├── OutcomeUnknown        sent, unanswered: look up, never resend blindly
    │   ├── OrderNotFound         the venue does not know the order
    │   ├── OrderRefused          .reason, ours to fix
    │   └── CredentialsRefused    stop
    ├── JournalError          not durably written: nothing may be sent
    ├── DaemonError
    │   ├── DaemonUnreachable     no answer: what was asked may or may not be done
    │   └── DaemonRefused         it answered, and said no
    ├── Halted                no permit for new risk; only an operator clears it
    └── StateCorrupt          what was read back is not what was written

Programmer errors are ``assert``, and stay on in production.
"""

from __future__ import annotations


class CryptoquantixError(Exception):
    """Root of the tree: its text is one sentence fit to show a user."""


class SettingsError(CryptoquantixError):
    """A setting or a command-line argument is wrong."""


class DataError(CryptoquantixError):
    """A file or a dataset is not what it should be."""


class SchemaError(DataError):
    """A file's columns or values are not of the expected kind."""


class GapError(DataError):
    """Data that must be there is missing."""


class DisorderError(DataError):
    """Data that must be sorted in time is not."""


class VenueError(CryptoquantixError):
    """A request to a venue did not succeed."""

    def __init__(self, text: str, *, venue: str, request: str = "") -> None:
        super().__init__(text)
        self.venue = venue
        self.request = request


class VenueUnavailable(VenueError):
    """Nothing was accepted; the same request may be sent again."""


class RateLimited(VenueError):
    """Nothing was accepted; the venue asks to wait ``delay_ns`` nanoseconds."""

    def __init__(
        self, text: str, *, venue: str, request: str = "", delay_ns: int = 0
    ) -> None:
        super().__init__(text, venue=venue, request=request)
        self.delay_ns = delay_ns


class OutcomeUnknown(VenueError):
    """Sent and unanswered: look the order up; never resend blindly."""


class OrderNotFound(VenueError):
    """The venue does not know the order asked for."""


class OrderRefused(VenueError):
    """The venue refused the order; ``reason`` is its own word for why."""

    def __init__(
        self, text: str, *, venue: str, request: str = "", reason: str = ""
    ) -> None:
        super().__init__(text, venue=venue, request=request)
        self.reason = reason


class CredentialsRefused(VenueError):
    """The venue does not accept the key, its signature or its rights: stop."""


class JournalError(CryptoquantixError):
    """The journal could not write durably: nothing may be sent."""


class DaemonError(CryptoquantixError):
    """A request to the risk daemon's API did not succeed."""


class DaemonUnreachable(DaemonError):
    """The risk daemon did not answer."""


class DaemonRefused(DaemonError):
    """The risk daemon answered and refused."""


class Halted(CryptoquantixError):
    """New risk was asked for without a live permit."""


class StateCorrupt(CryptoquantixError):
    """What was read back is not what was written."""
