"""The stems of event uids, from the identity of the cluster and its topics."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.broker import admin
from topology.uid import origin


class Origins(Mapping[str, str]):
    """The stem of event uids for each raw topic, looked up in the cluster when first needed, and
    once more after `forget`."""

    def __init__(self, client: Mapping[str, Any], topics: Sequence[str]) -> None:
        self._client = client
        self._topics = topics
        self._found: dict[str, str] | None = None

    def _all(self) -> dict[str, str]:
        found = self._found
        if found is None:
            cluster, ids = admin.identity(admin.connect(self._client), self._topics)
            found = self._found = {topic: origin(cluster, each) for topic, each in ids.items()}
        return found

    def forget(self, _topic: str) -> None:
        """A topic may have been made anew: its records have other uids than those of the old one at
        the same offsets. For any thread."""
        self._found = None

    def __getitem__(self, topic: str) -> str:
        if topic not in self._all():  # it was not there, and may be by now
            self.forget(topic)
        return self._all()[topic]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())
