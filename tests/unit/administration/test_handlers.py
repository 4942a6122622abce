"""Each operation of the table is done by one function."""

from __future__ import annotations

from collections import Counter

from email_core.administration import handlers
from email_core.management.operations import OPERATIONS


def test_every_operation_has_exactly_one_handler() -> None:
    served = Counter(name for module in handlers.MODULES for name in module.HANDLERS)

    assert served == Counter(operation.name for operation in OPERATIONS)
    assert set(handlers.HANDLERS) == set(served)
    assert len(set(handlers.MODULES)) == len(handlers.MODULES)
