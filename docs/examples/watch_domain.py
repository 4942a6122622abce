import sys
import time

import requests
from administer import ENDPOINT, GROUP, SUBSCRIPTION, AdminToken
from azure.communication.email import EmailClient
from azure.core.exceptions import HttpResponseError
from azure.mgmt.communication import CommunicationServiceManagementClient


def run_timer():
    """What the Functions host takes for a timer that is run by hand; the timer itself comes once a day."""
    requests.post(f"{ENDPOINT}/admin/functions/reverify", json={"input": ""}, timeout=60).raise_for_status()


def wait_for_state(client, domain, wanted):
    """Let the timer look until the domain's sending state is the one that is waited for."""
    while True:
        run_timer()
        time.sleep(2)
        sending = client.domains.get(GROUP, "mail", domain).as_dict()["properties"]["sending"]
        print("Sending:", sending["state"], sending.get("reason", ""))
        if sending["state"] == wanted:
            return


def main(domain, recipient, state):
    client = CommunicationServiceManagementClient(AdminToken(), SUBSCRIPTION, base_url=ENDPOINT)
    wait_for_state(client, domain, state)
    keys = client.communication_services.list_keys(GROUP, "app")
    message = {
        "senderAddress": f"news@{domain}",
        "recipients": {"to": [{"address": recipient}]},
        "content": {"subject": "While the DNS is watched", "plainText": "Still here."},
    }
    try:
        result = EmailClient.from_connection_string(keys.primary_connection_string).begin_send(message).result()
        print("Sent:", result["id"], result["status"])
    except HttpResponseError as error:
        print("Refused:", error.error.code, error.error.message)


if __name__ == "__main__":
    main(*sys.argv[1:])
