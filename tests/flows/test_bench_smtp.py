"""The SMTP figures run for real, in the small: what they measure is not asserted, only that it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.figures import OURS, Bench, ContenderFailed
from bench.groups import smtp, smtp_memory
from bench.mail_world import Ceiling, programs
from bench.measure import measure
from bench.smtp_load import SmtpLoad
from bench.smtp_servers import AIOSMTPD, POSTFIX, installation
from tests.kit.peers import require
from tests.kit.postfix import missing_reason

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.peers


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(ROOT, tmp_path, say=lambda _: None, wanted=lambda _: True)


def test_smtp_figures_of_a_few_messages_have_all_contenders_and_notice_what_is_not_kept(bench: Bench) -> None:
    require(not missing_reason(), missing_reason())
    with programs(bench) as start:
        load, ceiling = SmtpLoad(start("load_smtp"), bench.scratch), Ceiling(start("storage_ceiling"), bench.scratch)
        with smtp.opened(bench, load, ceiling) as field:
            accept = measure(smtp.accept_figure(field, 3, 20), 1, bench.say)
            cpu = measure(smtp.cpu_figure(bench, field, 2, 20), 1, bench.say)

            for taker in (field.ours, *field.peers):
                forgetful = replace(taker, taken=lambda taken=taker.taken: taken() - 1)  # type: ignore[misc]
                with pytest.raises(ContenderFailed, match="5 messages were accepted, and 4 of them are there"):
                    smtp.taken(load, forgetful, 1, 5)

    for result, storage in ((accept, smtp.CEILING), (cpu, smtp.MEANWHILE)):
        assert [each.failed for each in result.measured] == [""] * 4
        assert [each.name for each in result.measured] == [OURS, storage, POSTFIX, AIOSMTPD]
    assert all(each.summary and each.summary.median > 0 for each in accept.measured)


def test_memory_figures_of_a_few_connections_and_a_small_message_are_measured(bench: Bench) -> None:
    with programs(bench) as start, installation(bench) as on:
        load = SmtpLoad(start("load_smtp"), bench.scratch)
        figures = smtp_memory.figures(bench, load, on, connections=5, largest=1024 * 1024)
        results = [measure(figure, 1, bench.say) for figure in figures]

    assert [result.figure.name for result in results] == list(smtp_memory.GROUP.figures)
    assert [each.failed for result in results for each in result.measured] == [""] * 4
    assert all(each.summary and each.summary.median > 0 for result in results for each in result.measured)
