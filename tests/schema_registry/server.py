"""A schema registry of exactly the interface that Confluent documents, as far as it is used here.

Subjects, versions, ids that equal schemas share, levels of compatibility that new versions are held
to (by Avro's own resolution, with fastavro), HTTP's basic authentication, TLS.
"""

import base64
import io
import json
import random
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import fastavro
from fastavro.utils import generate_many

CONTENT = "application/vnd.schemaregistry.v1+json"


def unreadable(reader: str, writer: str) -> str | None:
    """Why values of one schema cannot be read as the other's."""
    random.seed(1)
    written, wanted = json.loads(writer), json.loads(reader)
    for record in generate_many(fastavro.parse_schema(dict(written), named_schemas={}), 20):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, written, record)
        out.seek(0)
        try:
            fastavro.schemaless_reader(out, written, wanted)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return None


@dataclass
class State:
    """What it holds, and how it is to behave. `says`: a status and a body instead of any answer."""

    subjects: dict[str, list[str]] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    level: str = "NONE"
    login: tuple[str, str] | None = None
    says: tuple[int, bytes] | None = None
    forbids: str = ""
    """Requests of this method and beginning of a path are forbidden: `PUT /config`."""
    subject_first: bool = False
    """Whether a level is refused for a subject that is not there."""
    asked: list[str] = field(default_factory=list)
    _ids: list[str] = field(default_factory=list)

    def id_of(self, schema: str) -> int:
        if schema not in self._ids:
            self._ids.append(schema)
        return self._ids.index(schema) + 7

    def schema(self, number: int) -> str | None:
        return self._ids[number - 7] if 7 <= number < 7 + len(self._ids) else None

    def objection(self, subject: str, schema: str) -> str | None:
        """At the level of the subject, for its newest schema."""
        if self.levels.get(subject, self.level) == "NONE" or not self.subjects.get(subject):
            return None
        return unreadable(schema, self.subjects[subject][-1])


class Handler(BaseHTTPRequestHandler):
    state: State

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its own name
        pass

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.state.asked.append(f"{self.command} {path}")
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        status, answer = self._found(path, [unquote(each) for each in path.split("/")[1:]], body)
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", CONTENT)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815  # http.server's names

    def _found(self, path: str, parts: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        state = self.state
        if state.says is not None:
            return state.says
        if state.login is not None:
            wanted = base64.b64encode(":".join(state.login).encode()).decode()
            given = self.headers.get("Authorization", "")
            if given != f"Basic {wanted}":
                return 401, {"error_code": 401, "message": f"Unauthorized {given}"}
        if state.forbids and f"{self.command} {path}".startswith(state.forbids):
            return 403, {"error_code": 40301, "message": "User is denied operation"}
        match self.command, parts:
            case "GET", ["schemas", "ids", number]:
                found = state.schema(int(number))
                if found is None:
                    return 404, {"error_code": 40403, "message": "Schema not found"}
                return 200, {"schema": found}
            case "GET", ["subjects", subject, "versions"]:
                if subject in state.subjects:
                    return 200, list(range(1, len(state.subjects[subject]) + 1))
                return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
            case "POST", ["subjects", subject]:
                if subject not in state.subjects:
                    return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
                schema = body["schema"]
                if schema not in state.subjects[subject]:
                    return 404, {"error_code": 40403, "message": "Schema not found"}
                version = state.subjects[subject].index(schema) + 1
                number = state.id_of(schema)
                found = {"subject": subject, "id": number, "version": version, "schema": schema}
                return 200, found
            case "POST", ["subjects", subject, "versions"]:
                if state.objection(subject, body["schema"]):
                    return 409, {"error_code": 409, "message": "Schema being registered is wrong"}
                versions = state.subjects.setdefault(subject, [])
                if body["schema"] not in versions:
                    versions.append(body["schema"])
                return 200, {"id": state.id_of(body["schema"])}
            case "POST", ["compatibility", "subjects", subject, "versions", "latest"]:
                objection = state.objection(subject, body["schema"])
                messages = [] if objection is None else [objection]
                return 200, {"is_compatible": not messages, "messages": messages}
            case "PUT", ["config", subject]:
                if state.subject_first and subject not in state.subjects:
                    return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
                state.levels[subject] = body["compatibility"]
                return 200, body
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}


@contextmanager
def serving(state: State, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """It runs for the block; its URL."""
    handler = type("Bound", (Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    scheme = "http" if context is None else "https"
    try:
        yield f"{scheme}://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
