"""What happens on the benign day: crowds that grow with its size, and single acts, each once."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from app.demo.bodies import Record
from bench import benign_lines as lines
from bench.benign_files import (
    HOUR,
    MINUTE,
    Desk,
    build,
    crowd,
    denied,
    renamed_sources,
    sweep,
    unpacked,
    visit,
)

if TYPE_CHECKING:
    from bench.benign_day import Day

SITES: Final = ("192.0.2.10", "192.0.2.20", "198.51.100.77", "203.0.113.80", "203.0.113.81")
HOSTS: Final = ("web1", "web2", "db1", "mail1", "git1")
COMMANDS: Final = (
    "/usr/bin/systemctl restart nginx", "/usr/bin/apt-get update", "/usr/bin/journalctl -u sshd",
    "/usr/bin/less /var/log/syslog", "/bin/bash", "/usr/sbin/visudo -c",
)  # fmt: skip


def crowds(day: "Day") -> None:
    """Services at night and all day, logons, connections: as many as the day is large."""
    share = day.scale
    at = day.at
    backup = day.service("svc-backup", "10.8.2.10")
    sweep(backup, day, at("01:00"), at("04:30"), int(85_000 * share), read=True)
    indexer = day.service("svc-index", "10.8.2.11")
    sweep(indexer, day, at("00:00"), at("00:00") + 24 * HOUR - 1, int(40_000 * share), read=False)
    scanner = day.service("svc-antivirus", "10.8.2.12")
    sweep(scanner, day, at("20:00"), at("23:00"), int(30_000 * share), read=True)
    builder = day.service("2001", "10.8.3.7", "nfs3")
    for _ in range(max(2, int(100 * share))):
        build(builder, day, day.moment(), 120)
    _logons(day, int(70_000 * share))
    _connections(day, int(130_000 * share))
    for _ in range(int(15_000 * share)):
        moment = day.start_ms + day.random.randrange(24 * HOUR)
        text = "Accepted publickey for monitor from 10.8.2.20 port 40022 ssh2: ED25519 SHA256:x"
        day.add("sshd", moment, lines.sshd(moment, day.random.choice(HOSTS), text))
    for _ in range(int(5_000 * share)):
        moment, admin = day.moment(), day.random.choice(day.admins)
        command, host = day.random.choice(COMMANDS), day.random.choice(HOSTS)
        name = admin.person.name or ""
        day.add("sudo", moment, lines.sudo(moment, host, name, command))


def _logon(day: "Day", ms: int, desk: Desk, address: str | None = None) -> None:
    name, address = desk.person.name or desk.person.user, address or desk.person.ip
    data = {"TargetUserName": name, "LogonType": "3", "IpAddress": address}
    day.add("windows", ms, lines.windows(ms, 4624, "dc1", **data))


def _failure(day: "Day", ms: int, name: str, address: str) -> None:
    data = {"TargetUserName": name, "LogonType": "3", "IpAddress": address}
    codes = {"Status": "0xc000006d", "SubStatus": "0xc000006a"}
    day.add("windows", ms, lines.windows(ms, 4625, "dc1", **data, **codes))


def _logons(day: "Day", count: int) -> None:
    """Computers and people, to the domain and to the file server."""
    random = day.random
    for number in range(count):
        moment = day.moment()
        desk = random.choice(day.desks)
        if number % 3 == 0:
            data = {"TargetUserName": f"WS{random.randrange(300)}$", "LogonType": "3"}
            day.add("windows", moment, lines.windows(moment, 4624, "dc1", **data))
        else:
            _logon(day, moment, desk)
        later = moment + random.randrange(HOUR)
        data = {"TargetUserName": desk.person.name or "", "LogonType": "3"}
        day.add("windows", later, lines.windows(later, 4634, "dc1", **data))
        if number % 4 == 0:
            day.file(moment + 500, Record(desk.person, desk.protocol, "smb_login"))
            share = Record(desk.person, desk.protocol, "share_connect", "ok", "", r"\\nas\projects")
            day.file(moment + 600, share)


def _connections(day: "Day", count: int) -> None:
    """People's to the Internet and between networks; one in twelve is refused."""
    random = day.random
    for number in range(count):
        moment = day.moment()
        desk = random.choice(day.desks)
        port, site = random.choice((443, 443, 443, 80, 993)), random.choice(SITES)
        if number % 12 == 0:  # what the Internet tries all day, from many addresses
            moment = day.start_ms + random.randrange(24 * HOUR)
            source = f"198.18.{random.randrange(256)}.{random.randrange(256)}"
            port = random.choice((22, 23, 80, 445, 3389, 8080))
            target = f"198.51.100.{random.randrange(256)}"
            day.add("asa", moment, lines.asa_denied(moment, "outside", source, target, port))
        elif number % 12 == 1:  # a program of a computer that is not allowed out
            target = f"192.0.2.{random.randrange(4)}"
            text = lines.fortigate_traffic(moment, desk.person.ip, target, 123, "deny")
            day.add("fortigate", moment, text)
        elif number % 2:
            text = lines.asa_built(moment, desk.person.ip, site, port, number)
            day.add("asa", moment, text)
        else:
            text = lines.fortigate_traffic(moment, desk.person.ip, "10.9.0.7", port, "close")
            day.add("fortigate", moment, text)


