"""Qumulo Core's REST interface on loopback, over TLS: the calls that look-ups make, no others."""

import asyncio
import datetime as dt
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from app.broker.certificates import ensure

TOKEN = "access-v1:c2VjcmV0LW9mLXRoZS1jbHVzdGVy"
IDENTITIES: dict[str, dict[str, Any]] = {
    "S-1-5-21-1-2-3-500": {
        "id": {
            "domain": "ACTIVE_DIRECTORY",
            "auth_id": "4295000000",
            "uid": None,
            "gid": None,
            "sid": "S-1-5-21-1-2-3-500",
            "name": "AD\\eve",
        },
        "type": "USER",
        "group_ids": [
            {"domain": "ACTIVE_DIRECTORY", "name": "AD\\staff", "sid": "S-1-5-21-1-2-3-513"},
            {"domain": "POSIX_GROUP", "gid": 20, "name": ""},
        ],
    }
}


class QumuloCore:
    """Answers while it runs. `requests` has each call that came with the right token."""

    def __init__(self, folder: Path) -> None:
        files = ensure(folder, ["127.0.0.1"], dt.datetime.now(dt.UTC))
        self.ca = files.ca
        self.token = TOKEN
        self.paths: dict[str, str] = {}
        self.requests: list[tuple[str, Any]] = []
        self.refused = 0
        self.redirect: str | None = None
        self.url = ""
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(files.server)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(60)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = web.Application()
        server.router.add_post("/v1/identity/find", self._find)
        server.router.add_post("/v1/identity/expand", self._expand)
        server.router.add_post("/v1/files/resolve", self._resolve)
        runner = web.AppRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"https://127.0.0.1:{port}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _body(self, request: web.Request) -> Any:
        """Raises what refuses a request."""
        if self.redirect is not None:
            raise web.HTTPTemporaryRedirect(self.redirect)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            self.refused += 1
            raise web.HTTPUnauthorized
        body = await request.json()
        self.requests.append((request.path, body))
        return body

    async def _find(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        for known in IDENTITIES.values():
            if all(known["id"].get(key) == value for key, value in body.items()):
                return web.json_response(known["id"])
        raise web.HTTPNotFound

    async def _expand(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        return web.json_response(IDENTITIES[body["id"]["sid"]])

    async def _resolve(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        if any(each not in self.paths for each in body):
            raise web.HTTPNotFound
        return web.json_response([{"id": each, "path": self.paths[each]} for each in body])


@contextmanager
def qumulo_core(folder: Path) -> Iterator[QumuloCore]:
    """One that runs."""
    core = QumuloCore(folder)
    core.start()
    try:
        yield core
    finally:
        core.stop()
