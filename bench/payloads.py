"""Lines of the formats that normalizers read, as the products write them: format and options, and
what gives line n. A part of the lines has what is not usual: escapes, quotes, stray words."""

from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

import orjson


class Payload(NamedTuple):
    """Lines of one format. `whole`: what several parsers read, one after the other."""

    format: str
    line: Callable[[int], str]
    options: Mapping[str, str] = {}
    whole: bool = False


USERS = 300
BUILT = (
    r"^Built (?P<direction>[a-z]+) (?P<proto>[A-Z]+) connection (?P<id>[0-9]+) for "
    r"(?P<to>[^:]+):(?P<dst>[^/]+)/(?P<dpt>[0-9]+) .* to [^:]+:(?P<src>[^/]+)/"
)
SUBJECT = "SubjectUserSid SubjectUserName SubjectDomainName SubjectLogonId"
LOGON = (
    f"{SUBJECT} TargetUserSid TargetUserName TargetDomainName TargetLogonId LogonType "
    "LogonProcessName AuthenticationPackageName WorkstationName LogonGuid TransmittedServices "
    "LmPackageName KeyLength ProcessId ProcessName IpAddress IpPort ImpersonationLevel"
)
PROCESS = f"{SUBJECT} NewProcessId NewProcessName TokenElevationType ProcessId CommandLine"
ACCESS = (
    f"{SUBJECT} ObjectServer ObjectType ObjectName HandleId AccessList AccessMask ProcessId "
    "ProcessName ResourceAttributes"
)
WINDOWS = ((4624, LOGON), (4688, PROCESS), (4672, f"{SUBJECT} PrivilegeList"), (4663, ACCESS))
"""Event ids and the names of their data."""
ODD = 50
"""One line in so many is not as usual."""


