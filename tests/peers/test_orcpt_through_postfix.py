"""ORCPT of ours through a real Postfix that mail was forwarded by: its report names whom we sent to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from email_core.returns.status_report import typed_address
from tests.kit.knot import Knot
from tests.kit.peers import require
from tests.kit.postfix import missing_reason
from tests.kit.returning_postfix import DOMAIN, returning
from tests.kit.smtp_relay import RelayFiles

pytestmark = pytest.mark.peers

GONE = f"gone@{DOMAIN}"


def named(raw: bytes, field: str) -> str:
    """The address in a field of a report about one recipient."""
    [value] = re.findall(rf"^{field}: *(.*?)\r?$", raw.decode(), re.MULTILINE)
    return typed_address(value)


@pytest.mark.parametrize("door", ["http", "smtp"])
@pytest.mark.parametrize("local", ["fwd+x", "förward"])
async def test_forwarded_mail_that_comes_back_bounces_the_recipient_that_it_was_sent_to(
    azurite: str, knot: Knot, relay_files: RelayFiles, tmp_path: Path, door: str, local: str
) -> None:
    require(not missing_reason(), missing_reason())
    # Postfix tells the address before an alias by itself. This is an alias of a server before it, which keeps the ORCPT.
    forwarding = tmp_path / "forwarding"
    forwarding.write_text(f"/^RCPT TO:<{re.escape(local)}@{DOMAIN}>(.*)$/ RCPT TO:<{GONE}>$1\n")
    async with returning(azurite, knot, relay_files, smtpd_command_filter=f"regexp:{forwarding}") as mail:
        operation = await mail.send(door, f"user@{DOMAIN}", f"other@{DOMAIN}", f"{local}@{DOMAIN}")
        [came] = await mail.until_came()
        assert named(came.content, "Final-Recipient") == GONE
        assert named(came.content, "Original-Recipient") == f"{local}@{DOMAIN}"
        ends = {entry.address: str(entry.status) for entry in (await mail.row(operation)).ledger.entries}
        assert ends == {f"user@{DOMAIN}": "Delivered", f"other@{DOMAIN}": "Delivered", f"{local}@{DOMAIN}": "Bounced"}
