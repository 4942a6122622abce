"""Adds a domain of yours to the running local world, and prints the DNS records that make its mail authentic.

    . .local/env
    export AzureWebJobsStorage='UseDevelopmentStorage=true' POSTRIDER_SEALING_KEY="$(cat .local/sealing-key)"
    .venv/bin/python docs/examples/add_domain.py example.com --sender news --spf spf.relay.example.net

Set POSTRIDER_PLATFORM_DOMAIN too when ./postrider up was started with it. The management API will take the place of this.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from email_core.domains.provision import Provisioner
from email_core.domains.records import RecordError, platform_records, zone_lines
from email_core.sealing import Sealer
from email_core.settings import load_settings
from email_core.storage import open_storage


async def add_domain(name: str, senders: list[str], addresses: list[str], spf_includes: list[str]) -> None:
    """Write the domain and its keys, link it to the world's service, and print what the zones must hold."""
    settings = load_settings()
    platform = platform_records(
        settings.platform_domain,
        bounce_domain=settings.bounce_domain,
        senders=addresses,
        spf_includes=spf_includes,
        ehlo_name=settings.ehlo_name,
    )
    storage = open_storage(settings.storage)
    try:
        provisioner = Provisioner(
            storage,
            Sealer.from_setting(settings.sealing_key),
            settings,
            subscription_id=os.environ["AZURE_SUBSCRIPTION_ID"],
            resource_group=os.environ["AZURE_RESOURCE_GROUP"],
        )
        records = await provisioner.custom_domain("local-email", name, senders=senders)
        await provisioner.link("local", provisioner.domain_id("local-email", name))
    finally:
        await storage.close()
    print(f"; in the zone of {name}", *zone_lines(records), sep="\n")
    print(f"; in the zone of {settings.platform_domain}", *zone_lines(platform), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Add a domain to the running local world.")
    parser.add_argument("domain", help="in lower case and A-labels, as in example.com")
    parser.add_argument(
        "--sender", action="append", default=[], help="what may stand before the @; may be repeated (DoNotReply)"
    )
    parser.add_argument("--address", action="append", default=[], help="IP address or network that mail leaves from")
    parser.add_argument("--spf", action="append", default=[], help="name of the SPF record of a smarthost")
    options = parser.parse_args()
    try:
        asyncio.run(add_domain(options.domain, options.sender or ["DoNotReply"], options.address, options.spf))
    except RecordError as error:
        sys.exit(f"add_domain: {error}")
