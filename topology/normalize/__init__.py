"""Normalizers: from a format's fields to OCSF columns. One file a product or protocol."""

from collections.abc import Mapping
from typing import Final

from topology.normalize import qumulo, syslog, text
from topology.normalize.normalizer import Normalizer

NORMALIZERS: Final[Mapping[str, Normalizer]] = {
    normalizer.name: normalizer
    for normalizer in (
        qumulo.NORMALIZER,
        syslog.NORMALIZER,
        text.NORMALIZER,
    )
}
