"""`responses` of northbound.yaml: a mistake is told with its line, and what was expected."""

from pathlib import Path
from typing import get_args

import pytest

from app.config import ConfigError, load
from app.config.responses import ResponseTo
from app.respond.registry import KINDS, all_settings

HEAD = """\
version: 1
kafka: {external: {bootstrap: 'localhost:9092'}}
sources: {any: {format: rfc5424}}
tenants: {acme: {sources: [any]}, siem: {sources: [any], format: cef}, OTHER}
responses:
""".replace("OTHER", "events: {sources: [any], feeds: [events]}")
GOOD = "{name: page, tenant: acme, to: {type: webhook, addresses: ['https://h/in']}}"
URL = "webhook, addresses: ['https://h/in']"
MAIL = "email, addresses: ['h:25'], sender: a@b.c, recipients: [d@e.f]"
TO = "responses[0].to"

MISTAKES = [
    ("tenant: acme", "tenant: acne", "responses[0].tenant", "saw 'acne', expected one of the"),
    ("tenant: acme", "tenant: events", "responses[0].tenant", "tenant events has no alerts"),
    ("tenant: acme", "tenant: siem", "responses[0].tenant", "format cef; expected ocsf-json"),
    ("tenant: acme", "tenant: acme, when: []", "responses[0].when", "at least 1"),
    ("tenant: acme", "tenant: acme, when: [now]", "responses[0].when[0]", "'first', 'final'"),
    ("tenant: acme", "tenant: acme, severity: bad", "responses[0].severity", "'informational'"),
    ("tenant: acme", "tenant: acme, limit: {most: 0}", "responses[0].limit.most", "1 or more"),
    ("tenant: acme", "tenant: acme, tries: 0", "responses[0].tries", "1 or more"),
    ("tenant: acme", "tenant: acme, give_up: no", "responses[0].give_up", "'keep' or 'log'"),
    ("tenant: acme", "tenant: acme, states: [final]", "responses[0]", "unknown key"),
    ("name: page", "name: Page", "responses[0].name", "lower-case"),
    (URL, "fax", TO, "'webhook'"),
    (URL, "webhook", TO, "either addresses or url_file"),
    (URL, f"{URL}, url_file: u", TO, "either addresses or url_file"),
    (URL, f"{URL}, headers: {{idempotency-key: a}}", TO, "set by the response"),
    (URL, f"{URL}, body: {{a: ['{{x']}}", f"{TO}.body", "every brace in a pair"),
    (URL, f"{URL}, body: {{a: {{1: b}}}}", f"{TO}.body", "texts as names"),
    (URL, f"{URL}, token_env: A, token_file: b", TO, "keep one"),
    (URL, f"{URL}, scheme: 'a b'", f"{TO}.scheme", "one word"),
    (URL, MAIL.replace("a@b.c", "Northbound"), f"{TO}.sender", "an e-mail address"),
    (URL, MAIL.replace("d@e.f", "'d@e.f\\r\\nBcc: x@y.z'"), f"{TO}.recipients[0]", "an e-mail"),
    (URL, f"{MAIL}, username: u", TO, "password_file or password_env go together"),
    (URL, f"{MAIL}, username: u, password_env: P, security: none", TO, "a password is sent"),
    (URL, f"{MAIL}, subject: '{{a'", f"{TO}.subject", "every brace in a pair"),
    (URL, "command, argv: []", f"{TO}.argv", "at least 1"),
    (URL, "command, argv: 'a b'", f"{TO}.argv", "list"),
    (URL, "topic, topic: 'a b'", f"{TO}.topic", "expected letters"),
    (URL, "topic, topic: raw.any", f"{TO}.topic", "a topic of Northbound's own"),
    (URL, "topic, topic: northbound.acme.alerts", f"{TO}.topic", "a topic of Northbound's own"),
]


def write(folder: Path, *entries: str, head: str = HEAD) -> Path:
    file = folder / "northbound.yaml"
    file.write_text(head + "".join(f"  - {each}\n" for each in entries), encoding="utf-8")
    return file


