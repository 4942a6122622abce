"""Who may link a domain to a communication service: linking is what lets the service's keys send from it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from email_core.auth.principal import Grant, Role
from tests.kit.administration import Api, Reply

pytestmark = pytest.mark.peers


@dataclass(frozen=True)
class Linking:
    """A domain of somebody else's, and a caller with a service of its own who has one role for the domain."""

    domain: str
    api: Api

    async def link(self) -> Reply:
        await self.api.communication_service()
        return await self.api.patch("communicationServices/chat", {"properties": {"linkedDomains": [self.domain]}})


async def linking(api: Api, *roles: Role) -> Linking:
    domain = await api.elsewhere(group="theirs").stored_domain("fabrikam.test")
    own = Grant(Role.ADMIN, api.base.partition("/providers")[0].lower())
    return Linking(domain, api.as_(own, *(Grant(role, domain.lower()) for role in roles)))


async def test_domain_that_the_caller_may_only_read_is_not_linked(api: Api) -> None:
    """Or a reader of it, with a service of his own, would send from it."""
    answer = await (await linking(api, Role.READER)).link()
    assert (answer.status, answer.code, answer.targets) == (400, "LinkedAuthorizationFailed", ["properties.linkedDomains[0]"])
    assert "Sender or Admin" in answer.message
    shown = await api.get("communicationServices/chat")
    assert shown.body["properties"]["linkedDomains"] == []


@pytest.mark.parametrize("role", [Role.SENDER, Role.ADMIN])
async def test_domain_that_the_caller_may_send_from_is_linked(api: Api, role: Role) -> None:
    them = await linking(api, role)
    answer = await them.link()
    assert (answer.status, answer.body["properties"]["linkedDomains"]) == (200, [them.domain])


async def test_domain_that_somebody_else_linked_stays_for_who_has_no_role_for_it(api: Api) -> None:
    them = await linking(api)
    await api.communication_service(linkedDomains=[them.domain])
    answer = await them.link()
    assert (answer.status, answer.body["properties"]["linkedDomains"]) == (200, [them.domain])
