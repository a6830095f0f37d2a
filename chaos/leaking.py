"""`faust -A chaos.leaking worker`: a worker that leaks.

What SOAK_MODULE=chaos.leaking has the soak find.
"""

from app.worker import app

LEAK = 1_000
"""Bytes for each record."""
kept: list[bytes] = []


async def leak() -> None:
    """Keep what nobody needs."""
    records = sum(engine.statistics.records for engine in app.engines)
    kept.append(b"\1" * (records * LEAK - sum(map(len, kept))))


app.timer(1.0)(leak)


__all__ = ["app"]
