"""Every operation of the management plane through the Python client, in the way that its versions have in common.

`python -m tests.kit.arm_walk GROUP DOMAIN` does it in a process of its own, with the client that PYTHONPATH has, and prints
what was called and seen as one line of JSON. POSTRIDER_ENDPOINT, POSTRIDER_ADMIN_TOKEN and AZURE_SUBSCRIPTION_ID say where.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from dataclasses import dataclass
from typing import Any

from tests.kit.arm_client import AdminToken, Wire, Witness
from tests.kit.waiting import wait_until

MAIL, APP = "mail", "app"
MANAGED = "AzureManagedDomain"
TAGS = {"team": "post", "Größe": "klein"}
PROVIDER = "Microsoft.Communication"


@dataclass(frozen=True)
class Walk:
    """A client, the models of its version, and where to go."""

    client: Any
    models: Any
    subscription: str
    group: str
    domain: str

    def id(self, path: str) -> str:
        """The resource id of a path below the provider."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{PROVIDER}/{path}"

    def all(self) -> None:
        """Make everything, ask for it, change it, and delete it. AssertionError when an answer is another one."""
        self.around()
        self.email_service()
        managed = self.domains()
        self.verification()
        self.senders()
        self.suppression()
        self.service(managed.id)
        self.keys()
        self.smtp()
        self.end()

    def around(self) -> None:
        client, models = self.client, self.models
        rights = {operation.name for operation in client.operations.list()}
        assert f"{PROVIDER}/emailServices/domains/senderUsernames/write" in rights, rights
        asked = models.NameAvailabilityParameters(name=APP, type=f"{PROVIDER}/CommunicationServices")
        assert client.communication_services.check_name_availability(asked).name_available is True
        assert client.email_services.list_verified_exchange_online_domains() == []

    def email_service(self) -> None:
        client, models = self.client.email_services, self.models
        wanted = models.EmailServiceResource(location="Global", data_location="Europe", tags=TAGS)
        for _ in range(2):
            made = client.begin_create_or_update(self.group, MAIL, wanted).result()
            self.check(made, f"emailServices/{MAIL}", "emailServices")
            assert (made.location, made.tags, made.data_location) == ("global", TAGS, "Europe")
        changed = client.begin_update(self.group, MAIL, models.EmailServiceResourceUpdate(tags={"team": "x"})).result()
        assert (changed.tags, changed.data_location) == ({"team": "x"}, "Europe")
        assert client.get(self.group, MAIL).tags == {"team": "x"}
        assert [each.name for each in client.list_by_resource_group(self.group)] == [MAIL]
        assert [each.id for each in client.list_by_subscription()] == [made.id]

    def domains(self) -> Any:
        client, models = self.client.domains, self.models
        wanted = models.DomainResource(location="global", domain_management="CustomerManaged", tags=TAGS)
        for _ in range(2):
            made = client.begin_create_or_update(self.group, MAIL, self.domain, wanted).result()
            self.check(made, f"emailServices/{MAIL}/domains/{self.domain}", "emailServices/domains")
        assert (made.location, made.tags, made.data_location) == ("global", TAGS, "Europe")
        assert (made.from_sender_domain, made.user_engagement_tracking) == (self.domain, "Disabled")
        records = made.verification_records
        assert (records.domain.type, records.domain.name, records.domain.ttl) == ("TXT", self.domain, 3600)
        assert records.dkim2.value != records.dkim.value
        assert made.verification_states.dkim2.status == "NotStarted"
        change = models.UpdateDomainRequestParameters(user_engagement_tracking="Enabled")
        changed = client.begin_update(self.group, MAIL, self.domain, change).result()
        assert (changed.user_engagement_tracking, changed.tags) == ("Enabled", TAGS)
        assert client.get(self.group, MAIL, self.domain).user_engagement_tracking == "Enabled"
        wanted = models.DomainResource(location="global", domain_management="AzureManaged")
        managed = client.begin_create_or_update(self.group, MAIL, MANAGED, wanted).result()
        assert managed.verification_states.domain.status == "Verified"
        names = {each.name for each in client.list_by_email_service_resource(self.group, MAIL)}
        assert names == {self.domain, MANAGED}
        return managed

    def verification(self) -> None:
        client = self.client.domains
        asked = self.models.VerificationParameter(verification_type="Domain")

        def status() -> Any:
            return client.get(self.group, MAIL, self.domain).verification_states.domain.status

        client.begin_initiate_verification(self.group, MAIL, self.domain, asked).result()
        assert status() in ("VerificationRequested", "VerificationInProgress")
        client.begin_cancel_verification(self.group, MAIL, self.domain, asked).result()
        wait_until(lambda: status() == "NotStarted", timeout=20.0, what="the end of the verification")

    def senders(self) -> None:
        client, where = self.client.sender_usernames, (self.group, MAIL, self.domain)
        wanted = self.models.SenderUsernameResource(username="news", display_name="Die Größten")
        for _ in range(2):
            made = client.create_or_update(*where, "news", wanted)
            self.check(made, f"emailServices/{MAIL}/domains/{self.domain}/senderUsernames/news",
                       "emailServices/domains/senderUsernames")  # fmt: skip
        assert (made.username, made.display_name, made.data_location) == ("news", "Die Größten", "Europe")
        assert client.get(*where, "news").display_name == "Die Größten"
        assert {each.name for each in client.list_by_domains(*where)} == {"DoNotReply", "news"}
        client.delete(*where, "news")
        client.delete(*where, "news")
        assert [each.name for each in client.list_by_domains(*where)] == ["DoNotReply"]

    def suppression(self) -> None:
        lists, addresses = self.client.suppression_lists, self.client.suppression_list_addresses
        where, name, address_id = (self.group, MAIL, self.domain), "quiet", str(uuid.uuid4())
        for _ in range(2):
            made = lists.create_or_update(*where, name, self.models.SuppressionListResource(list_name="DoNotReply"))
            self.check(made, f"emailServices/{MAIL}/domains/{self.domain}/suppressionLists/{name}",
                       "emailServices/domains/suppressionLists", state=False)  # fmt: skip
        assert (made.list_name, made.data_location) == ("DoNotReply", "Europe")
        assert made.created_time_stamp <= made.last_updated_time_stamp
        assert lists.get(*where, name).list_name == "DoNotReply"
        assert [each.name for each in lists.list_by_domain(*where)] == [name]
        wanted = self.models.SuppressionListAddressResource(
            email="Ann@fabrikam.example", first_name="Ann", last_name="Ångström", notes="asked"
        )
        for _ in range(2):
            listed = addresses.create_or_update(*where, name, address_id, wanted)
        facts = (listed.name, listed.email, listed.first_name, listed.last_name, listed.notes)
        assert facts == (address_id, "Ann@fabrikam.example", "Ann", "Ångström", "asked")
        assert listed.last_modified.utcoffset().total_seconds() == 0
        assert addresses.get(*where, name, address_id).email == listed.email
        assert [each.name for each in addresses.list(*where, name)] == [address_id]
        for _ in range(2):
            addresses.delete(*where, name, address_id)
        for _ in range(2):
            lists.delete(*where, name)
        assert list(lists.list_by_domain(*where)) == []

    def service(self, domain_id: str) -> None:
        client, models = self.client.communication_services, self.models
        identity = models.ManagedServiceIdentity(type="SystemAssigned")
        wanted = models.CommunicationServiceResource(location="global", data_location="Europe", tags=TAGS, identity=identity)
        for _ in range(2):
            made = client.begin_create_or_update(self.group, APP, wanted).result()
            self.check(made, f"communicationServices/{APP}", "communicationServices")
        assert (made.location, made.tags, made.data_location) == ("global", TAGS, "Europe")
        assert (made.public_network_access, made.disable_local_auth, made.linked_domains) == ("Enabled", False, [])
        assert made.identity.type == "SystemAssigned"
        assert made.host_name and uuid.UUID(made.immutable_resource_id)
        change = models.CommunicationServiceResourceUpdate(linked_domains=[domain_id])
        changed = client.update(self.group, APP, change)
        assert (changed.linked_domains, changed.tags, changed.immutable_resource_id) == (
            [domain_id],
            TAGS,
            made.immutable_resource_id,
        )
        assert client.get(self.group, APP).linked_domains == [domain_id]
        assert [each.name for each in client.list_by_resource_group(self.group)] == [APP]
        assert [each.id for each in client.list_by_subscription()] == [made.id]
        hub = f"/subscriptions/{self.subscription}/resourceGroups/g/providers/Microsoft.NotificationHubs/namespaces/n"
        link = models.LinkNotificationHubParameters(resource_id=hub, connection_string="Endpoint=sb://n/")
        assert client.link_notification_hub(self.group, APP, link).resource_id == hub
        assert client.get(self.group, APP).notification_hub_id == hub

    def keys(self) -> None:
        client = self.client.communication_services
        before = client.list_keys(self.group, APP)
        assert before.primary_connection_string.endswith(f";accesskey={before.primary_key}")
        after = client.regenerate_key(self.group, APP, self.models.RegenerateKeyParameters(key_type="Primary"))
        assert after.primary_key != before.primary_key
        assert after.secondary_connection_string == before.secondary_connection_string

    def smtp(self) -> None:
        client, where = self.client.smtp_usernames, (self.group, APP)
        name, application, tenant = f"u-{uuid.uuid4().hex[:12]}", str(uuid.uuid4()), str(uuid.uuid4())
        wanted = self.models.SmtpUsernameResource(username=name, entra_application_id=application, tenant_id=tenant)
        for _ in range(2):
            made = client.create_or_update(*where, "printer", wanted)
            self.check(made, f"communicationServices/{APP}/smtpUsernames/printer",
                       "communicationServices/smtpUsernames", state=False)  # fmt: skip
        assert (made.username, made.entra_application_id, made.tenant_id) == (name, application, tenant)
        assert client.get(*where, "printer").username == name
        assert [each.name for each in client.list(*where)] == ["printer"]
        for _ in range(2):
            client.delete(*where, "printer")

    def end(self) -> None:
        """Delete what has something below it, twice."""
        client = self.client
        for _ in range(2):
            begun = (
                client.communication_services.begin_delete(self.group, APP),
                client.domains.begin_delete(self.group, MAIL, self.domain),
            )
            assert [poller.result() for poller in begun] == [None, None]
        for _ in range(2):
            client.email_services.begin_delete(self.group, MAIL).result()  # with the managed domain in it
        assert list(client.email_services.list_by_subscription()) == []

    def check(self, resource: Any, path: str, kind: str, *, state: bool = True) -> None:
        """What every resource has."""
        assert (resource.id, resource.name, resource.type) == (self.id(path), path.rpartition("/")[2], f"{PROVIDER}/{kind}")
        assert (resource.system_data.created_by, resource.system_data.created_by_type) == ("admin token", "Key")
        assert resource.system_data.created_at <= resource.system_data.last_modified_at
        if state:
            assert resource.provisioning_state == "Succeeded"


def main(group: str, domain: str) -> None:
    """Go once over everything, with what the environment says."""
    from azure.mgmt.communication import CommunicationServiceManagementClient, __version__, models

    wire, subscription = Wire(), os.environ["AZURE_SUBSCRIPTION_ID"]
    witness = Witness(
        CommunicationServiceManagementClient(
            AdminToken(os.environ["POSTRIDER_ADMIN_TOKEN"]), subscription,
            base_url=os.environ["POSTRIDER_ENDPOINT"], per_call_policies=[wire],
        )
    )  # fmt: skip
    Walk(witness, models, subscription, group, domain).all()
    told = {
        "version": __version__,
        "seen": {name: sorted(statuses) for name, statuses in wire.seen.items()},
        "called": sorted(witness.called),
        "methods": sorted(witness.methods),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
