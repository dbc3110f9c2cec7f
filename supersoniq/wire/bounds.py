"""What a field may hold, said in the words of JSON Schema.

The schema of a type is generated from it, and a bare ``int`` says too little. These annotations say
the rest and check nothing: ``core.checks`` does, from the same constants, with errors that say
more. That both agree is shown by tests which send what a schema allows and what it forbids.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from supersoniq.core import checks
from supersoniq.core.policy import MAX_LEASE, MIN_LEASE

__all__ = [
    "Base64",
    "ContentType",
    "Delay",
    "Extension",
    "Headers",
    "Instant",
    "Key",
    "LeaseTime",
    "MessageId",
    "Priority",
    "QueueName",
    "Reason",
    "Recipient",
    "Sender",
    "Ttl",
    "told",
]


def told(description: str, **keywords: Any) -> msgspec.Meta:
    """A description and keywords of JSON Schema for a type, which check nothing."""
    return msgspec.Meta(description=description, extra_json_schema=keywords)


NO_CONTROL = r"^[^\u0000-\u001f\u007f]*$"
UUID7 = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$"
BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
TYPE = r"^[\u0021-\u007e][\u0020-\u007e]{0,254}$"

_seconds = {"minimum": 0, "maximum": checks.MAX_DURATION}
_lease = {"minimum": MIN_LEASE, "maximum": MAX_LEASE}
_subject = {"minLength": 1, "maxLength": checks.MAX_SUBJECT, "pattern": NO_CONTROL}
_key = {**_subject, "maxLength": checks.MAX_KEY}

QueueName = Annotated[str, told("A queue's name.", pattern=NAME)]
MessageId = Annotated[str, told("A message's id: a UUIDv7.", format="uuid", pattern=UUID7)]
Base64 = Annotated[bytes, told("Bytes, in base64.", pattern=BASE64)]
ContentType = Annotated[str, told("The content's media type.", pattern=TYPE)]
Priority = Annotated[
    int,
    told("Higher is sooner.", minimum=checks.MIN_PRIORITY, maximum=checks.MAX_PRIORITY),
]
Delay = Annotated[int | float, told("Seconds until it is ready.", **_seconds)]
Ttl = Annotated[
    int | float,
    told(
        "Seconds until it expires, unless somebody holds it.",
        minimum=0.000001,
        maximum=checks.MAX_DURATION,
    ),
]
LeaseTime = Annotated[int | float, told("Seconds; by default the queue's `lease`.", **_lease)]
Extension = Annotated[
    int | float, told("extend: seconds from now; by default the queue's `lease`.", **_lease)
]
Key = Annotated[
    str,
    told(
        "Within the queue's `dedup_window` a second publish of it stores nothing.",
        **_key,
    ),
]
Sender = Annotated[str, told("Who sends it.", **_subject)]
Recipient = Annotated[
    str, told("Only a consumer that asks as this recipient gets such a message.", **_subject)
]
Reason = Annotated[str, told("nack, reject: what went wrong.", maxLength=checks.MAX_REASON)]
Instant = Annotated[
    int, told("Milliseconds since the Unix epoch.", minimum=0, maximum=253_402_300_799_999)
]
Headers = Annotated[
    dict[str, Annotated[str, told("Its value.", pattern=NO_CONTROL)]],
    told(
        f"A flat map; at most {checks.MAX_HEADERS_SIZE} characters in all.",
        maxProperties=checks.MAX_HEADERS,
        propertyNames={"pattern": r"^[^\u0000-\u001f\u007f]{1,256}$"},
    ),
]
