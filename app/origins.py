"""The stems of event uids, from the identity of the cluster and its topics."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.broker import admin
from topology.uid import origin


class Origins(Mapping[str, str]):
    """The stem of event uids for each raw topic, looked up in the cluster when first needed."""

    def __init__(self, client: Mapping[str, Any], topics: Sequence[str]) -> None:
        self._client = client
        self._topics = topics
        self._found: dict[str, str] | None = None

    def _all(self) -> dict[str, str]:
        if self._found is None:
            cluster, ids = admin.identity(admin.connect(self._client), self._topics)
            self._found = {topic: origin(cluster, ids[topic]) for topic in self._topics}
        return self._found

    def __getitem__(self, topic: str) -> str:
        return self._all()[topic]

    def __iter__(self) -> Iterator[str]:
        return iter(self._topics)

    def __len__(self) -> int:
        return len(self._topics)
