"""``GET /metrics``: what it says, in which form, to whom, and what it costs the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import supersoniq
from supersoniq.api.observer import Observer
from supersoniq.auth import Verifier
from supersoniq.core.errors import BackendUnavailable
from supersoniq.core.ops import AnyOp, Stats
from supersoniq.observe import figures
from supersoniq.port import Result
from tests.auth import tokens
from tests.backends.redis_server import needs_server, shared, store_prefix
from tests.observe.scraping import app, scrape

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


def of(folder: Path, store: str) -> str:
    if store == "redis":
        return f"{shared().url}?prefix={store_prefix()}"
    return "memory://" if store == "memory" else f"sqlite:///{folder}/store.db"


REDIS = pytest.param("redis", marks=needs_server)


@pytest.mark.parametrize("store", ["memory", "sqlite", REDIS])
def test_what_happened_is_what_it_says(store: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with app(of(tmp_path, store)) as (client, broker):
            queue = broker.queue("q", backoff=60)
            await queue.publish_many(range(8))
            await queue.publish("once", key="k")
            await queue.publish("once", key="k")
            for how in ("ack", "nack", "release", "reject"):
                delivery = await queue.get(0)
                assert delivery is not None
                await getattr(delivery, how)()
            stale = await client.post(
                "/queues/q/settlements", json=[{"receipt": "none", "outcome": "ack"}]
            )
            assert stale.json()[0]["ok"] is False
            lost = await queue.get(0)
            assert lost is not None
            await broker.queue("q").purge("dead")
            seen = await scrape(client)
            assert seen.value("messages_published_total", queue="q") == 9
            assert seen.value("messages_duplicate_total", queue="q") == 1
            assert seen.value("deliveries_total", queue="q") == 5
            assert seen.value("settlements_stale_total", queue="q") == 1
            assert seen.value("leases_lapsed_total", queue="q") == 0
            for outcome in ("acked", "nacked", "released", "rejected"):
                found = seen.value("messages_settled_total", queue="q", outcome=outcome)
                assert found == 1, outcome
            assert seen.value("messages_gone_total", queue="q", reason="purged") == 1
            sizes = {"scheduled": 1, "ready": 5, "leased": 1, "done": 0, "dead": 0}
            for status, size in sizes.items():
                assert seen.value("messages", queue="q", status=status) == size, status
            assert seen.value("queues") == 2
            assert seen.value("queue_paused", queue="q") == 0
            assert seen.value("time_in_queue_seconds_count", queue="q") == 5
            assert seen.value("time_in_hand_seconds_count", queue="q") == 4
            assert seen.value("time_in_hand_seconds_bucket", queue="q", le="86400.0") == 4
            commits = seen.value("backend_commit_seconds_count")
            assert commits is not None
            assert (commits > 0) is (store != "memory")
            assert seen.value("backend_commit_operations_count") == commits
            route = {"route": "/queues/{queue}/settlements", "method": "POST"}
            found = seen.value("http_requests_total", **route, protocol="http/1.1", status="200")
            assert found == 1
            assert seen.value("build_info", version=supersoniq.__version__) == 1

    asyncio.run(main())


def test_the_age_of_the_oldest() -> None:
    async def main() -> None:
        async with app() as (client, broker):
            await broker.queue("q").publish("x")
            begun = time.time()
            (message,) = await broker.queue("q").browse()
            seen = await scrape(client)
            age = seen.value("oldest_ready_age_seconds", queue="q")
            assert age is not None
            assert 0 <= age <= time.time() - min(begun, message.available_at / 1000)
            assert seen.value("oldest_ready_age_seconds", queue="default") == 0

    asyncio.run(main())


def test_the_form_is_what_was_asked_for() -> None:
    async def main() -> None:
        async with app() as (client, broker):
            await broker.queue("q").publish("x")
            for accept in ("*/*", PROMETHEUS, "application/openmetrics-text"):
                answer = await client.get("/metrics", headers={"accept": accept})
                kind = answer.headers["content-type"]
                assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
                assert answer.text.endswith("# EOF\n")
                unit = "supersoniq_oldest_ready_age_seconds"
                assert f"# UNIT {unit} seconds\n" in answer.text
            answer = await client.get("/metrics", headers={"accept": "text/plain"})
            assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert 'supersoniq_messages_published_total{queue="q"} 1.0\n' in answer.text
            assert "# EOF" not in answer.text
            refused = await client.get("/metrics", headers={"accept": "application/json"})
            assert refused.status_code == 406
            assert (await client.get("/metrics?x=1")).status_code == 400
            assert (await client.head("/metrics")).content == b""

    asyncio.run(main())


def test_queues_beyond_the_bound_are_summed_up() -> None:
    async def main() -> None:
        async with app(metrics_queues=3) as (client, broker):
            for number in range(6):
                await broker.queue(f"q{number}").publish_many(range(number + 1))
                await broker.queue(f"q{number}").get(0)
            seen = await scrape(client)
            published = "messages_published_total"
            labels = seen.labels("messages_published", "queue")
            assert len(labels) == 4
            assert "_other" in labels
            total = sum(seen.value(published, queue=label) or 0 for label in labels)
            assert total == sum(range(7))
            times = seen.labels("time_in_queue_seconds", "queue")
            assert times <= {"q0", "q1", "q2", "_other"}
            assert seen.value("time_in_queue_seconds_count", queue="_other") == 3
            assert seen.value("queues") == 7

    asyncio.run(main())


def test_who_is_gone_makes_room_for_others() -> None:
    from supersoniq.observe.labels import OTHER, Labels

    labels = Labels(2, lambda: 10.0)
    assert [labels.of(name) for name in "abcab"] == ["a", "b", OTHER, "a", "b"]
    assert labels.keep(["b", "c"], asked=10.0) == set(), "a may be newer than that"
    assert labels.keep(["b", "c"], asked=11.0) == {"a"}
    assert [labels.of(name) for name in "bcad"] == ["b", "c", OTHER, OTHER]


def test_a_queue_that_is_younger_than_the_answer_keeps_what_was_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(figures, "FRESH", 600.0)  # for all of the test, on a busy machine too

    async def main() -> None:
        async with app() as (client, broker):
            await scrape(client)
            await broker.queue("young").publish("x")
            assert await broker.queue("young").get(0) is not None
            # Written anew from what the store said before.
            await client.get("/metrics", headers={"accept": "text/plain"})
            times = (await client.get("/stats/process")).json()["queues"]
            assert times["young"]["time_in_queue"]["count"] == 1

    asyncio.run(main())


@pytest.mark.parametrize("most", [-1, 10_001, 1.5, True, "many"])
def test_a_bound_that_cannot_be(most: object) -> None:
    from supersoniq.adapters import create_app

    with pytest.raises(supersoniq.SupersoniqError, match="metrics_queues"):
        create_app(supersoniq.connect("memory://"), metrics_queues=most)  # type: ignore[arg-type]


def test_it_can_be_switched_off() -> None:
    async def main() -> None:
        async with app(metrics=False) as (client, broker):
            assert (await client.get("/metrics")).status_code == 404
            assert (await client.get("/stats/process")).status_code == 404
            assert (await client.get("/stats")).status_code == 200
            direct = broker.engine.direct
            assert direct is not None
            assert direct.lease.__qualname__ == "Here.lease", "nothing is in its way"

    asyncio.run(main())


class Asked(Observer):
    """Counts how often a store is asked for figures."""

    def __init__(self) -> None:
        self.times = 0

    def done(self, op: AnyOp, result: Result) -> None:
        self.times += isinstance(op, Stats)


def test_many_scrapes_ask_the_store_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "FRESH", 600.0)  # for all of the test, on a busy machine too

    async def main() -> None:
        async with app() as (client, broker):
            asked = Asked()
            broker.observe(asked)
            await asyncio.gather(*(scrape(client) for _ in range(20)))
            await scrape(client)
            assert asked.times == 1  # of one queue

    asyncio.run(main())


def test_a_store_that_fails_is_an_outage_and_then_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with app(of(tmp_path, "sqlite")) as (client, broker):
            await client.get("/stats")
            execute = broker.engine._coalescer.execute

            async def sick(batch: Sequence[AnyOp]) -> list[Result]:
                raise BackendUnavailable("it is sick")

            broker.engine._coalescer.execute = sick
            assert (await client.get("/metrics")).status_code == 503
            broker.engine._coalescer.execute = execute
            assert (await client.get("/metrics")).status_code == 200

    asyncio.run(main())


def bearer(scope: str) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens.good(scope=scope)}"}


def test_a_scope_shows_its_own_queues_and_nothing_else() -> None:
    async def main() -> None:
        auth: Verifier = tokens.verifier()
        async with app(auth=auth, metrics_queues=2) as (client, broker):
            for name in ("mail.in", "mail.out", "secret"):
                await broker.queue(name).publish("x")
                await broker.queue(name).get(0)
            assert (await client.get("/metrics")).status_code == 401
            everything = await scrape(client, bearer("metrics:*"))
            assert everything.value("queues") == 4
            assert everything.value("calls_refused_total", error="authentication-failed") == 1
            mine = await scrape(client, bearer("metrics:mail.*"))
            names = everything.labels("messages_published", "queue")
            seen = mine.labels("messages_published", "queue")
            assert seen == {name for name in names if name.startswith("mail.")}
            assert "secret" not in mine.text
            assert "_other" not in mine.text
            assert mine.value("queues") is None
            assert "process_cpu_seconds" not in mine.families
            assert "supersoniq_http_requests" not in mine.families
            path = "/stats/process"
            told = (await client.get(path, headers=bearer("metrics:mail.*"))).json()
            assert told["process"] is None
            assert set(told["queues"]) <= {"mail.in", "mail.out"}
            whole = (await client.get(path, headers=bearer("metrics:*"))).json()
            assert whole["process"]["refused"] == {"authentication-failed": 1}
            for path in ("/metrics", "/stats/process"):
                refused = await client.get(path, headers=bearer("publish:* browse:*"))
                assert refused.status_code == 403

    asyncio.run(main())


def test_requests_are_counted_by_route_not_by_path() -> None:
    async def main() -> None:
        async with app() as (client, _):
            for number in range(5):
                assert (await client.get(f"/nothing/{number}")).status_code == 404
                await client.get(f"/queues/q{number}/stats")
                await client.request(f"M{number}", "/queues")
            requests = (await client.get("/stats/process")).json()["process"]["requests"]
            found = {(each["route"], each["method"]): each["count"] for each in requests}
            assert found == {
                ("_other", "_other"): 5,
                ("/queues/{queue}/stats", "GET"): 5,
                ("/queues", "_other"): 5,
            }

    asyncio.run(main())


def test_no_content_or_secret_is_told() -> None:
    canary = "canary-5c1e"

    async def main() -> None:
        async with app(auth=tokens.verifier()) as (client, _):
            head = bearer("publish:* consume:* metrics:* browse:*")
            body = {
                "content": f"content-{canary}",  # the rest is told to who asks
                "headers": {canary: canary},
                "key": canary,
                "sender": canary,
            }
            posted = await client.post("/queues/q/messages", json=body, headers=head)
            assert posted.status_code == 201, posted.text
            await client.post("/queues/q/leases", json={"recipient": canary}, headers=head)
            await client.post("/queues/q/leases", json={"limit": 1}, headers=head)
            await client.get(f"/queues/{canary}/stats", headers=head)
            await client.get(f"/{canary}?{canary}={canary}", headers=head)
            await client.request(canary, "/queues", headers=head)
            await client.get("/queues", headers={"authorization": f"Bearer {canary}"})
            token = head["authorization"].removeprefix("Bearer ")
            for path in ("/metrics", "/stats/process", "/stats"):
                told = (await client.get(path, headers=head)).text
                assert "supersoniq" in told or "queue" in told
                for secret in (canary, token, tokens.SECRET.decode(), posted.json()["id"]):
                    assert secret not in told, path

    asyncio.run(main())


@pytest.mark.parametrize("store", ["sqlite", REDIS])
def test_two_processes_on_one_store(store: str, tmp_path: Path) -> None:
    """What is of the store both say alike; what is of a process is of one of them."""

    async def main() -> None:
        url = of(tmp_path, store)
        async with app(url) as (one, broker), app(url) as (two, other):
            await broker.queue("q").publish_many(range(4))
            for each in (broker, other, other):
                delivery = await each.queue("q").get(60)
                assert delivery is not None
                await delivery.ack()
            first, second = await scrape(one), await scrape(two)
            for seen, taken in ((first, 1), (second, 2)):
                assert seen.value("messages_published_total", queue="q") == 4
                assert seen.value("messages_settled_total", queue="q", outcome="acked") == 3
                assert seen.value("messages", queue="q", status="ready") == 1
                assert seen.value("time_in_queue_seconds_count", queue="q") == taken
                assert seen.value("time_in_hand_seconds_count", queue="q") == taken

    asyncio.run(main())


def test_two_apps_have_two_of_everything() -> None:
    async def main() -> None:
        async with app() as (one, _), app() as (two, _):
            await one.get("/queues")
            process = (await two.get("/stats/process")).json()["process"]
            assert process["requests"] == []

    asyncio.run(main())
