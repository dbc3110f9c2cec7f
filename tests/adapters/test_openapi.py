"""The document itself: whole, made from the routes, and right wherever the app is mounted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
import schemathesis
from starlette.applications import Starlette
from starlette.routing import Mount

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.described import description_of
from supersoniq.adapters.http.exchange import Exchange, Reply
from supersoniq.adapters.http.limits import Limits
from supersoniq.adapters.http.openapi import openapi
from supersoniq.adapters.http.problems import REFUSALS
from supersoniq.adapters.http.routes import ROUTES
from supersoniq.core.errors import ConfigurationError, SupersoniqError, _family

Visit = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Document = dict[str, Any]


def made(**limits: Any) -> Document:
    document: Document = json.loads(json.dumps(openapi(ROUTES, Limits(**limits))))
    return document


def operations(document: Document) -> dict[tuple[str, str], Any]:
    return {
        (path, method): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def references(value: Any) -> set[str]:
    if isinstance(value, list):
        return set[str]().union(*map(references, value))
    if not isinstance(value, dict):
        return set()
    found = set[str]().union(*map(references, value.values()))
    return found | {value["$ref"]} if "$ref" in value else found


def test_it_is_an_openapi_document() -> None:
    document = {**made(), "servers": [{"url": "/"}]}
    schemathesis.openapi.from_dict(document).validate()
    names = {ref.removeprefix("#/components/schemas/") for ref in references(document)}
    assert names <= set(document["components"]["schemas"])
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(ids) == len(set(ids))
    linked = {
        link["operationId"]
        for operation in operations(document).values()
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    }
    assert linked
    assert linked <= set(ids)


def test_every_route_is_in_it_and_nothing_else() -> None:
    told = {
        path: {method.upper() for method in methods} for path, methods in made()["paths"].items()
    }
    assert told == {path: set(methods) for path, methods in ROUTES.items()}
    for path, operation in operations(made()).items():
        assert operation["summary"], path
        assert "`" not in operation["summary"][:1]


def test_a_route_that_tells_nothing_of_itself_is_refused() -> None:
    async def secret(exchange: Exchange) -> Reply:
        return Reply(204)

    with pytest.raises(LookupError):
        openapi({**ROUTES, "/secret": {"GET": secret}}, Limits())
    for methods in ROUTES.values():
        for handler in methods.values():
            assert description_of(handler).gives


def test_every_error_that_can_happen_has_its_problem() -> None:
    codes = {
        schema["allOf"][1]["properties"]["code"]["const"]: schema
        for schema in made()["components"]["schemas"].values()
        if "allOf" in schema
    }
    family = _family(SupersoniqError)
    # Those of a program's own set-up, of rights that nobody has yet, and of no one route.
    never = {code for code, kind in family.items() if issubclass(kind, ConfigurationError)}
    later = {"authentication-failed", "permission-denied", "rate-limited", "keys-unavailable"}
    later.add("too-many-open")
    by_item = {"lease-lost"}
    assert set(family) - {"error"} - never - later - by_item <= set(codes)
    assert set(REFUSALS.values()) - {"method-not-allowed"} <= set(codes)
    for code, schema in codes.items():
        if code in family:
            own = schema["allOf"][1]["properties"]
            assert set(own["data"]["required"]) == set(family[code].fields)


def test_it_states_the_limits_of_this_app() -> None:
    document = made(max_batch=7, max_wait=3, max_body=1234, max_batch_body=5678, max_depth=9)
    schemas = document["components"]["schemas"]
    assert schemas["LeaseRequest"]["properties"]["wait"]["maximum"] == 3
    assert schemas["LeaseRequest"]["properties"]["limit"]["maximum"] == 7
    assert "1234 bytes" in document["paths"]["/messages"]["post"]["requestBody"]["description"]
    assert "5678 bytes" in document["paths"]["/operations"]["post"]["requestBody"]["description"]
    assert "9 levels" in document["info"]["description"]
    assert "limit of the app" not in json.dumps(document)


def test_it_is_served_and_linked(visit: Visit) -> None:
    async def main() -> None:
        async with visit(max_batch=7) as client:
            link = (await client.get("/")).json()["links"]["openapi"]
            answer = await client.get(link)
            assert answer.headers["content-type"] == "application/json"
            document = answer.json()
            assert document.pop("servers") == [{"url": "/"}]
            assert document == made(max_batch=7)
            assert (await client.get(link, headers={"accept": "text/html"})).status_code == 406

    asyncio.run(main())


@pytest.mark.parametrize(
    ("prefix", "server"), [("/q", "/q"), ("/deep/in", "/deep/in"), ("/qué", "/qu%C3%A9")]
)
def test_it_says_where_it_is_mounted(prefix: str, server: str) -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            outer = Starlette(routes=[Mount(prefix, create_app(broker))])
            transport = httpx.ASGITransport(outer)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                document = (await client.get(f"{prefix}/openapi.json")).json()
                assert document["servers"] == [{"url": server}]
                assert (await client.get(f"{server}/queues")).status_code == 200

    asyncio.run(main())
