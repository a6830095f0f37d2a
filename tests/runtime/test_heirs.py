"""Copies stand where `range` will put the partitions."""

from hypothesis import given
from hypothesis import strategies as st

from app.runtime.heirs import heirs, inherited, range_owner

NAMES = st.lists(st.text("abc-0123456789", min_size=1), unique=True, min_size=2, max_size=9)


def owners(names: list[str], partitions: int) -> list[str]:
    """What librdkafka's range assignor makes of members in order of their names."""
    names = sorted(names)
    share, rest = divmod(partitions, len(names))
    found = []
    for index, name in enumerate(names):
        found += [name] * (share + (index < rest))
    return found


@given(NAMES, st.integers(1, 50))
def test_range(names: list[str], partitions: int) -> None:
    """The owner by formula is the owner by dealing them out."""
    ordered = sorted(names)
    formula = [ordered[range_owner(len(names), partitions, n)] for n in range(partitions)]
    assert formula == owners(names, partitions)


@given(NAMES, st.integers(1, 50))
def test_one_copy_covers_the_end_of_any_member(names: list[str], partitions: int) -> None:
    """Whoever ends, each partition stays or goes to the member that has its one copy."""
    before = owners(names, partitions)
    copies = {name: inherited(names, partitions, name, 1) for name in names}
    for gone in names:
        after = owners([name for name in names if name != gone], partitions)
        for number, name in enumerate(after):
            assert name == before[number] or number in copies[name]


@given(NAMES, st.integers(1, 50), st.integers(0, 10))
def test_as_many_copies_as_wanted(names: list[str], partitions: int, count: int) -> None:
    """Each partition has `count` copies, or one with every other member; its owner has none."""
    own = owners(names, partitions)
    for number in range(partitions):
        found = heirs(sorted(names), partitions, number, count)
        assert len(set(found)) == len(found) == min(count, len(names) - 1)
        assert own[number] not in found


def test_a_member_alone_copies_nothing() -> None:
    """Nor does one that the group does not know, or one of a group without partitions."""
    assert inherited(["a"], 4, "a", 2) == []
    assert inherited(["a", "b"], 4, "c", 2) == []
    assert inherited(["a", "b"], 0, "a", 2) == []