def mistakes(file: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        all_settings(load(file))
    return caught.value.problems


@pytest.mark.parametrize(("before", "after", "key", "expected"), MISTAKES)
def test_mistake(before: str, after: str, key: str, expected: str, tmp_path: Path) -> None:
    """One mistake gives one problem with the line, the key and what was expected."""
    assert before in GOOD
    (problem,) = mistakes(write(tmp_path, GOOD.replace(before, after)))
    assert problem.startswith(f"{tmp_path}/northbound.yaml:6: {key}")
    assert expected in problem


def test_names_are_unique(tmp_path: Path) -> None:
    """Two of a name would share offsets, and each lose what the other has; deliveries count."""
    delivery = "{name: page, tenant: acme, to: {type: file, path: a}}"
    head = HEAD.replace("responses:", f"deliveries: [{delivery}]\nresponses:")
    (problem,) = mistakes(write(tmp_path, GOOD, head=head))
    assert "responses[0].name: deliveries[0] is named page too" in problem
    (problem,) = mistakes(write(tmp_path, GOOD, GOOD))
    assert "responses[1].name: responses[0] is named page too" in problem


def test_everything_at_once(tmp_path: Path) -> None:
    """Conditions, rules, programs, secrets and certificates are looked at before anything runs."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "one.yml").write_text("title: One\nname: one\nid: 5f3c\n")
    (tmp_path / "open").write_text("s3cret")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "url").write_text("hooks.example.com/s3cret")
    (tmp_path / "url").chmod(0o600)
    (tmp_path / "text").write_text("")
    entries = [
        "{name: a, tenant: acme, rules: [one, 5f3c, two], to: {type: command, argv: [text]}}",
        "{name: b, tenant: acme, where: {a: {'count|gtt': 1}}, to: {type: webhook, url_file: url}}",
        f"{{name: c, tenant: acme, to: {{type: {URL}, token_file: open}}}}",
        f"{{name: d, tenant: acme, to: {{type: {URL}, tls: {{ca: nowhere.pem}}}}}}",
        f"{{name: e, tenant: acme, to: {{type: {MAIL}, username: u, password_file: gone}}}}",
    ]
    found = mistakes(write(tmp_path, *entries, head=f"rules: [rules]\n{HEAD}"))
    expected = [
        (7, "responses[0].rules[2]: saw 'two', expected the id or name of a rule"),
        (7, "responses[0].to.argv[0]: saw 'text', expected a program that can be run"),
        (8, "responses[1].where.a"),
        (8, f"responses[1].to.url_file: {tmp_path}/url: expected an http:// or https:// URL"),
        (9, f"responses[2].to.token_file: {tmp_path}/open: has the mode 0644"),
        (10, f"responses[3].to: tls.ca {tmp_path}/nowhere.pem: No such file"),
        (11, f"responses[4].to.password_file: {tmp_path}/gone: No such file"),
    ]
    assert len(found) == len(expected)
    for problem, (line, text) in zip(found, expected, strict=True):
        assert problem.startswith(f"{tmp_path}/northbound.yaml:{line}: {text}")
        assert "s3cret" not in problem


def test_secrets_are_nowhere(tmp_path: Path) -> None:
    """What responses are told has no secret in its text."""
    (tmp_path / "s").write_text("https://hooks.example.com/s3cret")
    (tmp_path / "s").chmod(0o600)
    entries = [
        "{name: a, tenant: acme, to: {type: webhook, url_file: s, token_file: s}}",
        f"{{name: b, tenant: acme, to: {{type: {MAIL}, username: u, password_file: s}}}}",
        "{name: c, tenant: acme, to: {type: topic, topic: mine}}",
    ]
    security = "{protocol: SASL_SSL, mechanism: PLAIN, username: u, password_file: s}"
    external = f"{{bootstrap: 'localhost:9092', security: {security}}}"
    head = HEAD.replace("{bootstrap: 'localhost:9092'}", external)
    for each in all_settings(load(write(tmp_path, *entries, head=head))):
        assert "s3cret" not in f"{each!r} {each.make!r} {each.make.args!r}"  # type: ignore[attr-defined]


def test_every_kind_is_registered() -> None:
    """A kind that northbound.yaml takes has its code."""
    assert set(KINDS) == {
        get_args(kind.model_fields["type"].annotation)[0]
        for kind in get_args(get_args(ResponseTo)[0])
    }
