"""What the experiments' senders send: Qumulo lines of the present that trip the chaos rules.

Pure and seeded. Every line is unique by its file id, so that a gap or a repetition in front of
Kafka can be counted.
"""

import time
from random import Random

USERS = 60
"""Shared by all connections, so that groups have matches from several raw partitions."""
MALFORMED_EVERY = 400
LATE_S = 1.0
HEAD = "<14>1 {stamp} nas-{number} qumulo - - - "
BODY = '10.0.{number}.{host},"{user}",smb2,{operation},{status},{uid},"{path}","{target}"'
OPERATIONS = (
    (0.72, "fs_read_data", "ok"),
    (0.84, "fs_delete", "ok"),
    (0.92, "fs_rename", "ok"),
    (0.97, "fs_open", "fs_access_denied_error"),
    (0.998, "fs_write_data", "ok"),
    (1.0, "fs_tree_delete", "ok"),
)


class Lines:
    """The lines of one connection, numbered from 0."""

    def __init__(self, seed: int, connection: int, *, tree: str = "data") -> None:
        self._random = Random(f"{seed}/{connection}")
        self._connection = connection
        self._tree = tree
        self.count = 0

    def next(self, now: float) -> bytes:
        """One line with an event time at or a little before `now` (seconds since the epoch)."""
        random, number = self._random, self.count
        self.count += 1
        late = random.uniform(0, LATE_S) if random.random() < 0.05 else 0.0
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now - late))
        stamp += f".{int((now - late) % 1 * 1e6):06}Z"
        head = HEAD.format(stamp=stamp, number=self._connection)
        uid = self._connection * 1_000_000_000 + number
        if number % MALFORMED_EVERY == MALFORMED_EVERY // 2:
            return f'{head}10.0.0.1,"nobody, smb2,fs_rea {uid}'.encode()
        pick = random.random()
        operation, status = next((o, s) for upto, o, s in OPERATIONS if pick <= upto)
        # A few users at a time do most of the work, others in turn: bursts, and quiet groups.
        user = random.randrange(USERS)
        if random.random() < 0.5:
            user = (int(now) // 3 * 7 + random.randrange(3)) % USERS
        path = f"/{self._tree}/{random.randrange(40)}/Entwürfe, {random.randrange(500)}.docx"
        target = f"{path}.{random.randrange(9)}" if operation == "fs_rename" else ""
        body = BODY.format(
            number=self._connection,
            host=random.randrange(1, 250),
            user=f"AD\\u{user}",
            operation=operation,
            status=status,
            uid=uid,
            path=path,
            target=target,
        )
        return (head + body).encode()
