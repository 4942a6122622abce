"""Counters in the text format of Prometheus."""

from __future__ import annotations

import pytest

from smtp_relay.counters import METRICS, PREFIX, Counters


def test_text_has_each_metric_with_its_kind_and_values() -> None:
    counters = Counters()
    counters.add("refused_total", command="RCPT", code="5.1.3")
    counters.add("refused_total", command="RCPT", code="5.1.3")
    counters.add("bytes_total", 12345678901)
    lines = counters.text({("connections", (("state", "stranger"),)): 3.0}).splitlines()
    assert f'{PREFIX}refused_total{{code="5.1.3",command="RCPT"}} 2' in lines
    assert f"{PREFIX}bytes_total 12345678901" in lines
    assert f'{PREFIX}connections{{state="stranger"}} 3' in lines
    assert [line.split()[2:] for line in lines if line.startswith("# TYPE")] == [
        [PREFIX + name, kind] for name, kind, _ in METRICS
    ]


def test_label_that_would_break_a_line_is_escaped() -> None:
    counters = Counters()
    counters.add("refused_total", command='a"b\\c\nd', code="")
    assert f'{PREFIX}refused_total{{code="",command="a\\"b\\\\c\\nd"}} 1' in counters.text({})


def test_counter_that_nobody_described_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Counters().add("nothing_total")
