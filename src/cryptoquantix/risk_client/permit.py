"""
Ask the risk daemon for permits, once a second; it never grants or extends one.

A permit counts from the monotonic time at which its request was *sent*. Only an
answer to a request of this connection, for this holder, from this build, with a
sequence no older than the highest ever seen, can allow an increase. A restriction
needs no such proof and does not expire: it stands until a newer answer lifts it.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

import aiohttp

from cryptoquantix.control.permit import (
    PERMIT_INTERVAL_NS,
    Permit,
    PermitAnswer,
    PermitMode,
    PermitRequest,
)
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.risk_client.sequence import load_sequence, save_sequence

_LOG = logging.getLogger(__name__)

_INTERVAL_SECONDS: Final = PERMIT_INTERVAL_NS / NS_PER_SECOND
_CONNECT_SECONDS: Final = 2.0
_SEND_SECONDS: Final = 1.0
_SILENT_SECONDS: Final = 3.0
_CLOSE_SECONDS: Final = 0.5
_BACKOFF_SECONDS: Final = (0.1, 0.2, 0.5, 1.0)
_PENDING_MAX: Final = 8
_FRAME_BYTES_MAX: Final = 64 * 1024


class PermitClient:
    """
    The holder's side of the permit link: one WebSocket, one request a second.

    Parameters
    ----------
    url : str
        The daemon's base URL (``http://127.0.0.1:8700``).
    token : str
        The bearer token of the daemon's API.
    holder, build : str
        Who asks, and which code it runs (``control.build.build_stamp()``).
    sequence_path : Path, optional
        Where the highest sequence ever seen survives a restart of the holder.

    Raises
    ------
    StateCorrupt
        If the file at ``sequence_path`` holds no sequence.
    """

    def __init__(
        self,
        *,
        url: str,
        token: str,
        holder: str,
        build: str,
        clock: Clock,
        sequence_path: Path | None = None,
    ) -> None:
        self._url = url.rstrip("/") + "/v1/permit"
        self._token = token
        self._holder = holder
        self._build = build
        self._clock = clock
        self._sequence_path = sequence_path
        self._sequence_saved = load_sequence(sequence_path) if sequence_path else 0
        self._sequence_seen = self._sequence_saved
        self._sequence_rose = asyncio.Event()
        self._permit: Permit | None = None
        self._pending: dict[str, tuple[int, int]] = {}
        self._requests = 0
        self._newest_answered = 0
        self._started_ns = clock.time_ns()
        self._is_reconciled = False
        self._problem = "the risk daemon has not been reached yet"

    @property
    def problem(self) -> str:
        """One sentence on what is wrong with the link, or an empty string."""
        return self._problem

    @property
    def sequence_seen(self) -> int:
        """The highest sequence of any answer to a request of this holder."""
        return self._sequence_seen

    def reconciled(self) -> None:
        """Say from the next request on that ledger and venue agree."""
        self._is_reconciled = True

    def unreconciled(self) -> None:
        """Say from the next request on that ledger and venue are to be compared."""
        self._is_reconciled = False

    def current(self) -> Permit | None:
        """
        Return the newest answer as a permit, or None.

        A permission to trade is None once its life is over. A restriction
        (``reduce_only``, ``halted``) stands until a newer answer. The sender still
        asks ``permit.allows_increase`` immediately before the bytes are written.
        """
        permit = self._permit
        if permit is None or permit.answer.mode is not PermitMode.TRADE:
            return permit
        return permit if permit.allows_increase(self._clock.monotonic_ns()) else None

    async def run(self) -> None:
        """
        Ask for ever, reconnecting after every failure.

        Returns only by cancellation, which closes the connection; the last permit
        then runs out by itself.
        """
        keeper = asyncio.create_task(self._keep_sequence(), name="permit-sequence")
        try:
            async with aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {self._token}"}
            ) as session:
                await self._stay_connected(session)
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _stay_connected(self, session: aiohttp.ClientSession) -> None:
        failures = 0
        while True:
            answered_before = self._permit
            try:
                await self._converse(session)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                self._say_problem(_sentence(error, self._url))
            # A link that answered starts the backoff anew.
            failures = 0 if self._permit is not answered_before else failures + 1
            step = min(failures, len(_BACKOFF_SECONDS) - 1)
            await asyncio.sleep(_BACKOFF_SECONDS[step])

    async def _converse(self, session: aiohttp.ClientSession) -> None:
        """Ask and listen on one connection; an exception ends it."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            socket = await session.ws_connect(
                self._url,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
                max_msg_size=_FRAME_BYTES_MAX,
            )
        self._pending.clear()  # answers belong to the connection that asked
        loop = asyncio.get_running_loop()
        ask_at = answered_at = loop.time()
        async with socket:
            while True:
                if loop.time() - answered_at > _SILENT_SECONDS:
                    raise TimeoutError
                if loop.time() >= ask_at:
                    await self._ask(socket)
                    ask_at = max(ask_at + _INTERVAL_SECONDS, loop.time())
                frame = await _receive(socket, max(0.0, ask_at - loop.time()))
                if frame is not None and self._take(frame):
                    answered_at = loop.time()

    async def _ask(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._requests += 1
        nonce = f"{self._started_ns:x}-{self._requests}"
        request = PermitRequest(
            nonce=nonce,
            holder=self._holder,
            build=self._build,
            sequence_seen=self._sequence_seen,
            is_reconciled=self._is_reconciled,
        )
        # Before the send, not after: the life must never start late.
        self._pending[nonce] = (self._requests, self._clock.monotonic_ns())
        while len(self._pending) > _PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        async with asyncio.timeout(_SEND_SECONDS):
            await socket.send_str(request.to_json())

    def _take(self, frame: str) -> bool:
        """Take one frame; return whether it answers a request of ours."""
        try:
            answer = PermitAnswer.from_json(frame)
        except ValueError:
            self._say_problem(f"{self._url} sent something that is no permit answer")
            return False
        asked = self._pending.pop(answer.nonce, None)
        if asked is None:
            return False
        request, sent_ns = asked
        if request > self._newest_answered:
            self._newest_answered = request
            self._accept(Permit(answer, sent_ns))
        return True

    def _accept(self, permit: Permit) -> None:
        """Make ``permit`` the newest one; a doubtful permission becomes none."""
        answer = permit.answer
        doubt = self._doubt(answer)
        if doubt and answer.mode is PermitMode.TRADE:
            self._permit = None
        else:
            self._permit = permit
        self._say_problem(doubt)
        if answer.sequence > self._sequence_seen:
            self._sequence_seen = answer.sequence
            self._sequence_rose.set()

    def _doubt(self, answer: PermitAnswer) -> str:
        if answer.build != self._build:
            return (
                f"the risk daemon runs build {answer.build} and this process "
                f"{self._build}: restart both from one installation"
            )
        if answer.holder != self._holder:
            return f"the permit is held by {answer.holder!r}, not {self._holder!r}"
        if answer.sequence < self._sequence_seen:
            return (
                f"the risk daemon's store is at {answer.sequence}, but "
                f"{self._sequence_seen} was seen before: it has lost its memory"
            )
        return ""

    def _say_problem(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            if problem:
                _LOG.warning("permit link: %s", problem)
            else:
                _LOG.info("permit link: answers are accepted")

    async def _keep_sequence(self) -> None:
        """Write the highest sequence down whenever it rose, beside the asking."""
        path = self._sequence_path
        if path is None:
            return
        while True:
            await self._sequence_rose.wait()
            self._sequence_rose.clear()
            sequence = self._sequence_seen
            try:
                await asyncio.to_thread(save_sequence, path, sequence)
            except OSError as error:
                _LOG.warning("cannot keep the sequence in %s: %s", path, error)
                self._sequence_rose.set()
                await asyncio.sleep(_INTERVAL_SECONDS)


async def _receive(
    socket: aiohttp.ClientWebSocketResponse, seconds: float
) -> str | None:
    """Return the next text frame within ``seconds``, or None; raise when closed."""
    try:
        async with asyncio.timeout(seconds):
            message = await socket.receive()
    except TimeoutError:
        return None
    if message.type is aiohttp.WSMsgType.TEXT:
        return str(message.data)
    if message.type is aiohttp.WSMsgType.BINARY:
        return ""
    msg = f"the risk daemon closed the permit link ({message.type.name.lower()})"
    raise ConnectionResetError(msg)


def _sentence(error: Exception, url: str) -> str:
    if isinstance(error, aiohttp.WSServerHandshakeError):
        if error.status in {401, 403}:
            return f"{url} refuses this credential (risk.token must be the same there)"
        return f"{url} answered {error.status} instead of opening a permit link"
    if isinstance(error, TimeoutError):
        return f"no answer from {url}"
    return f"no permit link to {url}: {error}"
