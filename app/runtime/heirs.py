"""Which member takes over a partition when its owner is gone, known before it happens.

Assignment with stores is Kafka's `range`, and librdkafka orders static members by their
`group.instance.id`, so what it will do follows from the names alone. Whichever single member ends,
each partition stays where it is or goes to its first heir: with one copy there, none moves to a
member that has none.
"""

from collections.abc import Iterable, Sequence


def range_owner(members: int, partitions: int, number: int) -> int:
    """The index of the member, in the order of names, that `range` gives a partition to."""
    share, rest = divmod(partitions, members)
    larger = rest * (share + 1)
    if number < larger:
        return number // (share + 1)
    return rest + (number - larger) // share


def heirs(names: Sequence[str], partitions: int, number: int, count: int) -> list[str]:
    """Who would own a partition, were its owner gone, then were that one gone too: `count` names.

    `names` are in order. Fewer where there are not so many members.
    """
    left = list(names)
    found: list[str] = []
    while len(left) > 1 and len(found) < count:
        del left[range_owner(len(left), partitions, number)]
        found.append(left[range_owner(len(left), partitions, number)])
    return found


def inherited(members: Iterable[str], partitions: int, name: str, count: int) -> list[int]:
    """The partitions of which `name` is one of the first `count` heirs."""
    names = sorted(members, key=str.encode)
    return [
        number for number in range(partitions) if name in heirs(names, partitions, number, count)
    ]
