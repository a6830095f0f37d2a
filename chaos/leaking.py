"""`faust -A chaos.leaking worker`: a worker that leaks.

What SOAK_MODULE=chaos.leaking has the soak find.
"""

from app.worker import app

LEAK = 1_000
"""Bytes for each record."""
kept: list[bytes] = []


@app.timer(1.0)
async def leak() -> None:
    """Keep what nobody needs."""
    records = sum(engine.statistics.records for engine in app.engines)
    kept.append(b"\1" * (records * LEAK - sum(map(len, kept))))


__all__ = ["app"]
