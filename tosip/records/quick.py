"""Makes softioc's record builder remember what it has done before.

The builder asks EPICS about every field of every record, and writes each down character by
character; the two take most of the time that making a record takes. The records of the second
plugin have the same fields as those of the first. What EPICS refuses raises as before; it looks at
all again when the database is loaded.
"""

import functools
from typing import Any

from epicsdbbuilder import recordbase
from softioc import builder


class _Remembering:
    """Stands in for the builder's validator of one record type."""

    def __init__(self, validator: Any) -> None:
        self._validator = validator
        self._accepted: set[tuple[str, str]] = set()
        self.dbEntry = validator.dbEntry  # the builder's own name for it
        self.ValidFieldName = validator.ValidFieldName

    def ValidFieldValue(self, name: str, value: Any) -> None:
        """Raise if EPICS does not take `value` for the field `name`."""
        text = str(value)
        if text.startswith("@") or (name, text) in self._accepted:  # @: its own address
            return
        self._validator.ValidFieldValue(name, text)
        self._accepted.add((name, text))


def remember_accepted_values() -> None:
    """Speed up all records that are made from now on."""
    if not hasattr(recordbase.quote_string, "cache_info"):
        recordbase.quote_string = functools.cache(recordbase.quote_string)
    for name in builder.records.GetRecords():
        record_type = getattr(builder.records, name)
        if not isinstance(record_type._validate, _Remembering):
            record_type._validate = _Remembering(record_type._validate)
