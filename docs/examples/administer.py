import os
import sys
import time

from azure.communication.email import EmailClient
from azure.core.credentials import AccessToken
from azure.core.rest import HttpRequest
from azure.mgmt.communication import CommunicationServiceManagementClient

GROUP = os.environ["AZURE_RESOURCE_GROUP"]
ENDPOINT = os.environ["POSTRIDER_ENDPOINT"]
SUBSCRIPTION = os.environ["AZURE_SUBSCRIPTION_ID"]


class AdminToken:
    """The admin token of the local world. For an installation in Azure take DefaultAzureCredential() instead."""

    def get_token(self, *scopes, **options):
        return AccessToken(os.environ["POSTRIDER_ADMIN_TOKEN"], int(time.time()) + 3600)


def verify(client, domain, kind):
    """Ask for the verification of one record, and wait; what is wrong is told while it is."""
    client.domains.begin_initiate_verification(GROUP, "mail", domain, {"verificationType": kind}, polling_interval=1).wait()
    told = None
    while True:
        resource = client.domains.get(GROUP, "mail", domain).as_dict()
        status = resource["properties"]["verificationStates"][kind]["status"]
        reason = resource["properties"]["verificationDetails"].get(kind, {}).get("reason", "")
        if (status, reason) != told:
            print(f"{kind}: {status}", reason)
            told = status, reason
        if status in ("Verified", "VerificationFailed"):
            return status == "Verified"
        time.sleep(1)


def main(domain, recipient):
    client = CommunicationServiceManagementClient(AdminToken(), SUBSCRIPTION, base_url=ENDPOINT)
    place = {"location": "global", "properties": {"dataLocation": "Europe"}}

    client.email_services.begin_create_or_update(GROUP, "mail", place, polling_interval=1).result()
    custom = {"location": "global", "properties": {"domainManagement": "CustomerManaged"}}
    resource = client.domains.begin_create_or_update(GROUP, "mail", domain, custom, polling_interval=1).result()
    for kind, record in resource.as_dict()["properties"]["verificationRecords"].items():
        print(f"{kind}: {record['name']} {record['type']} {record['value']}")

    # Into the zone that POSTRIDER_ZONES names; without it, publish by hand what was printed.
    publish = HttpRequest("POST", f"{resource.id}/publishRecords?api-version=2025-09-01")
    answer = client.send_request(publish)
    if answer.status_code >= 400:
        print("Not published:", answer.json()["error"]["message"])

    for kind in ("Domain", "SPF", "DKIM", "DKIM2", "DMARC"):
        if not verify(client, domain, kind):
            sys.exit(f"{kind} was not verified")

    sender = {"properties": {"username": "news", "displayName": "The News"}}
    client.sender_usernames.create_or_update(GROUP, "mail", domain, "news", sender)
    linked = {"location": "global", "properties": {"dataLocation": "Europe", "linkedDomains": [resource.id]}}
    client.communication_services.begin_create_or_update(GROUP, "app", linked, polling_interval=1).result()
    keys = client.communication_services.list_keys(GROUP, "app")

    message = {
        "senderAddress": f"news@{domain}",
        "recipients": {"to": [{"address": recipient}]},
        "content": {"subject": "From a domain of our own", "plainText": "Signed, and verified."},
    }
    result = EmailClient.from_connection_string(keys.primary_connection_string).begin_send(message).result()
    print("Sent:", result["id"], result["status"])


if __name__ == "__main__":
    main(*sys.argv[1:])
