"""The slow and obvious meaning of active lists: look at all changes, each time anew."""


def there(changes, time):
    """Whether an entry is there at a time, after all that was changed before it.

    `changes` of one key: (time, added, uid, ttl), where ttl None is for good.
    """
    until = None  # not there
    ordered = sorted((change for change in changes if change[0] < time), key=lambda c: c[:3])
    for moment, added, _, ttl in ordered:
        if until is not None and until <= moment:
            until = None
        if not added:
            until = None
            continue
        end = float("inf") if ttl is None else moment + ttl
        until = end if until is None else max(until, end)
    return until is not None and time < until


class Lists:
    """Lists by (scope, name, key)."""

    def __init__(self):
        self.changes = {}

    def add(self, where, time, uid, ttl):
        self.changes.setdefault(where, []).append((time, True, uid, ttl))

    def remove(self, where, time, uid):
        self.changes.setdefault(where, []).append((time, False, uid, None))

    def there(self, where, time):
        return there(self.changes.get(where, []), time)
