"""rsyslog's imkafka, on librdkafka. Keys: rsyslog's documentation of imkafka."""

from app.broker.bundle.access import Access, File
from app.broker.bundle.librdkafka import settings

HEAD = """\
# To be put into /etc/rsyslog.d, readable by rsyslog alone. librdkafka 2.6.1 or newer is needed (see
# README.md). rsyslog works in /, so that the CA is in here and the file's path is a whole one.
module(load="imkafka")
template(name="northbound-{tenant}" type="string" string="%msg%\\n")
ruleset(name="northbound-{tenant}") {{
  action(type="omfile" file="/var/log/northbound-{tenant}.log" template="northbound-{tenant}"
         fileCreateMode="0600")
}}
"""
INPUT = """\
input(type="imkafka" topic="{topic}" consumergroup="{group}" ruleset="northbound-{tenant}"
      broker=[{brokers}]
      confParam=[{parameters}])
"""
NAMED = ("bootstrap.servers", "group.id")
"""What imkafka has parameters of its own for."""


def files(access: Access) -> list[File]:
    chosen = {key: value for key, value in settings(access).items() if key not in NAMED}
    if access.ca is not None:
        del chosen["ssl.ca.location"]
        chosen["ssl.ca.pem"] = access.ca.decode("ascii").replace("\n", "\\n")
    if access.certificate is not None:
        for key, pem in zip(("certificate", "key"), access.certificate, strict=True):
            del chosen[f"ssl.{key}.location"]
            chosen[f"ssl.{key}.pem"] = pem.decode("ascii").replace("\n", "\\n")
    parameters = [f"{key}={value}" for key, value in chosen.items()]
    inputs = [
        INPUT.format(
            topic=topic,
            tenant=access.tenant,
            group=f"{access.group_prefix}rsyslog-{feed}",
            brokers=", ".join(f'"{server}"' for server in access.servers.split(",")),
            parameters=",\n                 ".join(f'"{each}"' for each in parameters),
        )
        for feed, topic in access.topics.items()
    ]
    return [
        File(
            "rsyslog.conf",
            (HEAD.format(tenant=access.tenant) + "".join(inputs)).encode(),
            secret=True,
        )
    ]