def payloads(random: Random) -> dict[str, Payload]:
    """By name."""

    def address() -> str:
        return f"10.{random.randrange(8)}.{random.randrange(256)}.{random.randrange(256)}"

    def user() -> str:
        return f"user{random.randrange(USERS)}"

    def clock(n: int) -> str:
        return f"{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}"

    def cef(n: int) -> str:
        message = r"size\=12 \| C:\\temp" if n % ODD == 0 else "Connection closed by peer"
        return (
            f"CEF:0|Trend Micro|Deep Security Agent|20.0.1|{n % 400}|Unauthorized access|"
            f"{n % 10}|cn1={n} cn1Label=Host ID dvchost=host{n % 40} src={address()} "
            f"dst={address()} spt={n % 65536} dpt=443 proto=TCP act=Reset cs1=Rule {n % 90} "
            f"cs1Label=Rule name cs2=0x{n % 64:02x} cs2Label=TCP flags in={n % 1500} "
            f"suser={user()} request=https://portal/{n}?id\\={n % 7} msg={message}"
        )

    def leef(n: int) -> str:
        return "\t".join(
            [
                f"LEEF:1.0|Microsoft|MSExchange|4.0 SP1|{n % 900}|devTime=Jan 27 2026 {clock(n)}",
                "devTimeFormat=MMM dd yyyy HH:mm:ss",
                f"src={address()}\tdst={address()}\tsrcPort={n % 65536}\tdstPort=443\tproto=TCP",
                f"sev={n % 10}\tcat=anomaly\tusrName={user()}\tpolicy=Rule {n % 90}",
                f"url=https://portal/{n}?id={n % 7}\tbytesIn={n % 1500}\tbytesOut={n % 3000}",
            ]
        )

    def key_value(n: int) -> str:
        message = r'"a \"quoted\" name"' if n % ODD == 0 else '"DNS query"'
        return (
            f'date=2026-01-27 time={clock(n)} devname="FGT-{n % 3}" devid="FG100FTK19{n % 90:06}" '
            f'logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" '
            f"srcip={address()} srcport={n % 65536} dstip={address()} dstport=53 proto=17 "
            f'action="accept" policyid={n % 60} service="DNS" user="{user()}" sentbyte={n % 900} '
            f"rcvdbyte={n % 1500} msg={message}"
        )

    def key_value_plain(n: int) -> str:
        return (
            f"type=SYSCALL msg=audit(1769523143.{n % 1000:03}:{n}): arch=c000003e syscall=59 "
            f"success=yes exit=0 a0=55{n:010x} ppid={n % 30000} pid={n % 32768} auid=1000 uid=0 "
            f"gid=0 euid=0 tty=pts0 ses={n % 70} comm=sudo exe=/usr/bin/sudo key=exec"
        )

    def csv(n: int) -> str:
        path = f"/share/{n % 700}/a, b" if n % 3 else f'/share/{n % 700}/""x""'
        return (
            f"2026-01-27T{clock(n)}Z,node-{n % 4},{address()},{user()},smb2,fs_read_data,ok,{n},"
            f'"{path}","",{n % 900},{n % 1500}'
        )

    def csv_plain(n: int) -> str:
        return (
            f"1,2026/01/27 {clock(n)},0079510{n % 90:05},TRAFFIC,end,2049,{address()},{address()},"
            f"0.0.0.0,0.0.0.0,rule {n % 90},{user()},,dns,vsys1,trust,untrust,ae1,ae2,default,"
            f"{n},1,{n % 65536},53,0,0,0x19,udp,allow,{n % 900},{n % 400},{n % 500},2"
        )

    def asa(n: int) -> str:
        return (
            f"Built outbound TCP connection {n} for outside:{address()}/443 ({address()}/443) to "
            f"inside:{address()}/{n % 65536} ({address()}/{n % 65536})"
        )

    def event_xml(n: int) -> str:
        """4624 with its 27 data, 4688 with a command line, and 4663, as Windows renders them."""
        number, listed = WINDOWS[n % len(WINDOWS)]
        names = listed.split()
        command = (
            "cmd /c &quot;dir &gt; x&quot;" if n % ODD == 0 else f"C:\\Windows\\app{n % 90}.exe"
        )
        data = {
            **dict.fromkeys(names, "-"),
            "SubjectUserSid": f"S-1-5-21-397-{n % 500}",
            "SubjectUserName": user(),
            "TargetUserName": user(),
            "IpAddress": address(),
            "NewProcessName": command,
            "ObjectName": f"C:\\share\\{n % 900}.docx",
            "PrivilegeList": "SeSecurityPrivilege\n\t\t\tSeBackupPrivilege",
        }
        rendered = "".join(f"<Data Name='{name}'>{data[name]}</Data>" for name in names)
        return (
            "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
            "<Provider Name='Microsoft-Windows-Security-Auditing' "
            "Guid='{54849625-5478-4994-a5ba-3e3b0328c30d}'/>"
            f"<EventID>{number}</EventID><Version>2</Version><Level>0</Level><Task>12544</Task>"
            "<Opcode>0</Opcode><Keywords>0x8020000000000000</Keywords>"
            f"<TimeCreated SystemTime='2026-01-27T{clock(n)}.{n % 10**7:07}Z'/>"
            f"<EventRecordID>{n}</EventRecordID><Correlation/><Execution ProcessID='{n % 900}' "
            f"ThreadID='{n % 5000}'/><Channel>Security</Channel><Computer>dc-{n % 9}.corp.example"
            f"</Computer><Security/></System><EventData>{rendered}</EventData></Event>"
        )

    def event_json(n: int) -> str:
        """As Winlogbeat writes them."""
        number, listed = WINDOWS[n % len(WINDOWS)]
        data = dict.fromkeys(listed.split(), "-") | {"SubjectUserName": user()}
        event = {
            "@timestamp": f"2026-01-27T{clock(n)}.{n % 1000:03}Z",
            "event": {"code": str(number), "provider": "Microsoft-Windows-Security-Auditing"},
            "host": {"name": f"dc-{n % 9}"},
            "winlog": {
                "provider_name": "Microsoft-Windows-Security-Auditing",
                "event_id": str(number),
                "record_id": n,
                "channel": "Security",
                "computer_name": f"dc-{n % 9}.corp.example",
                "process": {"pid": n % 900, "thread": {"id": n % 5000}},
                "keywords": ["Audit Success"],
                "event_data": data,
            },
        }
        return orjson.dumps(event).decode()

    def cloudwatch(n: int) -> str:
        record = {
            "ip_address": address(),
            "user": f"AD\\{user()}",
            "protocol": "smb2",
            "operation": "fs_read_data",
            "result": "ok",
            "object_id": str(n),
            "path_1": f"/share/{n % 700}/a",
            "path_2": "",
        }
        event = {"timestamp": 1_769_523_143_000 + n, "message": orjson.dumps(record).decode()}
        return orjson.dumps(event).decode()

    def text(n: int) -> str:
        return f"Accepted publickey for {user()} from {address()} port {n % 65536} ssh2"

    def rfc5424(n: int) -> str:
        return (
            f"<86>1 2026-01-27T{clock(n)}.{n % 10**6:06}Z host{n % 40} sshd {n % 900} - - {text(n)}"
        )

    def rfc3164(n: int) -> str:
        blank = "  " if n % ODD == 0 else " "
        return f"<86>Jan 27 {clock(n)}{blank}host{n % 40} sshd[{n % 900}]: {text(n)}"

    def tsv(n: int) -> str:
        return csv_plain(n).replace(",", "\t")

    def qumulo(body: str, n: int) -> str:
        return f"<14>1 2026-01-27T{clock(n)}.{n % 1000:03}Z nas-{n % 4} qumulo - - - {body}"

    def qumulo_csv(n: int) -> str:
        path = f'/share/{n % 700}/""a""' if n % ODD == 0 else f"/share/{n % 700}/a, b.docx"
        return qumulo(f'{address()},"AD\\{user()}",smb2,fs_read_data,ok,{n},"{path}",""', n)

    def qumulo_json(n: int) -> str:
        record = {
            "user_id": {"name": f"AD\\{user()}", "sid": f"S-1-5-21-{n % 300}", "auth_id": "500"},
            "user_ip": address(),
            "protocol": "smb2",
            "operation": "fs_read_data",
            "status": "ok",
            "details": {"path": f"/share/{n % 700}/a.docx", "file_id": str(n), "size": n % 9000},
        }
        return qumulo(orjson.dumps(record).decode(), n)

    kinds = (rfc5424, rfc3164, cef, key_value, event_json)

    return {
        "RFC 5424": Payload("rfc5424", rfc5424),
        "RFC 3164": Payload("rfc3164", rfc3164),
        "Qumulo, CSV": Payload("qumulo", qumulo_csv, whole=True),
        "Qumulo, JSON": Payload("qumulo", qumulo_json, whole=True),
        "auto, five kinds in turn": Payload("auto", lambda n: kinds[n % 5](n), whole=True),
        "TSV, 33 values": Payload("tsv", tsv),
        "CEF, 18 keys": Payload("cef", cef),
        "LEEF, 15 attributes": Payload("leef", leef),
        "key-value, quoted, 21 names": Payload("kv", key_value),
        "key-value, bare, 18 names": Payload("kv", key_value_plain),
        "CSV, 12 values": Payload("csv", csv),
        "CSV, plain, 33 values": Payload("csv", csv_plain),
        "CSV, 12 names": Payload("csv", csv, {"columns": "a,b,c,d,e,f,g,h,i,j,k,l"}),
        "XML (Windows events), 40 to 60 names": Payload("xml", event_xml),
        "Windows events, XML": Payload("windows", event_xml),
        "Windows events, JSON": Payload("windows", event_json),
        "JSON, nested": Payload("json", event_json),
        "Qumulo from CloudWatch": Payload("qumulo-cloudwatch", cloudwatch),
        "regular expression, 7 groups": Payload("regexp", asa, {"pattern": BUILT}),
    }
