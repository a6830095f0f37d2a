"""The oracle of the experiments sees each kind of mistake; one that sees nothing proves nothing."""

from collections import Counter
from collections.abc import Callable

import pytest

from chaos.books import Expected, Read, Row, Seen, close, without

ALERT = b'{"unmapped":{"state":"final"}}'


def _seen(*records: tuple[int, int]) -> Seen:
    seen = Seen()
    for record in records:
        seen.add(*record)
    return seen


def _books() -> tuple[Read, Expected]:
    """Three raw records: two events and a dead letter, one final alert."""
    read = Read(
        raw={0: 100, 1: 101, 2: 102},
        events={"acme": _seen((0, 10), (1, 11))},
        dead=_seen((2, 102)),
        finals={"acme": Counter([ALERT])},
    )
    expected = Expected(
        events={"acme": {0: 10, 1: 11}}, dead={2: 102}, finals={"acme": Counter([ALERT])}
    )
    return read, expected


def test_true_books_balance() -> None:
    """Each raw record has one outcome, and the alerts are the true ones."""
    row = close(Row("case", 1), *_books())
    assert row.balances
    assert (row.sent, row.events, row.dead_letters, row.filtered) == (3, 2, 1, 0)


def _lost(read: Read) -> None:
    read.events["acme"] = _seen((0, 10))


def _lost_dead_letter(read: Read) -> None:
    read.dead = Seen()


def _doubled(read: Read) -> None:
    read.events["acme"].add(1, 11)


def _two_outcomes(read: Read) -> None:
    read.dead.add(1, 101)


def _doubled_dead_letter(read: Read) -> None:
    read.dead.add(2, 102)


def _invented(read: Read) -> None:
    read.events["acme"].add(9, 19)


def _altered(read: Read) -> None:
    read.events["acme"] = _seen((0, 10), (1, 12))


def _altered_raw_data(read: Read) -> None:
    read.changed.add(1)


def _altered_dead_letter(read: Read) -> None:
    read.dead = _seen((2, 103))


@pytest.mark.parametrize(
    ("spoil", "column"),
    [
        (_lost, "lost"),
        (_lost_dead_letter, "lost"),
        (_doubled, "doubled"),
        (_two_outcomes, "doubled"),
        (_doubled_dead_letter, "doubled"),
        (_invented, "invented"),
        (_altered, "altered"),
        (_altered_raw_data, "altered"),
        (_altered_dead_letter, "altered"),
    ],
)
def test_each_mistake_is_seen(spoil: Callable[[Read], None], column: str) -> None:
    """One record too few, too many, foreign or changed, in any place, and the row says which."""
    read, expected = _books()
    spoil(read)
    row = close(Row("case", 1), read, expected)
    assert getattr(row, column) == 1
    assert not row.balances


@pytest.mark.parametrize("finals", [Counter(), Counter([ALERT] * 2), Counter([ALERT, b"other"])])
def test_alerts_are_compared_byte_for_byte(finals: Counter[bytes]) -> None:
    """One missing, one twice, one that should not be there."""
    read, expected = _books()
    read.finals["acme"] = finals
    assert not close(Row("case", 1), read, expected).balances


def test_what_an_earlier_commit_did_not_say_is_left_out_alone() -> None:
    """An alert twice, or one that differs in what both say, is still seen."""
    today = [b'{"count":3,"evidences":[{"uid":"a"}]}', b'{"count":4,"evidences":[{"uid":"b"}]}']
    earlier = [b'{"count":3}', b'{"count":4,"evidences":[]}']
    wanted = without(Counter(today), ["evidences"])
    assert without(Counter(earlier), ["evidences"]) == wanted
    assert without(Counter([*earlier, today[0]]), ["evidences"]) != wanted
    assert without(Counter([earlier[0], b'{"count":5}']), ["evidences"]) != wanted


def test_an_event_that_only_one_tenant_lacks_is_lost() -> None:
    """Both tenants receive the source; one of them has all of it."""
    read, expected = _books()
    read.events["globex"] = _seen((0, 10))
    expected.events["globex"] = {0: 10, 1: 11}
    row = close(Row("case", 1), read, expected)
    assert row.lost == 1


def test_nothing_sent_proves_nothing() -> None:
    """An empty run does not balance."""
    assert not close(Row("case", 1), Read(), Expected()).balances
