"""Whatever happens, and in whatever order: each record leads to one output and one change."""

import tempfile
from collections import deque
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.errors import EngineError
from app.runtime.parcel import Parcel
from tests.runtime.engine.rig import A, B, Copy, engine_on
from tests.runtime.fakes import FakeKafka, abortable, fatal, retriable

OWNED = st.sampled_from([[A], [B], [A, B]])
REFUSED = KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 1), st.integers(1, 4)),
    st.tuples(st.just("turn"), st.integers(1, 3)),
    st.tuples(
        st.just("fault"),
        st.sampled_from(["offsets", "commit", "produce"]),
        st.sampled_from([abortable(), retriable(), fatal()]),
    ),
    st.tuples(st.just("fault"), st.just("produce"), st.just(REFUSED)),
    st.tuples(st.sampled_from(["revoke", "lost"]), OWNED),
    st.tuples(st.sampled_from(["replace", "post", "stop", "kill"])),
)


class Worker:
    """An engine that is started anew whenever it ends."""

    def __init__(self, kafka: FakeKafka, state: Path) -> None:
        self.kafka = kafka
        self.state = state
        self.owned = [A, B]
        self.sent: list[bytes] = []
        self.answers: dict[bytes, list[BaseException | None]] = {}
        self.done: list[Any] = []
        self.start()

    def start(self) -> None:
        """A new process."""
        self.owned = [A, B]
        self.kafka.events = deque([("assign", self.owned)])
        if self.kafka.producers:
            self.kafka.producers[-1].forget()  # a new one of the same name ends what is open
        self.engine, _ = engine_on(self.kafka, state=self.state)
        self.done = []

    def turn(self) -> None:
        """One cycle."""
        try:
            self.done = self.engine.turn(self.done)
            for delivery in self.done:
                delivery.work()
        except EngineError as error:
            self.engine.fail(error)
            self.start()

    def do(self, name: str, *arguments: Any) -> None:
        """A step."""
        if name == "turn":
            for _ in range(arguments[0]):
                self.turn()
        elif name == "fault":
            self.kafka.faults[arguments[0]].append(arguments[1])
        elif name in ("revoke", "lost"):
            self.kafka.events += [(name, self.owned), ("assign", arguments[0])]
            self.owned = arguments[0]
        elif name == "replace":
            self.engine.replace(Copy())
        elif name == "post":
            value = b"sent %d" % len(self.answers)
            answers = self.answers[value] = []
            self.engine.post(Parcel("sent", value, done=answers.append))
        elif name == "stop":
            try:
                self.engine.stop(self.done)
            except EngineError as error:
                self.engine.fail(error)
            self.start()
        elif name == "kill":
            self.start()


@given(st.lists(STEPS, max_size=40))
def test_each_record_counts_once(steps: list[tuple[Any, ...]]) -> None:
    """Aborts, refusals, rebalances, other rules, restarts and kills, while records come in and
    others are sent beside them."""
    kafka = FakeKafka()
    written: dict[int, list[bytes]] = {0: [], 1: []}
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(kafka, Path(folder))
        for name, *arguments in steps:
            if name == "write":
                number, count = arguments
                first = len(written[number])
                values = [b"%d-%d" % (number, first + each) for each in range(count)]
                written[number] += values
                kafka.write("in", number, *values)
            else:
                worker.do(name, *arguments)
        kafka.faults.clear()
        worker.do("revoke", [A, B])
        for _ in range(1_000):
            worker.turn()
            behind = [at for at in (A, B) if kafka.offsets.get(at, (0, ""))[0] < kafka.end(at)]
            if not behind and not kafka.events and not worker.done:
                break
        worker.engine.stop(worker.done)
    out = kafka.values("out")
    for number, values in written.items():
        assert [each for each in out if each in values] == values
        counts = {key: value for _, key, value in kafka.log["seen-changelog", number]}
        assert counts == dict.fromkeys(values, b"1")
    assert len(out) == sum(map(len, written.values()))
    sent = kafka.values("sent")
    assert len(sent) == len(set(sent))
    for value, answers in worker.answers.items():
        assert len(answers) <= 1
        assert value in sent or answers != [None]