def acts(day: "Day") -> None:
    """Each is an everyday thing that looks like something else."""
    random, at = day.random, day.at
    someone = partial(random.choice, day.desks)
    for clock, count in (("09:40", 1300), ("11:15", 1700), ("15:05", 1200)):
        crowd(someone(), day, at(clock), "fs_read_data", count, 7 * MINUTE)  # a folder is copied
    for clock, count in (("08:50", 60), ("10:20", 240), ("13:40", 400), ("16:30", 130)):
        crowd(someone(), day, at(clock), "fs_delete", count, 25_000)  # a folder is emptied
    for clock in ("10:45", "14:10"):
        crowd(someone(), day, at(clock), "fs_rename", 220, 20_000)  # the pictures of a shoot
    renamed_sources(someone(), day, at("11:50"))
    unpacked(someone(), day, at("14:30"))
    denied(someone(), day, at("09:20"), 18, 2_000)
    denied(day.service("svc-index", "10.8.2.11"), day, at("05:00"), 80, 2_000)
    _mistyped(day)
    _stuck(day)
    for _ in range(12):  # a meeting room's computer, or a new one
        moment, usual = day.moment(), someone()
        desk = Desk(day, replace(usual.person, ip=f"10.27.9.{random.randrange(250)}"))
        _logon(day, moment, desk)
        day.file(moment + 900, Record(desk.person, desk.protocol, "smb_login"))
        for number in range(6):
            visit(desk, day, moment + 5_000 + number * 4 * MINUTE)
    for scanner in range(5):  # the Internet looks closer at one address
        source, begin = f"198.19.0.{scanner}", day.moment()
        for port in range(40):
            moment = begin + port * 2_000
            day.add(
                "asa",
                moment,
                lines.asa_denied(moment, "outside", source, "198.51.100.9", 7_000 + port),
            )
    for number in range(200):  # the inventory's scanner is not allowed into one network
        moment = at("22:10") + number * 2_000
        text = lines.fortigate_traffic(moment, "10.8.2.30", f"10.9.4.{number}", 445, "deny")
        day.add("fortigate", moment, text)


