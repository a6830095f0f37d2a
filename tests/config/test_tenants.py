"""What a tenant chooses of its feeds: every mistake with its line, before anything starts."""

from pathlib import Path

import pytest

from app.checking import mistakes
from app.config import ConfigError, load
from app.planning import build_plan
from topology.plan import TenantPlan
from topology.topics import Names, declare

FILE = """\
version: 1
kafka: {{embedded: {{}}}}
sources: {{qumulo: {{format: qumulo}}}}
tenants:
  acme:
    sources: [qumulo]
{choices}
"""


def tenant(folder: Path, choices: str) -> TenantPlan:
    """The tenant of a configuration with these lines, which begin in line 7."""
    path = folder / "northbound.yaml"
    path.write_text(FILE.format(choices=choices), encoding="utf-8")
    return build_plan(load(path), {}, make_key=True).tenants["acme"]


def test_a_tenant_that_chooses_nothing(tmp_path: Path) -> None:
    """It has no mask, and no key is made for it."""
    assert tenant(tmp_path, "").mask is None
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("choices", "kept"), [("", None), ("    retention: 30d", "2592000000")])
def test_how_long_feeds_are_kept(tmp_path: Path, choices: str, kept: str | None) -> None:
    """As the tenant says; else nothing is declared, and what somebody set stays."""
    tenant(tmp_path, choices)
    config = load(tmp_path / "northbound.yaml")
    found = {
        topic.name: topic.settings().get("retention.ms")
        for topic in declare(Names(), [], config.feeds(), [])
        if topic.tenant == "acme"
    }
    assert found == {"northbound.acme.events": kept, "northbound.acme.alerts": kept}


def test_a_mask(tmp_path: Path) -> None:
    """The same file gives the same hashes at the next start."""
    choices = "    mask:\n      actor.user.name: hash\n      file.*: drop"
    first, again = (tenant(tmp_path, choices).mask for _ in range(2))
    assert first is not None
    assert again is not None
    assert first.hashes(["alice"]) == again.hashes(["alice"])
    assert (tmp_path / "data" / "mask.key").stat().st_mode & 0o777 == 0o600


def test_a_worker_makes_no_key(tmp_path: Path) -> None:
    """On a host of its own it would hash with another one than the others; it says what to do."""
    tenant(tmp_path, "    mask:\n      actor.user.name: hash")
    (tmp_path / "data" / "mask.key").unlink()
    config = load(tmp_path / "northbound.yaml")
    with pytest.raises(ConfigError, match="Every host with workers needs the same one") as caught:
        build_plan(config, {})
    assert f"northbound.yaml:7: tenants.acme.mask: {tmp_path / 'data' / 'mask.key'}" in str(
        caught.value
    )
    assert not (tmp_path / "data" / "mask.key").exists()


@pytest.mark.parametrize(
    ("choices", "line", "key", "told"),
    [
        ("    mask:\n      actor.user.name: blur", 8, "mask.actor.user.name", "saw 'blur'"),
        ("    mask:\n      class_uid: drop", 8, "mask.class_uid", "expected an attribute such as"),
        ("    mask:\n      metadata.uid: hash", 8, "mask.metadata.uid", "expected an attribute"),
        ("    mask:\n      '@user': hash", 8, "mask.@user", "expected an attribute such as"),
        ("    mask:\n      'fil*': hash", 8, "mask.fil*", "expected an attribute such as"),
        ("    mask:\n      unmapped.note: drop", 8, "mask.unmapped.note", "nothing under unmapped"),
        ("    mask:\n      src_endpoint.ip: hash", 8, "mask.src_endpoint.ip", "expected drop"),
        ("    filters: [{name: a}]", 7, "filters[0]", "either keep or drop"),
        (
            "    filters:\n    - name: a\n      drop:\n        x:\n          b|nope: 1",
            11,
            "filters[0].drop.x.b|nope",
            "Unknown modifier",
        ),
        (
            "    filters:\n    - {name: a, keep: {x: {y: 1}}}\n    - {name: a, keep: {x: {y: 1}}}",
            9,
            "filters[1].name",
            "each filter of a tenant its own name",
        ),
        ("    fields: {}", 7, "fields", "expected either keep or leave_out"),
        (
            "    fields: {keep: [a], leave_out: [b]}",
            7,
            "fields",
            "expected either keep or leave_out",
        ),
        ("    fields: {keep: []}", 7, "fields.keep", "at least 1 item"),
        ("    fields:\n      keep:\n      - a\n      - row", 10, "fields.keep[1]", "saw 'row'"),
        ("    fields:\n      keep:\n      - 'a.*.b'", 9, "fields.keep[0]", "saw 'a.*.b'"),
        (
            "    fields:\n      leave_out:\n      - class_uid",
            9,
            "fields.leave_out[0]",
            "saw 'class_uid', which events need to be valid OCSF",
        ),
        (
            "    key: user\n    mask: {actor.user.name: drop}",
            7,
            "key",
            "saw 'user', but the mask drops actor.user.name",
        ),
        (
            "    mask: {dst_endpoint.*: drop}",
            5,
            "key",
            "saw 'host', but the mask drops dst_endpoint.hostname",
        ),
    ],
)
def test_mistakes(tmp_path: Path, choices: str, line: int, key: str, told: str) -> None:
    """File, line, key, what was seen and what was expected."""
    with pytest.raises(ConfigError) as caught:
        tenant(tmp_path, choices)
    (problem,) = caught.value.problems
    assert f"northbound.yaml:{line}: tenants.acme.{key}: " in problem
    assert told in problem


