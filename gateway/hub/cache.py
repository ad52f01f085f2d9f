"""Encoded rows of histories, so that a thousand clients that come back at once cost one encoding."""

from gateway.hub.history import History
from gateway.hub.series import SeriesKey
from gateway.hub.updates import Update

#: About 1 KiB each with both encodings.
_MOST = 50_000


class UpdateCache:
    """Updates of histories by number of the row; the longest known go first when there are too many."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._updates: dict[tuple[History, int], Update] = {}

    def update(self, key: SeriesKey, history: History, number: int) -> Update:
        """The update of a row that is kept."""
        found = self._updates.get((history, number))
        if found is None:
            found = self._updates[history, number] = Update(key, history.row(number))
            if len(self._updates) > self._most:
                del self._updates[next(iter(self._updates))]
        return found