def _mistyped(day: "Day") -> None:
    """People who mistype, most of them in the morning, and get it right then."""
    random = day.random
    for desk in random.sample(day.desks, 70):
        moment, name = day.at("07:20") + random.randrange(3 * HOUR), desk.person.name or "x"
        address = "10.8.4.10" if random.random() < 0.2 else desk.person.ip  # a terminal server
        for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5))):
            _failure(day, moment, name, address)
            moment += random.randrange(4_000, 20_000)
        _logon(day, moment, desk, address)
    for admin in day.admins:
        moment, name, address = day.moment(), admin.person.name or "", admin.person.ip
        for number in range(3):
            later = moment + number * 6_000
            granted = number == 2
            day.add("asa", later, lines.asa_logon(later, address, name, permitted=granted))
            text = lines.fortigate_logon(later, address, name, permitted=granted)
            day.add("fortigate", later, text)
            outcome = "Accepted" if granted else "Failed"
            said = f"{outcome} password for {name} from {address} port 40023 ssh2"
            day.add("sshd", later, lines.sshd(later, "git1", said))
        why = "3 incorrect password attempts"
        day.add("sudo", moment, lines.sudo(moment, "git1", name, "/bin/bash", why))
        day.add("sudo", moment + 9_000, lines.sudo(moment + 9_000, "git1", name, "/bin/bash"))
    for name in ("lena.lang", "omar.huber"):
        moment = day.moment()
        refused = lines.sudo(moment, "web1", name, "/usr/bin/less x", "user NOT in sudoers")
        day.add("sudo", moment, refused)


def _stuck(day: "Day") -> None:
    """Jobs that go on with an old password: one until it is corrected, one until the morning."""
    report = day.service("svc-report", "10.8.2.40")
    for number in range(450):
        _failure(day, day.at("09:10") + number * 20_000, "svc-report", "10.8.2.40")
    _logon(day, day.at("11:42"), report)
    for number in range(180):
        moment = day.at("02:00") + number * MINUTE
        text = "Failed password for svc-sync from 10.8.2.41 port 40022 ssh2"
        day.add("sshd", moment, lines.sshd(moment, "db1", text))
    for number in range(121):  # software that saves the firewalls' configurations
        moment, granted = day.at("06:00") + number * MINUTE, number == 120
        for source, logon in (("asa", lines.asa_logon), ("fortigate", lines.fortigate_logon)):
            day.add(source, moment, logon(moment, "10.8.2.42", "backup", permitted=granted))


def admins_at_work(day: "Day") -> None:
    """Accounts, groups, shares and permissions, as planned."""
    admin, at = day.admins[0], day.at
    for clock, operation, what in (
        ("10:05", "auth_assign_role", "Observers"),
        ("10:10", "auth_create_user", "scanner"),
        ("10:12", "auth_create_access_token", "monitoring"),
        ("11:00", "smb_create_share", "shoot-2026"),
        ("11:05", "nfs_modify_export", "/projects"),
        ("15:00", "smb_modify_share", "media"),
        ("15:30", "snapshot_create_policy", "daily"),
    ):
        day.file(at(clock), Record(admin.person, "api", operation, "ok", "", what))
    for number in range(150):  # a project gets another owner
        moment = at("14:00") + number * 500
        where = f"/projects/handed over/{number}.dwg"
        record = Record(admin.person, "smb3", "fs_write_metadata", "ok", str(number), where)
        day.add("nas-ber", moment, lines.owner_changed(moment, "nas-ber-1", record))
    for clock, name, sid in (("09:30", "nina.vogt7", "1201"), ("13:00", "adm-nina", "1202")):
        data = {"TargetUserName": name, "TargetSid": f"S-1-5-21-7-{sid}"}
        day.add("windows", at(clock), lines.windows(at(clock), 4720, "dc1", **data))
    for clock, sid, group in (
        ("09:35", "1201", "S-1-5-21-7-1300"),
        ("15:00", "1202", "S-1-5-21-7-512"),
    ):
        data = {"MemberSid": f"S-1-5-21-7-{sid}", "TargetSid": group, "MemberName": "-"}
        day.add("windows", at(clock), lines.windows(at(clock), 4728, "dc1", **data))
    nina = day.service("nina.vogt7", "10.27.3.3", known=False)
    day.file(at("10:10"), Record(nina.person, "smb3", "smb_login"))