def test_a_mistake_in_a_file_of_its_own(tmp_path: Path) -> None:
    """It is told with that file and the line in it."""
    (tmp_path / "tenants.d").mkdir()
    own = tmp_path / "tenants.d" / "beta.yaml"
    own.write_text(
        "sources: [qumulo]\nformat: word\nmask:\n  time: drop\nfields: {keep: [row]}\n"
        "filters:\n- name: a\n  drop:\n    x:\n      b|nope: 1\n"
    )
    path = tmp_path / "northbound.yaml"
    path.write_text(FILE.format(choices=""), encoding="utf-8")
    problems = mistakes(path)
    assert [problem.partition(" saw")[0] for problem in problems[:3]] == [
        f"{own}:2: format:",
        f"{own}:4: mask.time:",
        f"{own}:5: fields.keep[0]:",
    ]
    assert problems[3].startswith(f"{own}:10: filters[0].drop.x.b|nope: ")
    assert len(problems) == 4


def test_a_certificate_needs_its_listener(tmp_path: Path) -> None:
    """Tenants that log in by certificate have it on the embedded broker, where it was asked for, or
    on an existing cluster that has one, and in no other region."""
    path = tmp_path / "northbound.yaml"
    choices = "    login: certificate\n    region: eu"
    regions = 'regions: {{eu: {{servers: "eu:9094"}}}}'
    listener = "northbound: {{certificates: {{}}}}"
    external = "certificates: {{servers: 'k:9194'}}"
    cases = {
        f"embedded: {{{{}}}}, {regions}": ["needs the listener", "tenants.acme.region"],
        f"external: {{{{bootstrap: k:9092}}}}, {regions}": [
            "which needs kafka.external.certificates",
            "tenants.acme.region",
        ],
        f"external: {{{{bootstrap: k:9092, {external}}}}}, {regions}": ["tenants.acme.region"],
        f"embedded: {{{{{listener}}}}}, {regions}": ["tenants.acme.region"],
    }
    for kafka, told in cases.items():
        file = FILE.replace("embedded: {{}}", kafka)
        path.write_text(file.format(choices=choices), encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load(path)
        problems = caught.value.problems
        assert len(problems) == len(told), problems
        for problem, text in zip(problems, told, strict=True):
            assert text in problem
    near = "northbound: {{certificates: {{listen: 0.0.0.0:9096}}}}, brokers: 3"
    path.write_text(FILE.replace("{{}}", f"{{{{{near}}}}}", 1).format(choices=""), "utf-8")
    with pytest.raises(ConfigError, match="expected them further apart"):
        load(path)


@pytest.mark.parametrize(
    ("certificates", "key", "told"),
    [
        ("{}", ".servers", "missing"),
        ("{servers: k}", ".servers", "expected host:port"),
        ("{servers: 'k:9194', ca_file: ca.pem}", "", "go together; without both Northbound makes"),
        (
            "{servers: 'k:9194', ca_file: a, key_file: b, issued_by: others}",
            "",
            "needs no ca_file and key_file",
        ),
        ("{servers: 'k:9194', user: acme}", ".user", "saw 'acme', expected {} once"),
    ],
)
def test_mistakes_of_an_existing_listener(
    tmp_path: Path, certificates: str, key: str, told: str
) -> None:
    """Each with its line and what was expected."""
    path = tmp_path / "northbound.yaml"
    external = f"kafka: {{external: {{bootstrap: 'k:9092', certificates: {certificates}}}}}"
    path.write_text(
        f"version: 1\n{external}\nsources: {{qumulo: {{format: qumulo}}}}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:2: kafka.external.certificates{key}: "), problem
    assert told in problem
