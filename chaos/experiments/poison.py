"""Lines that break a stage: the worker goes on, each ends in dead letters with its reason."""

import socket
import time
from collections import Counter

from app.reading import read
from chaos.experiment import Experiment
from chaos.poisoned import NORMALIZER_MARK, RULE_MARK, poison
from chaos.rig import Rig
from chaos.setup import Setup
from schemas.codec import decode

ROUNDS = 40
HEAD = "<14>1 {stamp} nas-9 qumulo - - - "
LARGE = 1_000_000
"""Bytes of a line that JSON makes six times as long."""


def _lines(number: int) -> dict[str, bytes]:
    """One poisonous line of each kind, by the reason's stage and kind."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.0Z", time.gmtime())
    head = HEAD.format(stamp=stamp)
    body = f'10.0.9.1,"AD\\\\eve",smb2,fs_read_data,ok,{number},"/{{}}/{number}",""'
    kinds = {
        "parse: malformed": head + f'10.0.9.1,"eve, {number}',
        "parse: no syslog": f"\x01\x02 {number}",
        "normalize": head + body.format(NORMALIZER_MARK),
        "match": head + body.format(RULE_MARK),
    }
    lines = {kind: text.encode() for kind, text in kinds.items()}
    lines["parse: not UTF-8"] = head.encode() + b'10.0.9.1,"AD\xff\xfe%d' % number
    if number % 20 == 0:
        lines["encode"] = head.encode() + body.format("\x02" * LARGE).encode()
    return lines


def _poison(rig: Rig) -> None:
    sent: Counter[str] = Counter()
    _, _, port = rig.config.listeners[0].listen.rpartition(":")
    with socket.create_connection(("127.0.0.1", int(port))) as opened:
        for number in range(ROUNDS):
            for kind, line in _lines(number).items():
                opened.sendall(line + b"\n")
                sent[kind.partition(":")[0]] += 1
            nul = HEAD.format(stamp=time.strftime("%Y-%m-%dT%H:%M:%S.0Z", time.gmtime()))
            opened.sendall(
                f'{nul}10.0.9.1,"AD\\\\eve",smb2,fs_open,ok,9,"/a\0b/{number}",""\n'.encode()
            )
            rig.wait(0.0, 0.4)
    rig.flowing()
    rig.measured["poison"] = sum(sent.values())
    rig.measured |= {f"sent_{stage}": count for stage, count in sent.items()}
    rig.claim(
        f"no worker ended: {[each.statuses for each in rig.workers]}",
        ok=not any(each.statuses for each in rig.workers),
    )


def _check(rig: Rig) -> None:
    stages: Counter[str] = Counter()
    empty = 0
    for message in read(rig.client, [rig.config.names.dead_letters]):
        _, letter = decode(message.value() or b"")
        stages[letter["stage"]] += 1
        empty += not letter["reason"]
    rig.measured |= {f"dead_{stage}": count for stage, count in stages.items()}
    rig.claim(f"{empty} dead letters without a reason", ok=not empty)
    for stage in ("normalize", "match", "encode"):
        wanted = rig.measured[f"sent_{stage}"]
        rig.claim(
            f"{stage}: {stages[stage]} of {wanted} in dead letters", ok=stages[stage] == wanted
        )


POISON = Experiment(
    "malformed and huge lines, NUL bytes, a normalizer and a rule that raise",
    Setup(module="chaos.poisoned", around=poison),
    _poison,
    180,
    check=_check,
)
