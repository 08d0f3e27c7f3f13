"""Between aiohttp and the wires: requests in, answers out, ports opened."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

import msgspec
from aiohttp import web

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.simulator.fault_words import Answer
from cryptoquantix.simulator.wire.messages import Request, Response

BACKLOG: Final = 2_048


def stream_of(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """Return a transport as one of streams."""
    # uvloop's transports have a Transport's methods without being one.
    return cast("asyncio.Transport", transport)


def cut(request: web.BaseRequest) -> None:
    """End a request's connection at once."""
    if request.transport is not None:
        stream_of(request.transport).abort()


def object_of(text: str) -> Any:  # noqa: ANN401 - whatever a client sent
    """Return what a JSON text says, None if it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def request_of(request: web.BaseRequest, body: bytes) -> Request:
    """Return a request as the wires take it."""
    path, _, query = request.raw_path.partition("?")
    headers = {name.lower(): value for name, value in request.headers.items()}
    address = request.remote or ""
    return Request(request.method, path, query, body, headers=headers, address=address)


def response_of(said: Answer) -> Response:
    """Return a failing venue's words as an answer of its wire."""
    return Response(
        said.status, said.body, dict(said.headers or {}), content_type=said.content_type
    )


def web_answer(answered: Response) -> web.Response:
    """Return an answer of a wire as aiohttp sends it."""
    return web.Response(
        status=answered.status,
        body=answered.body,
        headers=answered.headers,
        content_type=answered.content_type,
    )


async def listen(
    factory: Callable[[], asyncio.BaseProtocol],
    host: str,
    port: int,
    context: ssl.SSLContext | None = None,
) -> asyncio.Server:
    """Open a listening port, or say in one sentence why not."""
    loop = asyncio.get_running_loop()
    creation: Coroutine[Any, Any, asyncio.Server] = loop.create_server(
        factory, host, port, backlog=BACKLOG, reuse_address=True, ssl=context
    )
    try:
        return await creation
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            msg = f"port {port} on {host} is already in use"
        else:
            msg = f"cannot listen on {host}:{port}: {error.strerror or error}"
        raise SettingsError(msg) from None
