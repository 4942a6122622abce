"""Keys and entities of every kind that Table storage takes, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from email_core.storage import Value


def texts(largest: int = 40) -> st.SearchStrategy[str]:
    """Unicode text without half surrogate pairs."""
    return st.text(st.characters(exclude_categories=("Cs",)), max_size=largest)


def keys() -> st.SearchStrategy[str]:
    """Text that may be a partition or row key."""
    return st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\#?"), max_size=40)


def values() -> st.SearchStrategy[Value]:
    """A property value of each type."""
    return st.one_of(
        texts(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(-1000, 1000).map(float),
        st.booleans(),
        st.binary(max_size=40),
    )


def properties() -> st.SearchStrategy[dict[str, Value]]:
    """Properties of an entity without its keys."""
    names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
    return st.dictionaries(names.filter(lambda name: name not in ("PartitionKey", "RowKey", "Timestamp")), values(), max_size=8)


@st.composite
def entities(draw: st.DrawFn) -> dict[str, Value]:
    """A whole entity."""
    return {"PartitionKey": draw(keys()), "RowKey": draw(keys()), **draw(properties())}
