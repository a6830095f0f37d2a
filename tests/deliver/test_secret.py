"""A secret that cannot be used is named by where it is, and never shown."""

import socket
import traceback
from pathlib import Path

import pytest

from app.deliver.connection import ClientTls
from app.deliver.destination import UnreachableError
from app.deliver.http_exchange import HttpClient, HttpExchange
from app.deliver.secret import Secret


def test_a_line_break_at_the_end_of_a_variable_is_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Orchestrators hand over files as they are."""
    monkeypatch.setenv("TOKEN", "hidden\n")
    assert Secret(variable="TOKEN").read() == "hidden"
    monkeypatch.setenv("TOKEN", "hid\nden")
    with pytest.raises(OSError, match="TOKEN: expected one line of text") as raised:
        Secret(variable="TOKEN").read()
    assert "den" not in str(raised.value)


@pytest.mark.parametrize("token", ["hid\u2028den", "hid\u043aden"])
def test_a_token_that_no_header_may_have_is_in_no_trace(tmp_path: Path, token: str) -> None:
    """What Python says of it would show it in the log."""
    file = tmp_path / "token"
    file.write_text(token, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        exchange = HttpExchange(HttpClient(tls=ClientTls(), token=Secret(file=file)))
        exchange.open(f"http://127.0.0.1:{port}")
        with pytest.raises(UnreachableError) as raised:
            exchange.post(b"{}", {})
        exchange.close()
    assert "den" not in "".join(traceback.format_exception(raised.value))


class Given:
    """A token that a server has given."""

    def read(self) -> str:
        return "hid\nden"


def test_a_given_token_with_a_line_break_is_in_no_trace() -> None:
    """It comes from elsewhere, and nobody has looked at it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = HttpClient(tls=ClientTls(), token=Given())  # type: ignore[arg-type]
        exchange = HttpExchange(client)
        exchange.open(f"http://127.0.0.1:{port}")
        with pytest.raises(UnreachableError, match="no header may have") as raised:
            exchange.post(b"{}", {})
        exchange.close()
    assert "den" not in "".join(traceback.format_exception(raised.value))
