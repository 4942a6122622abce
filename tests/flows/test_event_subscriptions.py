"""Event subscriptions of a communication service: stored as Event Grid has them, with sealed addresses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from email_core.administration.event_subscriptions import EVENT_TYPES, Sealed, opened
from email_core.auth.principal import Role
from email_core.domains.documents import EventSubscriptionDocument
from tests.kit.administration import Api, build_api

pytestmark = pytest.mark.peers

PATH = "communicationServices/chat/providers/Microsoft.EventGrid/eventSubscriptions"
ONE = f"{PATH}/reports"
URL = "https://hooks.contoso.com/mail?code=secret-of-the-hook"


def web_hook(url: object = URL, **properties: object) -> dict[str, Any]:
    return {"endpointType": "WebHook", "properties": {"endpointUrl": url, **properties}}


def asked(**properties: object) -> dict[str, Any]:
    return {"properties": {"destination": web_hook(), **properties}}


@pytest.fixture
async def chat(api: Api) -> Api:
    """The management plane with a communication service."""
    await api.communication_service("chat")
    return api


async def sealed(api: Api) -> Sealed:
    found = await api.admin.store.get(api.id(ONE), EventSubscriptionDocument)
    assert found is not None
    assert "secret-of-the-hook" not in str(found.document)
    return opened(api.admin, found.document)


async def test_subscription_is_made_with_the_defaults_of_event_grid(chat: Api) -> None:
    made = await chat.put(ONE, asked())
    assert made.status == 201
    assert (made.body["name"], made.body["type"]) == ("reports", "Microsoft.EventGrid/eventSubscriptions")
    assert made.body["properties"] == {
        "topic": chat.path("communicationServices/chat"),
        "provisioningState": "Succeeded",
        "destination": {
            "endpointType": "WebHook",
            "properties": {
                "endpointBaseUrl": "https://hooks.contoso.com/mail",
                "maxEventsPerBatch": 1,
                "preferredBatchSizeInKilobytes": 64,
            },
        },
        "filter": {
            "includedEventTypes": list(EVENT_TYPES),
        },
        "labels": [],
        "eventDeliverySchema": "EventGridSchema",
        "retryPolicy": {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440},
    }  # fmt: skip
    assert (await chat.get(ONE)).body == made.body
    assert await chat.all_of(PATH) == [made.body]


async def test_subscription_shows_the_whole_address_only_when_asked_for_it(chat: Api) -> None:
    made = await chat.put(ONE, asked())
    assert "secret-of-the-hook" not in str(made.body)
    assert (await sealed(chat)).endpoint_url == URL
    assert (await chat.post(f"{ONE}/getFullUrl")).body == {"endpointUrl": URL}
    [told] = (await chat.admin.audit.page(chat.subscription, most=1)).entries
    assert (told.operation, told.text) == ("EventSubscriptions_GetFullUrl", "The address with its secrets was read.")
    assert "secret-of-the-hook" not in repr(await sealed(chat))
    audit = await chat.get(f"/subscriptions/{chat.subscription}/providers/Microsoft.Communication/auditEvents")
    assert audit.status == 200
    assert "secret-of-the-hook" not in str(audit.body)
    reader = chat.as_role(Role.READER)
    assert (await reader.post(f"{ONE}/getFullUrl")).status == 403


async def test_subscription_with_everything_is_shown_as_it_was_asked_for(chat: Api) -> None:
    made = await chat.put(
        ONE,
        asked(
            destination=web_hook(maxEventsPerBatch=50, preferredBatchSizeInKilobytes=512),
            filter={
                "includedEventTypes": [EVENT_TYPES[0].lower(), EVENT_TYPES[0]],
                "subjectBeginsWith": "sender/news@",
                "subjectEndsWith": "x",
                "isSubjectCaseSensitive": True,
            },
            eventDeliverySchema="cloudeventschemav1_0",
            labels=["one", "two"],
            retryPolicy={"maxDeliveryAttempts": 1, "eventTimeToLiveInMinutes": 5},
            expirationTimeUtc="2099-01-31T12:00:00Z",
        ),
    )
    properties = made.body["properties"]
    assert made.status == 201
    assert properties["destination"]["properties"]["maxEventsPerBatch"] == 50
    assert properties["filter"] == {
        "includedEventTypes": [EVENT_TYPES[0]], "subjectBeginsWith": "sender/news@", "subjectEndsWith": "x",
        "isSubjectCaseSensitive": True,
    }  # fmt: skip
    assert properties["eventDeliverySchema"] == "CloudEventSchemaV1_0"
    assert properties["labels"] == ["one", "two"]
    assert properties["retryPolicy"] == {"maxDeliveryAttempts": 1, "eventTimeToLiveInMinutes": 5}
    assert properties["expirationTimeUtc"] == "2099-01-31T12:00:00.000000Z"


async def test_subscription_to_a_topic_keeps_its_key_sealed(chat: Api) -> None:
    destination = {
        "endpointType": "EventGridTopic",
        "properties": {"endpoint": "https://topic.contoso.com/api/events", "key": "key-of-the-topic"},
    }
    made = await chat.put(ONE, asked(destination=destination))
    assert made.body["properties"]["destination"] == {
        "endpointType": "EventGridTopic", "properties": {"endpoint": "https://topic.contoso.com/api/events"},
    }  # fmt: skip
    assert await sealed(chat) == Sealed("https://topic.contoso.com/api/events", "key-of-the-topic")


async def test_patch_of_a_subscription_keeps_what_it_does_not_name(chat: Api) -> None:
    await chat.put(ONE, asked(labels=["one"], retryPolicy={"maxDeliveryAttempts": 3}))
    # A PATCH of Event Grid has no `properties`.
    changed = await chat.patch(ONE, {"labels": ["two"], "retryPolicy": {"eventTimeToLiveInMinutes": 7}})
    properties = changed.body["properties"]
    assert changed.status == 200
    assert properties["labels"] == ["two"]
    assert properties["retryPolicy"] == {"maxDeliveryAttempts": 3, "eventTimeToLiveInMinutes": 7}
    assert (await sealed(chat)).endpoint_url == URL
    again = await chat.patch(ONE, {"properties": {"destination": web_hook("https://other.contoso.com/")}})
    assert again.body["properties"]["destination"]["properties"]["endpointBaseUrl"] == "https://other.contoso.com/"
    assert again.body["properties"]["labels"] == ["two"]
    replaced = await chat.put(ONE, asked())
    assert (replaced.status, replaced.body["properties"]["labels"]) == (200, [])


async def test_subscription_is_deleted(chat: Api) -> None:
    await chat.put(ONE, asked())
    assert (await chat.delete(ONE)).status == 200
    assert (await chat.delete(ONE)).status == 204
    for answer in (await chat.get(ONE), await chat.patch(ONE, {"labels": []}), await chat.post(f"{ONE}/getFullUrl")):
        assert (answer.status, answer.code) == (404, "ResourceNotFound")


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no destination": ({"properties": {}}, ["properties.destination"]),
    "a destination that is text": (asked(destination=URL), ["properties.destination"]),
    "a storage queue": (asked(destination={"endpointType": "StorageQueue"}), ["properties.destination.endpointType"]),
    "no address": (
        asked(destination={"endpointType": "WebHook"}), ["properties.destination.properties.endpointUrl"],
    ),
    "a topic without key": (
        asked(destination={"endpointType": "EventGridTopic", "properties": {"endpoint": URL}}),
        ["properties.destination.properties.key"],
    ),
    "an unknown event type": (
        asked(filter={"includedEventTypes": [EVENT_TYPES[0], "Microsoft.Storage.BlobCreated"]}),
        ["properties.filter.includedEventTypes[1]"],
    ),
    "no event type": (asked(filter={"includedEventTypes": []}), ["properties.filter.includedEventTypes"]),
    "advanced filters": (asked(filter={"advancedFilters": [{"key": "x"}]}), ["properties.filter.advancedFilters"]),
    "bounds": (
        asked(
            retryPolicy={"maxDeliveryAttempts": 31, "eventTimeToLiveInMinutes": 0}, eventDeliverySchema="CustomInputSchema",
            labels=[7], expirationTimeUtc="2020-01-01T00:00:00Z",
        ),
        [
            "properties.eventDeliverySchema", "properties.labels[0]", "properties.retryPolicy.maxDeliveryAttempts",
            "properties.retryPolicy.eventTimeToLiveInMinutes", "properties.expirationTimeUtc",
        ],
    ),
    "a time after all times": (asked(expirationTimeUtc="9999-12-31T23:59:59-12:00"), ["properties.expirationTimeUtc"]),
    "a time that is none": (asked(expirationTimeUtc="tomorrow"), ["properties.expirationTimeUtc"]),
}  # fmt: skip


@pytest.mark.parametrize(("body", "targets"), WRONG.values(), ids=WRONG)
async def test_subscription_with_a_wrong_body_is_refused_and_every_field_named(
    chat: Api, body: dict[str, Any], targets: list[str]
) -> None:
    answer = await chat.put(ONE, body)
    assert (answer.status, answer.code) == (400, "InvalidRequestContent")
    assert answer.targets == targets
    assert (await chat.get(ONE)).status == 404


ADDRESSES = [
    "http://hooks.contoso.com/", "http://127.0.0.1:8080/", "ftp://hooks.contoso.com/", "https://", "hooks.contoso.com",
    "https://user:password@hooks.contoso.com/", "https://hooks.contoso.com/#part", "https://hooks.contoso.com:port/",
    "https://[::1/", "https://hooks.contoso.com/ a",
]  # fmt: skip


@pytest.mark.parametrize("url", ADDRESSES)
async def test_subscription_to_an_address_that_is_not_https_is_refused(chat: Api, url: str) -> None:
    answer = await chat.put(ONE, asked(destination=web_hook(url)))
    assert (answer.status, answer.targets) == (400, ["properties.destination.properties.endpointUrl"])
    assert "must be an https address" in answer.message


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://127.0.0.1:8080/hook", 201),
        ("http://localhost/hook", 201),
        ("http://[::1]:8080/", 201),
        ("http://10.0.0.1/", 400),
    ],
)
async def test_subscription_of_a_local_world_may_go_to_this_machine_in_plain(azurite: str, url: str, status: int) -> None:
    api = await build_api(azurite, change=lambda settings: replace(settings, local_world=True))
    await api.communication_service("chat")
    assert (await api.put(ONE, asked(destination=web_hook(url)))).status == status
    await api.services.close()


async def test_subscription_of_a_service_that_is_not_there_is_refused(api: Api) -> None:
    answer = await api.put(ONE, asked())
    assert (answer.status, answer.code) == (404, "ParentResourceNotFound")
