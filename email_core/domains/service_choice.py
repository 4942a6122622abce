"""Which of several communication services a message is for, when its sender's credential doesn't say: the one that the sender's
domain is linked to."""

from __future__ import annotations

from collections.abc import Sequence

from email_core.domains.directory import Directory
from email_core.domains.sending import CommunicationService
from email_core.errors import ConfigurationMissing, DomainNotLinked, DomainPaused, SenderUnknown
from email_core.message.address import Address


async def service_of_sender(
    directory: Directory, services: Sequence[CommunicationService], sender: Address
) -> CommunicationService:
    """The only one; of several, the first one in the order of ids that the sender's domain is linked to, so that a repeated
    request meets the same one.

    Raises DomainNotLinked when the domain is linked to none of several, and ConfigurationMissing when one of them can't be used
    and may be the one.
    """
    if len(services) == 1:
        return services[0]
    unusable: ConfigurationMissing | None = None
    for service in sorted(services, key=lambda each: each.resource_id.lower()):
        try:
            await directory.sending_domain(service, sender)
        except DomainNotLinked:
            continue
        except ConfigurationMissing as error:
            unusable = error
            continue
        except (SenderUnknown, DomainPaused):
            return service  # it is linked, and accepting says what is wrong
        return service
    raise unusable or DomainNotLinked(sender.domain)
