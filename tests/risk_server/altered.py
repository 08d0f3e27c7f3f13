"""A venue whose answers to one path are altered on their way; all else passes."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager

import aiohttp
from aiohttp import web
from yarl import URL

HOP = {"transfer-encoding", "content-encoding", "content-length", "connection", "host"}


@contextmanager
def altered(rest, path, old, new, status=0):
    """Yield the address of a proxy of ``rest`` that says ``new`` for ``old``."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found = {}

    async def serve():
        session = aiohttp.ClientSession(auto_decompress=True)

        async def answer(request):
            sent = {k: v for k, v in request.headers.items() if k.lower() not in HOP}
            url = URL(rest + request.raw_path, encoded=True)
            async with session.request(
                request.method, url, headers=sent, data=await request.read()
            ) as got:
                body, code = await got.read(), got.status
                if path in request.path:
                    assert old in body, body
                    body, code = body.replace(old, new), status or code
                kept = {k: v for k, v in got.headers.items() if k.lower() not in HOP}
                return web.Response(status=code, body=body, headers=kept)

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found["address"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
        found["stop"] = asyncio.Event()
        ready.set()
        await found["stop"].wait()
        await runner.cleanup()
        await session.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield found["address"]
    finally:
        loop.call_soon_threadsafe(found["stop"].set)
        thread.join(10)
        loop.close()
