"""`./postrider domain` in a running local world."""

from __future__ import annotations

import json

import pytest

from tests.kit.administering import EMAIL_SERVICE, SERVICE, ZONE, Commands, new_domain
from tests.kit.waiting import wait_until

pytestmark = pytest.mark.peers


@pytest.fixture
def domain(command: Commands) -> str:
    """A domain that was added and not verified."""
    name = new_domain()
    command.done("domain", "add", name)
    return name


def test_domain_is_added_and_told_what_is_next(command: Commands) -> None:
    name = new_domain()
    told = command.done("domain", "add", name, "--sender", "news=News of Contoso", "--sender", "billing")
    assert told.out.startswith(f"{name}: added. Next: publish what ./postrider domain records {name} shows")
    shown = command.done("domain", "show", name).out
    assert 'news ("News of Contoso")' in shown
    assert "billing" in shown
    assert "Sending     NotVerified" in shown
    assert f"Domain      {name} (own)" in shown


def test_domain_that_is_there_is_changed_and_keeps_the_rest(command: Commands, domain: str) -> None:
    command.done("domain", "add", domain, "--limit", "messages/minute=100", "--any-sender", "on", "--dmarc", "quarantine")
    told = command.done("domain", "add", domain, "--limit", "recipients/day=5000", "--json").json
    assert told["properties"]["limits"] == [{"unit": "recipients", "window": "day", "most": 5000}]
    assert told["properties"]["anySender"] is True
    assert told["properties"]["dmarcPolicy"] == "quarantine"
    assert "Limits      5000 recipients per day" in command.done("domain", "show", domain).out
    assert command.done("domain", "add", domain, "--limit", "none=0", "--json").json["properties"]["limits"] == []


def test_sender_that_is_added_again_keeps_its_name_until_another_is_given(command: Commands) -> None:
    domain = new_domain()
    command.done("domain", "add", domain, "--sender", "news=The News")
    assert 'news ("The News")' in command.done("domain", "add", domain, "--sender", "news", "--sender", "billing").out
    assert 'news ("Today")' in command.done("domain", "add", domain, "--sender", "news=Today").out
    command.done("domain", "add", domain, "--sender", "news=")
    assert '"Today"' not in command.done("domain", "show", domain).out


def test_domain_list_has_a_line_for_each(command: Commands, domain: str) -> None:
    rows = {row[0]: row[1:] for row in command.done("domain", "list").rows()}
    assert rows[domain] == ["own", "NotVerified", "0 of 4", EMAIL_SERVICE]
    assert ["managed", "Ready", "4 of 4", EMAIL_SERVICE] in rows.values()
    listed = command.done("domain", "list", "--json").json
    assert domain in [each["name"] for each in listed]


def test_domain_records_come_as_a_table_and_in_every_format(command: Commands, domain: str) -> None:
    rows = command.done("domain", "records", domain).rows()[1:]
    assert rows[0][0] == domain.partition(".")[0]
    assert {row[3] for row in rows} >= {"Domain", "SPF", "DKIM", "DKIM2", "DMARC"}
    assert command.done("domain", "records", domain, "--format", "bind").out.count(" IN ") >= 5
    assert "Microsoft.Network/dnsZones" in command.done("domain", "records", domain, "--format", "bicep").out
    assert "azurerm_dns_txt_record" in command.done("domain", "records", domain, "--format", "terraform").out
    as_json = command.done("domain", "records", domain, "--format", "json")
    assert as_json.json == command.done("domain", "records", domain, "--json").json
    assert as_json.json["domain"] == domain


def test_domain_verify_tells_what_is_wrong_until_it_is_right(command: Commands, domain: str) -> None:
    told = command("domain", "verify", domain, "--wait", "1")
    assert told.status == 1
    assert "  Domain    VerificationInProgress" in told.out
    assert "expected  postrider-domain-verification=" in told.out
    assert "found     nothing" in told.out
    assert f"{domain}: not verified yet: Domain, SPF, DKIM, DKIM2, DMARC" in told.out
    assert "The installation goes on looking." in told.out
    command.knot.add_records(command.done("domain", "records", domain, "--format", "bind").out.splitlines())
    told = command.done("domain", "verify", domain, "--wait", "60")
    for kind in ("Domain", "SPF", "DKIM", "DKIM2", "DMARC"):
        assert f"  {kind:<8}  Verified" in told.out
    assert told.out.endswith(f"{domain}: verified. Let a service send from it: ./postrider domain link {domain}\n")


def test_domain_that_is_linked_sends_with_the_name_of_its_sender(command: Commands) -> None:
    domain = command.verified()
    assert f"{SERVICE} may send from {domain}" in command.done("domain", "link", domain, "--service", SERVICE).out
    assert f"Used by     {SERVICE}" in command.done("domain", "show", domain).out
    command.done("domain", "add", domain, "--sender", "news=The News")
    sent = command.done("send", "--from", f"news@{domain}", "--subject", f"for {domain}")
    assert "Delivered" in sent.out
    captured = command.world.wait_for_captured(lambda mail: f"for {domain}".encode() in mail)
    assert f"From: The News <news@{domain}>".encode() in captured
    assert "InvalidSenderUserName" in command("send", "--from", f"anybody@{domain}").out
    command.done("domain", "add", domain, "--any-sender", "on")
    assert command.done("send", "--from", f"anybody@{domain}").status == 0
    command.done("domain", "unlink", domain, "--service", SERVICE)
    assert "Used by     no service" in command.done("domain", "show", domain).out
    assert "DomainNotLinked" in command("send", "--from", f"news@{domain}").out


