"""`faust -A tests.app.quick_worker worker`: a worker that does not wait long for others.

Changed rules are taken up by `events` some seconds after `alerts`, as other workers' may be late;
where there is one worker, a second will do.
"""

from app import plan_reloading

plan_reloading.SETTLE_S = 1.0

from app.worker import app  # noqa: E402  # it is made when it is imported

__all__ = ["app"]
