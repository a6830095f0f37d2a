"""What a response does about one alert: one class for each kind (app/respond/registry.py)."""

from abc import ABC, abstractmethod

from app.respond.notification import Notification


class AgainError(Exception):
    """It is there, but could not do it this time; `tries` of them are the most."""


class RefusedError(Exception):
    """It will never do it for this alert."""


class Action(ABC):
    """One receiver at a time; every call is made by the lane's own thread.

    All but `close` may raise UnreachableError (app/deliver/destination.py): it is away, or not as
    it has to be for any alert; it is then waited for without an end. What says so has no secret.
    """

    @abstractmethod
    def open(self, address: str) -> None:
        """Have it ready."""

    @abstractmethod
    def act(self, alert: Notification) -> None:
        """Returns when it is done, and the receiver has said so. Raises AgainError, RefusedError.

        The same alert may come again, with the same key.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of it. More than once is no error."""
