"""Settings of the embedded broker that a guarantee rests on."""

from pathlib import Path

from app.broker.settings import Endpoints, server_properties


def test_offsets_outlive_a_pause_of_their_readers() -> None:
    """A group without members (workers that are away, `dead-letters replay`) goes on after months:
    Kafka's default would have it begin anew after a week."""
    own = Endpoints("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:3")
    found = server_properties(0, [own], Path("data"), Path("server.pem"))
    assert int(found["offsets.retention.minutes"]) > 300 * 24 * 60
