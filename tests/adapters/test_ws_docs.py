"""docs/websocket.md tells all there is, and its sessions go as they stand."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import msgspec

import supersoniq
from supersoniq.adapters.http.limits import Limits
from supersoniq.adapters.http.wire import Envelope, LeaseOut, MessageOut
from supersoniq.adapters.ws import farewell
from supersoniq.adapters.ws.codec import CODECS
from supersoniq.adapters.ws.farewell import Farewell
from supersoniq.adapters.ws.frames import REQUESTS, Bye, ErrorOut, EventsOut, Ok, Out, Welcome
from supersoniq.wire.parts import SettlementIn
from tests.adapters.sockets import Client, dial, served

PAGE = (Path(__file__).parents[2] / "docs" / "websocket.md").read_text()
EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
SESSIONS = re.findall(r"```text\n([<>].*?)```", PAGE, re.DOTALL)


def fields(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def test_every_field_is_told() -> None:
    told = set(re.findall(r"[`.\"]([a-z_0-9]+)[`\"]", PAGE))
    kinds: list[type[msgspec.Struct]] = [Envelope, LeaseOut, MessageOut, SettlementIn]
    for kind in (*kinds, *REQUESTS.values()):
        assert fields(kind) <= told, kind
    for out in (Welcome, Ok, EventsOut, ErrorOut, Bye):
        assert fields(out) <= told, out
    assert set(REQUESTS) <= told
    assert {str(kind.__struct_config__.tag) for kind in Out.__subclasses__()} <= told
    for name in ("hello_timeout", "max_sockets", "max_subscriptions", "max_credit", "max_outbox"):
        assert hasattr(Limits, name)
        assert name in told


def test_every_end_is_told() -> None:
    ends = [value for value in vars(farewell).values() if isinstance(value, Farewell)]
    assert len(ends) == 8
    for end in ends:
        again = "no" if end.retry_after is None else "yes"
        assert f"| {end.code} | `{end.reason}` | {again} |" in PAGE, end


def test_the_examples_of_requests_are_requests() -> None:
    codec = CODECS["supersoniq.v1.json"](64)
    seen = set()
    for example in EXAMPLES:
        if example["type"] in REQUESTS:
            assert codec.read(json.dumps(example).encode()).id == example["id"]
            seen.add(example["type"])
        else:
            kinds = {str(kind.__struct_config__.tag): kind for kind in Out.__subclasses__()}
            assert set(example) - {"type"} <= fields(kinds[example["type"]])
    assert seen == set(REQUESTS)
    limits = next(each for each in EXAMPLES if each["type"] == "welcome")["limits"]
    assert limits["max_frame"] == Limits.max_body


def test_the_sessions_go_like_that(url: str) -> None:
    async def play(client: Client, lines: list[str]) -> None:
        receipts: dict[str, str] = {}
        for line in lines:
            for short, long in receipts.items():
                line = line.replace(f'"receipt": "{short}"', f'"receipt": "{long}"')
            frame = json.loads(line[1:])
            if line.startswith(">"):
                await client.socket.send(line[1:])
            elif frame["type"] != "welcome":  # which ``dial`` has heard
                if "id" in frame:  # which of the two comes first is the store's affair
                    heard = await client.answer(frame["id"])
                else:
                    heard = await client.next(frame["type"])
                same(frame, heard)
                for told, real in zip(
                    frame.get("messages", ()), heard.get("messages", ()), strict=True
                ):
                    receipts[told["receipt"]] = real["receipt"]

    def same(told: Any, heard: Any) -> None:
        if isinstance(told, dict):
            for name, value in told.items():
                if name not in ("receipt", "offset"):
                    same(value, heard[name])
        elif isinstance(told, list):
            assert len(told) == len(heard)
            for one, other in zip(told, heard, strict=True):
                same(one, other)
        else:
            assert told == heard

    async def main() -> None:
        assert len(SESSIONS) == 2
        async with supersoniq.connect(url) as broker, served(broker) as address:
            for session in SESSIONS:
                async with dial(address) as client:
                    await play(client, session.strip().splitlines())
            assert (await broker.queue("jobs").stats()).acked == 2

    asyncio.run(main())
