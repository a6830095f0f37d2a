"""Lines of the sources of the benign day, each as its product writes it. Times are in ms, UTC."""

import json
import time
from functools import lru_cache

from app.demo.bodies import Form, Record, body

DOMAIN = "AD"


@lru_cache(maxsize=100_000)
def _formatted(second: int, form: str) -> str:
    return time.strftime(form, time.gmtime(second))


def stamp(ms: int) -> str:
    """RFC 3339 with milliseconds."""
    return f"{_formatted(ms // 1000, '%Y-%m-%dT%H:%M:%S')}.{ms % 1000:03}Z"


def qumulo(ms: int, node: str, record: Record, form: Form, variant: int) -> bytes:
    """A node's audit record."""
    header = f"<14>1 {stamp(ms)} {node} qumulo - - - ".encode()
    return header + body(record, form, variant=variant)


def owner_changed(ms: int, node: str, record: Record) -> bytes:
    """A change of metadata, of which the JSON form says that it was of the owner."""
    person = record.person
    user = {"sid": person.sid, "auth_id": person.auth_id, "name": person.user}
    before, after = {"owner": {"sid": "S-1-5-21-9", "auth_id": "9"}}, {"owner": user}
    text = {
        "user_id": user,
        "user_ip": person.ip,
        "protocol": record.protocol,
        "operation": "fs_write_metadata",
        "status": "ok",
        "details": {
            "path": record.path,
            "file_id": record.object_id,
            "before": before,
            "after": after,
        },
    }
    return f"<14>1 {stamp(ms)} {node} qumulo - - - {json.dumps(text)}".encode()


def windows(ms: int, event: int, computer: str, **data: str) -> bytes:
    """An event of the security log, as Winlogbeat forwards it."""
    found = {"TargetDomainName": DOMAIN, **data}
    written = {"event_id": str(event), "computer_name": computer, "event_data": found}
    return json.dumps({"@timestamp": stamp(ms), "winlog": written}).encode()


def asa(ms: int, level: int, code: int, text: str) -> bytes:
    """A message of the firewall at the edge."""
    moment = _formatted(ms // 1000, "%b %d %Y %H:%M:%S")
    return f"<166>{moment} fw1 : %ASA-{level}-{code}: {text}".encode()


def asa_built(ms: int, source: str, destination: str, port: int, number: int) -> bytes:
    """A connection from inside."""
    text = (
        f"Built outbound TCP connection {number} for outside:{destination}/{port} "
        f"({destination}/{port}) to inside:{source}/{number % 40_000 + 20_000} "
        f"(198.51.100.1/{number % 40_000 + 20_000})"
    )
    return asa(ms, 6, 302013, text)


def asa_denied(ms: int, zone: str, source: str, destination: str, port: int) -> bytes:
    """A connection that the access list refuses."""
    other = "inside" if zone == "outside" else "outside"
    text = (
        f"Deny tcp src {zone}:{source}/40022 dst {other}:{destination}/{port} "
        f'by access-group "{zone}_in" [0x0, 0x0]'
    )
    return asa(ms, 4, 106023, text)


def asa_logon(ms: int, source: str, user: str, *, permitted: bool) -> bytes:
    """An administrator's logon to the firewall itself."""
    outcome = "permitted" if permitted else "denied"
    text = f'Login {outcome} from {source}/51000 to inside:10.8.0.1/ssh for user "{user}"'
    return asa(ms, 6, 605005 if permitted else 605004, text)


def fortigate(ms: int, code: str, kind: str, level: str, rest: str) -> bytes:
    """A message of the firewall between the sites' networks."""
    second = ms // 1000
    return (
        f"<189>date={_formatted(second, '%Y-%m-%d')} time={_formatted(second, '%H:%M:%S')} "
        f'devname="fgt1" devid="FGT60FTK00000001" eventtime={ms}000000 tz="+0000" '
        f'logid="{code}" type="{kind}" subtype="forward" level="{level}" vd="root" {rest}'
    ).encode()


def fortigate_traffic(ms: int, source: str, destination: str, port: int, action: str) -> bytes:
    """A session that was closed or refused."""
    rest = (
        f'srcip={source} srcport={ms % 40_000 + 20_000} srcintf="lan" dstip={destination} '
        f'dstport={port} dstintf="dmz" sessionid={ms % 1_000_000} proto=6 action="{action}" '
        f'policyid={0 if action == "deny" else 5} service="tcp/{port}" sentbyte=512 rcvdbyte=2048'
    )
    level = "warning" if action == "deny" else "notice"
    return fortigate(ms, "0000000013", "traffic", level, rest)


def fortigate_logon(ms: int, source: str, user: str, *, permitted: bool) -> bytes:
    """An administrator's logon to the firewall itself."""
    rest = (
        f'logdesc="Admin login" user="{user}" ui="https({source})" method="https" srcip={source} '
        f'dstip=10.8.0.2 action="login" status="{"success" if permitted else "failed"}"'
    )
    return fortigate(ms, "0100032001" if permitted else "0100032002", "event", "alert", rest)


def sshd(ms: int, host: str, message: str) -> bytes:
    """A line of OpenSSH."""
    return f"<38>1 {stamp(ms)} {host} sshd 812 - - {message}".encode()


def sudo(ms: int, host: str, user: str, command: str, why: str = "") -> bytes:
    """A line of sudo; `why` it was refused."""
    refused = f"{why} ; " if why else ""
    text = f"{user} : {refused}TTY=pts/0 ; PWD=/home/{user} ; USER=root ; COMMAND={command}"
    return f"<85>1 {stamp(ms)} {host} sudo - - - {text}".encode()
