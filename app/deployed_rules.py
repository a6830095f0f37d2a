"""What a deployment's rules are to rules that are named alone: bases of their correlations."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.config import Config
from app.rules import BESIDE, FIELD_MAP, placeholders_of, read_files, rule_files

if TYPE_CHECKING:
    from topology.match.bases import Elsewhere
    from topology.match.documents import Problem


def deployed(config: Config, named: Sequence[Path], *, maps: bool) -> "Elsewhere":
    """The rules of northbound.yaml, those of tenants too, but for the files that are `named`.

    `maps`: with the field maps beside them. Raises RuleErrors for field maps and placeholders.
    """
    from topology.match.bases import Elsewhere  # noqa: PLC0415  # as in load_rules
    from topology.match.compile import read_field_map  # noqa: PLC0415  # as in load_rules

    taken = {file.resolve() for file in rule_files(named)}
    places = [(None, config.rules), *((name, each.rules) for name, each in config.tenants.items())]
    owners: dict[Path, str | None] = {}
    for tenant, paths in places:
        for file in rule_files([config.path(path) for path in paths]):
            if file.resolve() not in taken:
                owners.setdefault(file, tenant)
    problems: list[Problem] = []
    texts = [(str(file), text) for file, text in read_files(owners, problems)]
    fields = [item for item in texts if maps and Path(item[0]).name == FIELD_MAP]
    return Elsewhere(
        documents=[item for item in texts if Path(item[0]).name not in BESIDE],
        field_maps=[read_field_map(path, text) for path, text in fields],
        placeholders=placeholders_of(texts),
        owners={str(file): tenant for file, tenant in owners.items() if tenant is not None},
        problems=problems,
    )
