"""The risk daemon's permit link alone, whose mode a test sets through a file.

The file holds ``trade``, ``reduce_only``, ``halted`` or ``silent``. Every request's
``is_reconciled`` is appended to a file beside it.

    python permit_stand_in.py DIRECTORY [PORT]
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from aiohttp import WSMsgType, web


async def main(directory: Path, port: int) -> None:
    mode_file = directory / "mode"
    asked = directory / "asked"

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            ask = json.loads(message.data)
            with asked.open("a") as file:
                file.write(f"{ask['holder']} {ask['is_reconciled']}\n")
            mode = mode_file.read_text().strip()
            if mode == "silent":
                continue
            answer = {
                "nonce": ask["nonce"],
                "mode": mode,
                "holder": ask["holder"],
                "build": ask["build"],
                "sequence": 1,
                "reason": "stand-in",
            }
            await socket.send_str(json.dumps(answer))
        return socket

    app = web.Application()
    app.router.add_get("/v1/permit", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int((*sys.argv, "0")[2])))
