"""The app does what its document says: schemathesis sends what it allows, and what it forbids.

Requests are made from ``/openapi.json`` alone: valid ones, invalid ones of every field, methods
that are not there. Every answer must be as documented: status, media type, header fields and body;
valid data is accepted and invalid data refused.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import hypothesis
import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
import requests
import schemathesis
from schemathesis import Case, Response
from schemathesis.core import NotSet
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    response_schema_conformance,
)

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.media import JSON, MSGPACK, NDJSON, SSE
from tests.adapters.calling import Caller
from tests.canary import canary

BASE = "http://test"


@schemathesis.serializer(NDJSON)
def write_lines(context: Any, value: Any) -> bytes:
    several = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(each).encode() + b"\n" for each in several)


@schemathesis.deserializer(NDJSON)
def read_lines(context: Any, response: Response) -> Any:
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.serializer(MSGPACK)
def pack(context: Any, value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(with_bytes(value))
    except OverflowError:
        hypothesis.reject()  # an integer that MessagePack cannot say


def with_bytes(value: Any) -> Any:
    """A batch of operations with contents as MessagePack has them."""
    if isinstance(value, list):
        return [with_bytes(each) for each in value]
    if isinstance(value, dict):
        return {name: content_of(name, each) for name, each in value.items()}
    return value


def content_of(name: str, value: Any) -> Any:
    if name != "content" or not isinstance(value, str):
        return with_bytes(value)
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return 0  # what is no base64 has no counterpart; neither is this a content


broker = supersoniq.connect("memory://")
app = create_app(broker, max_wait=0.01, max_batch=20, line_batch=3, max_depth=32)
caller = Caller(app)
caller.run(broker.open)
schema = schemathesis.openapi.from_dict(json.loads(caller.call("GET", "/openapi.json").body))


def send(case: Case[Any]) -> Response:
    request = requests.Request(**case.as_transport_kwargs(BASE)).prepare()
    body: Any = request.body or b""
    if case.media_type == "*/*" and body:
        request.headers["Content-Type"] = "application/octet-stream"
    answer = caller.call(
        str(request.method),
        str(request.url),
        [(name, str(value)) for name, value in request.headers.items()],
        body if isinstance(body, bytes) else body.encode(),
    )
    fields: dict[str, list[str]] = {}
    for name, value in answer.fields:
        fields.setdefault(name, []).append(value)
    return Response(answer.status, fields, answer.body, request, 0, False)


checks = schema.config.checks
accepted = checks.positive_data_acceptance
accepted.expected_statuses = [*accepted.expected_statuses, "413", "426"]  # of small queues; of /ws


def mend(case: Case[Any]) -> None:
    """What a schema cannot say, and the document's words do.

    What is set anew is judged anew by schemathesis: it knows then that JSON must be an envelope,
    where it made anything for ``*/*`` and sent it as JSON.
    """
    if case.media_type in (JSON, NDJSON) and case.path.endswith("/messages"):
        case.query = {}
    if case.media_type in (JSON, NDJSON, MSGPACK) and not isinstance(case.body, NotSet):
        case.body = whole(case.body)
    if case.method == "PUT" and isinstance(case.body, dict):
        backoff = case.body.get("backoff")
        if isinstance(backoff, dict):
            case.body["backoff"] = {**backoff, "initial": 0}
        elif backoff is not None:
            case.body["backoff"] = 0


def whole(value: Any) -> Any:
    """The same value, integers written without a fraction."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(each) for each in value]
    if isinstance(value, dict):
        return {name: whole(each) for name, each in value.items()}
    return value


def refused_within(response: Response) -> bool:
    """Whether some of a batch was refused, in an answer that has a verdict for each."""
    packed = response.headers["content-type"] == [MSGPACK]
    told = (msgspec.msgpack if packed else msgspec.json).decode(response.content)
    verdicts = told if isinstance(told, list) else told["results"]
    return any("problem" in each or "error" in each for each in verdicts)


def bad(case: Case[Any], response: Response) -> bool:
    """Whether anything was sent that the document forbids: what was left out is not."""
    assert case.meta is not None
    if (case.meta.phase.data.description or "").lower().endswith("positive test case"):
        return False  # schemathesis says so itself, and yet takes some of those for forbidden
    parts = {each for each, info in case.meta.components.items() if info.mode.is_negative}
    if _texts_after_all(case, str(response.request.url)):
        parts.discard(ParameterLocation.QUERY)
    if not response.request.body:
        parts.discard(ParameterLocation.BODY)
    if "?" not in str(response.request.url):
        parts.discard(ParameterLocation.QUERY)
    return bool(parts)


def _texts_after_all(case: Case[Any], url: str) -> bool:
    """Whether all that is forbidden is in the headers, and has become good in the address.

    There a number is a text, and an empty list is nothing.
    """
    assert case.meta is not None
    if getattr(case.meta.phase.data, "parameter", None) != "headers":
        return False
    document: Any = schema.raw_schema
    operation = document["paths"][case.path][case.method.lower()]
    [allowed] = [each["schema"] for each in operation["parameters"] if each["name"] == "headers"]
    fields = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    texts = {name: value for name, value in fields if name.startswith("headers")}
    return bool(jsonschema.validators.validator_for(allowed)(allowed).is_valid(texts))


@pytest.fixture(autouse=True)
def told_as_well(nothing_is_told: None) -> Iterator[None]:
    """What is made up is a content here, and there a name or an id, which may be told."""
    yield
    canary.forgive()


def check(case: Case[Any]) -> None:
    """Send it, and compare what comes with the document."""
    assert case.meta is not None
    negative = case.meta.generation.mode.is_negative
    if not negative:
        mend(case)
    response = send(case)
    excluded: list[Any] = []
    if not negative:
        excluded = [negative_data_rejection]
    else:
        by_item = case.path.endswith(("/settlements", "/operations"))
        if by_item and response.status_code == 200:
            assert refused_within(response)
            excluded = [negative_data_rejection]
        elif not bad(case, response):
            excluded = [negative_data_rejection]
    case.validate_response(response, excluded_checks=excluded)


@schema.parametrize()
@hypothesis.settings(max_examples=8, deadline=None, derandomize=True)
def test_the_document_is_true(case: Case[Any]) -> None:
    check(case)


@pytest.mark.parametrize("kind", [SSE, NDJSON])
def test_the_document_is_true_of_events(kind: str) -> None:
    """Made requests seldom name a queue that is there."""
    assert caller.call("POST", "/messages", [("Content-Type", "text/plain")], b"x").status == 201
    case = schema["/queues/{queue}/events"]["GET"].Case(
        path_parameters={"queue": "default"}, headers={"Accept": kind, "Prefer": "wait=0"}
    )
    response = send(case)
    assert response.headers["content-type"] == [kind]
    assert b'"kind":"published"' in response.content
    case.validate_response(response, checks=[response_schema_conformance])
    broken = response.content.replace(b'"offset"', b'"of"')
    with pytest.raises(FailureGroup):
        case.validate_response(
            Response(200, response.headers, broken, response.request, 0, False),
            checks=[response_schema_conformance],
        )


@pytest.mark.soak
@pytest.mark.timeout(0)
@schema.parametrize()
@hypothesis.settings(max_examples=2000, deadline=None)
def test_the_document_is_true_at_length(case: Case[Any]) -> None:
    check(case)