def test_domain_beyond_its_limit_is_refused_with_429(command: Commands) -> None:
    domain = command.verified()
    command.done("domain", "link", domain, "--service", SERVICE)
    command.done("domain", "add", domain, "--any-sender", "on", "--limit", "messages/day=2")
    told = [command("send", "--from", f"news@{domain}") for _ in range(3)]
    assert [each.status for each in told] == [0, 0, 1]
    assert "Refused with 429: TooManyRequests" in told[2].out
    assert f"The limit of 2 messages per day of domain {domain}" in told[2].out


def test_domain_link_of_one_that_is_not_verified_is_refused_with_code_and_message(command: Commands, domain: str) -> None:
    told = command("domain", "link", domain, "--service", SERVICE)
    assert told.status == 1
    assert told.err.startswith("postrider: refused with 400: DomainNotVerified")


def test_domain_verify_no_wait_ends_with_1_and_goes_on_by_itself(command: Commands, domain: str) -> None:
    told = command("domain", "verify", domain, "--no-wait", "--record", "Domain")
    assert told.status == 1
    assert f"{domain}: not verified yet: Domain" in told.out
    command.knot.add_records(command.done("domain", "records", domain, "--format", "bind").out.splitlines())
    wait_until(
        lambda: "  Domain    Verified" in command.done("domain", "show", domain).out, timeout=60.0, what="a look that found it"
    )


def test_domain_cancel_ends_the_looking(command: Commands, domain: str) -> None:
    assert command("domain", "verify", domain, "--no-wait").status == 1
    told = command.done("domain", "cancel", domain)
    assert "Domain" in told.out and "not looked for any longer" in told.out
    wait_until(
        lambda: "nothing is looked for" in command.done("domain", "cancel", domain).out, timeout=30.0, what="an end of looking"
    )


def test_domain_cancel_of_nothing_says_so(command: Commands, domain: str) -> None:
    assert command.done("domain", "cancel", domain).out == f"{domain}: nothing is looked for\n"


def test_domain_publish_without_a_zone_is_refused_with_the_remedy(command: Commands, domain: str) -> None:
    told = command("domain", "publish", domain)
    assert told.status == 1
    assert "NoZoneForDomain" in told.err
    assert "format=bind" in told.err


def test_domain_publish_writes_the_records_that_verify_then_finds(command: Commands) -> None:
    name = new_domain(f"published.{ZONE}")
    command.done("domain", "add", name)
    told = command.done("domain", "publish", name)
    assert told.out.startswith(f"In the zone published.{ZONE}:\n")
    assert {row[2] for row in told.rows()[1:]} == {"published"}
    assert {row[2] for row in command.done("domain", "publish", name).rows()[1:]} == {"already there"}
    assert command.done("domain", "verify", name, "--wait", "60").status == 0


def test_domain_health_tells_what_is_red_and_how_to_better_it(command: Commands, domain: str) -> None:
    told = command("domain", "health", domain)
    assert told.status == 1
    assert told.out.startswith(f"{domain}: red, looked at ")
    assert "  red     " in told.out
    command.knot.add_records(command.done("domain", "records", domain, "--format", "bind").out.splitlines())
    assert command("domain", "health", domain).status == 1  # as it was found last
    told = command.done("domain", "health", domain, "--check")
    assert not told.out.startswith(f"{domain}: red")
    report = command.done("domain", "health", domain, "--json").json
    assert report["status"] in ("green", "amber")
    assert {check["name"] for check in report["checks"]} >= {"SPF", "DKIM", "DMARC"}


def test_domain_rotate_tells_that_it_is_on_its_way(command: Commands) -> None:
    domain = command.verified()
    assert f"{domain}: new DKIM keys are on their way" in command.done("domain", "rotate", domain).out
    assert "DKIM rotation:" in command.done("domain", "records", domain).out
    again = command("domain", "rotate", domain)
    assert again.status == 1
    assert "KeyRotationRunning" in again.err


def test_domain_remove_asks_first_and_removes(command: Commands, domain: str) -> None:
    asked = command("domain", "remove", domain)
    assert (asked.status, "--yes" in asked.err) == (2, True)
    assert domain in command.done("domain", "list").out
    assert command.done("domain", "remove", domain, "--yes").out == f"{domain}: removed\n"
    assert domain not in command.done("domain", "list").out
    assert command("domain", "remove", domain, "--yes").status == 1


def test_managed_domain_is_verified_and_has_nothing_to_publish(command: Commands) -> None:
    managed = command.world.sender.partition("@")[2]
    assert "managed by the platform" in command.done("domain", "verify", managed).out
    assert "nothing has to stand in the DNS" in command.done("domain", "records", managed).out
    assert command.done("domain", "show", "AzureManagedDomain", "--json").json["properties"]["fromSenderDomain"] == managed


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("add", "com"), 1, "InvalidResourceName"),
        (("add", "a.customers.test", "--email-service", "nowhere"), 1, "no email service nowhere"),
        (("add", "a.customers.test", "--limit", "messages/week=5"), 1, "properties.limits[0].window"),
        (("show", "never-added.test"), 1, "./postrider domain list"),
        (("verify", "never-added.test"), 1, "./postrider domain list"),
        (("link", "never-added.test"), 1, "./postrider domain list"),
        (("list", "--subscription", "no-guid"), 1, "refused with 400"),
        (("list", "--endpoint", "http://192.0.2.1"), 2, "is not https"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_told_with_its_exit_status(command: Commands, words: tuple[str, ...], status: int, said: str) -> None:
    told = command("domain", *words)
    assert (told.status, told.out) == (status, "")
    assert said in told.err
    assert "Traceback" not in told.err


def test_commands_run_from_a_shell_with_the_environment_of_the_world(command: Commands, domain: str) -> None:
    run = command.world.run("./postrider", "domain", "show", domain, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["name"] == domain
