"""What can go wrong in the runtime, by what must be done about it."""


class EngineError(RuntimeError):
    """The process must end; the message says why and what to do. Nothing was committed."""


class RecordRefusedError(EngineError):
    """An output record that no broker will take, however often it is tried."""


class MemberEnded(Exception):  # noqa: N818  # an event of the protocol, not a fault
    """The consumer is of no use any more; a new one has to take its place in the group."""


class TransactionAborted(Exception):  # noqa: N818  # an event of the protocol, not a fault
    """The open transaction must be aborted and its input delivered again."""
