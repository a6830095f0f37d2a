"""An HTTP receiver as a process of its own, so that it can be killed: `http_receiver.py PORT DIR`.

It speaks enough of the bulk interface, the HTTP Event Collector and the Logs Ingestion API, and
takes lines and arrays on any other path. What it takes is in DIR/received before it answers, behind
its _id and a space where it has one. A request with an Idempotency-Key is one JSON object, which is
in DIR/hooks behind its key; it fails over those that hold "fails". It refuses records that hold
"poison", in each one's way. DIR/token is what `Authorization` has to be, if it is there. While
DIR/busy is there, the next request is answered with its text as Retry-After. Every request leaves a
line in DIR/requests: status, and the moment on the clock of the machine.
"""

import gzip
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import JSONDecoder
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
LIMIT = 1_000_000


class Receiver(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer of two writes else waits for a delayed ACK

    def do_POST(self) -> None:
        """One request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        busy, token = FOLDER / "busy", FOLDER / "token"
        sent = self.headers["Authorization"]
        if busy.exists():
            after = busy.read_text()
            busy.unlink()
            self._answer(429, b"busy", {"Retry-After": after})
        elif self.path == "/dir-1/oauth2/v2.0/token":
            self._token(body)
        elif token.exists() and sent != token.read_text():
            self._answer(401, f"no right with {sent}".encode())
        elif self.headers["Idempotency-Key"] is not None:
            self._hook(self.headers["Idempotency-Key"], body)
        elif self.path.endswith("/_bulk"):
            self._bulk(body)
        elif self.path == "/services/collector/event":
            self._collector(body)
        elif self.path.startswith("/dataCollectionRules/dcr-1/streams/Custom-A?api-version="):
            if len(body) > LIMIT:
                self._answer(413, b"too large")
            else:
                self._take(list(map(orjson.dumps, orjson.loads(body))), 204)
        elif self.headers["Content-Type"] == "application/json":
            self._take(list(map(orjson.dumps, orjson.loads(body))))
        else:
            self._take(body.splitlines())

    def _token(self, body: bytes) -> None:
        form = parse_qs(body.decode())
        granted = {
            "grant_type": ["client_credentials"],
            "client_id": ["app-1"],
            "client_secret": ["s3cret-t0ken"],
            "scope": ["https://monitor.azure.com/.default"],
        }
        if form != granted:
            self._answer(401, b'{"error":"invalid_client","error_description":"s3cret-t0ken"}')
            return
        made = f"granted-{time.monotonic_ns()}"
        (FOLDER / "token").write_text(f"Bearer {made}")
        self._answer(200, orjson.dumps({"access_token": made, "expires_in": 3600}))

    def _hook(self, key: str, body: bytes) -> None:
        if b"poison" in body:
            self._answer(400, b"a record is not as it should be")
        elif b"fails" in body:
            self._answer(500, b"it fails")
        else:
            value = orjson.dumps(orjson.loads(body))
            os.write(HOOKS, b"%b %b\n" % (key.encode(), value))
            self._answer(200, b"ok")

    def _take(self, values: list[bytes], status: int = 200) -> None:
        if any(b"poison" in value for value in values):
            self._answer(400, b"a record is not as it should be")
            return
        self._keep(values)
        self._answer(status, b"" if status == 204 else b"ok")

    def _bulk(self, body: bytes) -> None:
        lines = body.splitlines()
        items, taken = [], []
        for action, value in zip(lines[::2], lines[1::2], strict=True):
            name = orjson.loads(action)["create"]["_id"]
            if b"poison" in value:
                error = {"type": "document_parsing_exception", "reason": "poison"}
                items.append({"create": {"status": 400, "error": error}})
            elif name in IDS:
                items.append({"create": {"status": 409, "error": {"type": "conflict"}}})
            else:
                IDS.add(name)
                taken.append(b"%b %b" % (name.encode(), value))
                items.append({"create": {"status": 201}})
        self._keep(taken)
        errors = any(each["create"]["status"] != 201 for each in items)
        self._answer(200, orjson.dumps({"errors": errors, "items": items}))

    def _collector(self, body: bytes) -> None:
        text, values, decoder = body.decode(), [], JSONDecoder()
        while text := text.lstrip():
            event, end = decoder.raw_decode(text)
            text = text[end:]
            assert event["time"] > 0
            assert event["sourcetype"] == "ocsf"
            values.append(orjson.dumps(event["event"]))
        for number, value in enumerate(values):
            if b"poison" in value:
                answer: dict[str, Any] = {"text": "Invalid data format", "code": 6}
                self._answer(400, orjson.dumps({**answer, "invalid-event-number": number}))
                return
        self._keep(values)
        self._answer(200, orjson.dumps({"text": "Success", "code": 0}))

    def _keep(self, lines: list[bytes]) -> None:
        os.write(RECEIVED, b"".join(line + b"\n" for line in lines))

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        os.write(REQUESTS, b"%d %f\n" % (status, time.monotonic()))
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def opened(name: str) -> int:
    """The file to append to, without the half line that a killed receiver left: SIGKILL cuts a
    write(2) off between two pages."""
    file = os.open(FOLDER / name, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.ftruncate(file, (FOLDER / name).read_bytes().rfind(b"\n") + 1)
    return file


if __name__ == "__main__":
    RECEIVED, REQUESTS, HOOKS = opened("received"), opened("requests"), opened("hooks")
    lines = (FOLDER / "received").read_text().splitlines()
    IDS = {line.partition(" ")[0] for line in lines if not line.startswith("{")}
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer(("127.0.0.1", PORT), Receiver).serve_forever()
