"""Suppression lists in tests: made through the management plane, in the domain that a pipeline sends from."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace

from tests.kit.administration import Api, KnownTokens, NotingTasks, principal_of_everything
from tests.kit.pipeline import DOMAIN, Pipeline

LISTS = f"emailServices/email/domains/{DOMAIN}/suppressionLists"


def api_of(pipeline: Pipeline) -> Api:
    """The management plane of a pipeline's installation, in the resource group of its service."""
    tokens = KnownTokens()
    services = replace(pipeline.services, authenticator=tokens)  # type: ignore[arg-type]
    _, _, subscription, _, group, *_ = pipeline.provisioner.domain_id("email", DOMAIN).split("/")
    queues = NotingTasks(pipeline.storage.queues)
    token = tokens.token_of(principal_of_everything())
    return Api(services, pipeline.clock, queues, tokens, token, subscription=subscription, group=group)


async def make_list(api: Api, name: str, list_name: str = "", lists: str = LISTS) -> str:
    """Make a list for a sender username, or for the whole domain; its path."""
    made = await api.put(f"{lists}/{name}", {"properties": {"listName": list_name}})
    assert made.status == 201, made.body
    return f"{lists}/{name}"


async def suppress(api: Api, path: str, email: str, **facts: str) -> str:
    """Put an address on a list; its id."""
    address_id = str(uuid.uuid4())
    put = await api.put(f"{path}/suppressionListAddresses/{address_id}", {"properties": {"email": email, **facts}})
    assert put.status == 201, put.body
    return address_id


def notice(pipeline: Pipeline) -> None:
    """Time passes until a worker looks for new lists again."""
    pipeline.clock.advance(pipeline.services.settings.configuration_seconds + 1)


def hashed(normalised: str) -> str:
    """The hash of a normalised address."""
    return hashlib.sha256(normalised.encode()).hexdigest()
