"""The throughput figures run for real, in the small: what they measure is not asserted, only that it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.figures import OURS, Bench, ContenderFailed
from bench.groups.throughput import CEILING, accept_figure, deliver_figure
from bench.mail_world import Ceiling, Load, Sink, postrider, programs
from bench.measure import measure

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.peers


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(ROOT, tmp_path, say=lambda _: None, wanted=lambda _: True)


def test_accept_figure_of_a_few_requests_has_ours_and_the_ceiling(bench: Bench) -> None:
    with programs(bench) as start:
        load, ceiling = Load(start("load_http"), bench.scratch), Ceiling(start("storage_ceiling"), bench.scratch)
        with postrider(bench, load, sink=None) as installation:
            result = measure(accept_figure(installation, ceiling, 50, ()), 1, bench.say)

    summaries = {each.name: each.summary for each in result.measured}
    assert [each.failed for each in result.measured] == ["", ""]
    assert all(summaries[name] and summaries[name].median > 0 for name in (OURS, CEILING))


def test_deliver_figure_of_a_few_messages_ends_when_the_sink_has_them_signed(bench: Bench) -> None:
    with programs(bench) as start:
        load, ceiling = Load(start("load_http"), bench.scratch), Ceiling(start("storage_ceiling"), bench.scratch)
        sink = Sink(start("smtp_sink"), bench.scratch)
        with postrider(bench, load, sink=sink) as installation:
            arrived = sink.arrived
            result = measure(deliver_figure(installation, ceiling, sink, 20, ()), 1, bench.say)

            assert sink.arrived == arrived + 20
    assert [each.failed for each in result.measured] == ["", ""]


def test_load_that_is_refused_says_what_the_server_answered(bench: Bench) -> None:
    with programs(bench) as start:
        load = Load(start("load_http"), bench.scratch)
        with postrider(bench, load, sink=None) as installation:
            request = "POST /emails:send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"

            with pytest.raises(ContenderFailed, match="400") as refused:
                load.send(installation.port, [request], status=202)

    assert json.loads(str(refused.value).rpartition("\n")[2])["error"]["code"]
