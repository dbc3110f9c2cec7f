"""One HTTP/2 connection: frames come in, requests begin, answers go out.

It owns the ``h2`` engine and the lanes, one for each request whose app has not ended. It has no
timers and touches no socket: its ``Host`` (``protocol.py``) does.

Whose fault is it? A bad head, a body of the wrong length, a stream too many: that stream's, which
is answered or reset. A broken frame, a broken HPACK state, a flood: the connection's, which ends
with GOAWAY. Nothing that comes from a peer gets further than that.

Every frame that makes work and carries nothing costs a token. So does every stream that was opened
in vain. Rapid reset (CVE-2023-44487), requests without number of which none is ever open, is so met
twice: the bucket is soon empty, and a lane counts against the limit of streams until its app has
ended, whether it was reset or not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

import h2.events
from h2.exceptions import ProtocolError

from supersoniq.servers.arriving import KEPT
from supersoniq.servers.budget import Budget
from supersoniq.servers.h2 import frames
from supersoniq.servers.h2.discards import Discards
from supersoniq.servers.h2.engine import Engine
from supersoniq.servers.h2.frames import BadFrame, Frame, Frames
from supersoniq.servers.h2.limits import Limits
from supersoniq.servers.h2.push import Pusher
from supersoniq.servers.h2.streams import Lane
from supersoniq.servers.head import (
    BadHead,
    Endpoints,
    Head,
    http_scope,
    read_head,
    websocket_scope,
)
from supersoniq.servers.request import App, Request, answer_fields, plain
from supersoniq.servers.stream import Reset, StreamLost
from supersoniq.servers.told import CUT, REFUSED
from supersoniq.servers.websocket import WebSocket

__all__ = ["Connection", "Host"]

log = logging.getLogger("supersoniq.servers")

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, ENHANCE_YOUR_CALM = 0, 1, 2, 11
SETTINGS_COST = 20
"""Tokens for a SETTINGS frame, which touches every stream."""
PADDING = 9
"""Bytes of a DATA frame that has none."""
EARNEST = 1024
"""Bytes of a DATA frame by which a client gets on with its body."""


class Host(Protocol):
    """What a connection needs of the world."""

    def app(self) -> App:
        """The app for the next request."""

    def state(self) -> dict[str, Any]:
        """The lifespan's state."""

    def defaults(self) -> list[tuple[bytes, bytes]]:
        """Fields that every answer has."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that the server waits for when it stops."""

    def now(self) -> float:
        """Seconds on some clock."""

    def buffered(self) -> int:
        """Bytes that were written and have not left."""

    def flush_soon(self) -> None:
        """Write what the engine has to send, once this round is over."""

    def finish(self) -> None:
        """Close once everything is written: nothing more will happen."""

    def give_up(self) -> None:
        """Close after an error, so that the peer can read why."""


class Connection:
    """One HTTP/2 connection.

    Args:
        host: what it needs of the world.
        limits: bounds.
        ends: what all its requests have in common.
    """

    def __init__(self, host: Host, limits: Limits, ends: Endpoints) -> None:
        self.limits = limits
        self.engine = Engine(limits)
        self.lanes: dict[int, Lane] = {}
        self.waiting: dict[Lane, None] = {}
        """Those who wait for room in the connection, in the order in which they came."""
        self.draining = False
        """Whether one of the two sides has said goodbye."""
        self.over = False
        """Whether nothing is read any more."""
        self._frames = Frames(2 * limits.header_list)
        self._host = host
        self.ends = ends
        self._pusher = Pusher(self)
        self._greeted = False
        self.asked = 0
        """Requests of the client whose apps have not ended."""
        self._owed = 0
        self._discards = Discards(self.engine, limits)
        self._last = 0
        self._resets = Budget(limits.resets, limits.resets_rate)
        self._nuisances = Budget(limits.nuisances, limits.nuisances_rate)
        self.engine.receive_data(frames.PREFACE)

    # What arrives.

    @property
    def owed(self) -> bool:
        """Whether the peer has begun something that it has to finish soon."""
        return self._frames.owed or not self._greeted

    def receive(self, data: bytes) -> bool:
        """Take what has arrived. Nothing comes out of here.

        Gives whether there may be more to do at the next turn, with whatever has come until then
        or with nothing: so many frames are worked on in one.
        """
        if self.over:
            return False
        try:
            for count, frame in enumerate(self._frames.feed(data), 1):
                if self._admit(frame):
                    for event in self.engine.receive_data(frame.raw):
                        self._handle(event)
                if self.over:
                    return False
                if count == self.limits.turn:
                    return True
        except BadFrame as error:
            self.fail(error.code, str(error))
        except ProtocolError as error:
            # h2 has its GOAWAY ready.
            log.info("HTTP/2 connection ended: %s", error, extra=CUT)
            self._end(str(error))
            self._host.give_up()
        except Exception:
            log.exception("a bug in the HTTP/2 server")
            self.fail(INTERNAL_ERROR, "a bug in the server")
        return False

    def _admit(self, frame: Frame) -> bool:
        """Count a frame. Gives whether h2 shall see it."""
        kind = frame.kind
        if not self._greeted:
            if kind != frames.SETTINGS:
                raise BadFrame(PROTOCOL_ERROR, "SETTINGS come first")
            self._greeted = True
        if kind == frames.DATA:
            size = len(frame.raw) - PADDING
            empty = not size and not frame.flags & frames.END_STREAM
            if empty or (frame.stream not in self.lanes and not self._is_rest(frame.stream, size)):
                self._nuisance()  # what nobody wants any more comes for long
        elif kind == frames.RST_STREAM:
            if frame.stream % 2:
                self._in_vain()
            else:
                # Seen here: h2 does not tell of a stream that was over before.
                self._nuisance()
                self._pusher.refused(frame.stream)
        elif kind == frames.SETTINGS:
            self._nuisance(SETTINGS_COST)
        elif kind not in (frames.HEADERS, frames.CONTINUATION):
            self._nuisance()
            if kind == frames.GOAWAY:
                self.draining = True
                self._pusher.changed()
                self._perhaps_finish()
                return False
            return kind != frames.PRIORITY and kind <= frames.CONTINUATION
        return True

    def _is_rest(self, number: int, size: int) -> bool:
        """Whether it is of a request that was answered, of which so many bytes are thrown away."""
        return size >= EARNEST and number in self._discards

    def _nuisance(self, cost: int = 1) -> None:
        if not self._nuisances.take(self._host.now(), cost):
            raise BadFrame(ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def _in_vain(self) -> None:
        if not self._resets.take(self._host.now()):
            raise BadFrame(ENHANCE_YOUR_CALM, "too many streams that were opened in vain")

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._open(event.stream_id or 0)
        elif isinstance(event, h2.events.DataReceived):
            self._take(event)
        elif isinstance(event, h2.events.StreamEnded):
            self._discards.end(event.stream_id or 0)
            lane = self.lanes.get(event.stream_id or 0)
            if lane is not None:
                lane.stream.feed_end()
        elif isinstance(event, h2.events.StreamReset):
            self._discards.end(event.stream_id or 0)
            lane = self.lanes.get(event.stream_id or 0)
            if lane is not None:
                lane.lose("the client has reset it")
                self._pusher.changed()
        elif isinstance(event, h2.events.WindowUpdated):
            if not event.stream_id:
                self.wake()
            elif (lane := self.lanes.get(event.stream_id)) is not None:
                lane.stream.writable()
        elif isinstance(event, h2.events.PingAckReceived):
            self._pusher.answered(event.ping_data or b"")
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.engine.bound_encoder()
            self._pusher.changed()
            for lane in list(self.lanes.values()):
                lane.stream.writable()

    def _take(self, event: h2.events.DataReceived) -> None:
        data, size = event.data or b"", event.flow_controlled_length or 0
        # The connection's window is not for apps to close.
        self._owed += size
        if self._owed * 4 >= self.limits.connection_window:
            self.engine.increment_flow_control_window(self._owed)
            self._owed = 0
        if self._discards.take(event.stream_id or 0, size):
            self.flush_soon()
            return
        lane = self.lanes.get(event.stream_id or 0)
        if lane is None or lane.stream.lost is not None:
            return
        if size > len(data):
            if not data:
                self._nuisance()
            lane.credit(size - len(data))
        if data:
            lane.stream.feed(data)

    def discard(self, number: int) -> None:
        """Throw away what still comes of a request that was answered."""
        self._discards.begin(number)
        self.flush_soon()

    # Requests.

    def _open(self, number: int) -> None:
        lane = Lane(self, number)
        self._last = number if not self.draining else self._last
        if self.draining or self._is_full():
            self._in_vain()
            lane.stream.reset(Reset.REFUSED)
            return
        try:
            head = read_head(self.engine.head, self.limits.header_list)
        except BadHead as bad:
            self._in_vain()
            self._answer(lane, bad)
            return
        if head.length is not None:
            lane = Lane(self, number, head.length)
        self.asked += 1
        self.start(lane, head)

    def _is_full(self) -> bool:
        """Whether the client has as many requests as it may.

        It may be faster with its next one than an app, whose answer it has, with its return.
        """
        most = self.limits.streams
        if self.asked < most:
            return False
        late = sum(lane.answered and not lane.pushed for lane in self.lanes.values())
        return self.asked - min(late, most) >= most

    def _answer(self, lane: Lane, bad: BadHead) -> None:
        log.info("HTTP/2 request refused with %d: %s", bad.status, bad, extra=REFUSED)
        start, body = plain(bad.status, bad.problem)
        fields = answer_fields(bad.status, self._host.defaults(), start["headers"])
        try:
            lane.stream.send_head(fields)
        except StreamLost:
            return
        lane.stream.offer(body["body"], end=True)
        lane.stream.reset(Reset.DONE)

    def start(self, lane: Lane, head: Head, grant: object = None) -> None:
        """Begin an app's task for a request, or for a promised one and what the app grants it."""
        state, defaults = self._host.state(), self._host.defaults()
        if head.protocol:
            scope = websocket_scope(head, self.ends, state)
            limits, kept = self.limits, KEPT if self.ends.secure else 0
            lane.handler = WebSocket(
                lane.stream, scope, defaults, limits.websocket_message, limits.arriving, kept
            )
        else:
            scope = http_scope(head, self.ends, state)
            push = None
            if lane.pushed:
                lane.stream.feed_end()
                scope["extensions"]["http.response.pushed"] = {"grant": grant}
            elif self._pusher.allowed():
                extension, push = self._pusher.extension(lane, head)
                scope["extensions"]["http.response.push"] = extension
            lane.handler = Request(lane.stream, head, scope, defaults, push)
        self.lanes[lane.number] = lane
        lane.task = self._host.spawn(lane.run(self._host.app()))
        lane.task.add_done_callback(lambda _task: self._close(lane))
        self.flush_soon()

    def _close(self, lane: Lane) -> None:
        """An app has ended: its lane is free."""
        whole = lane.answered
        fits = isinstance(lane.handler, Request) and lane.handler.status == 200
        if lane.stream.lost is None and not lane.answered:
            lane.stream.reset(Reset.CANCEL)
        del self.lanes[lane.number]
        self.waiting.pop(lane, None)
        if lane.pushed:
            self._pusher.ended(lane.number, whole and fits)
        else:
            self.asked -= 1
        self._perhaps_finish()

    def _perhaps_finish(self) -> None:
        if self.draining and not self.lanes and not self.over:
            self.over = True
            self._host.finish()

    # What leaves.

    def room(self) -> int:
        """Bytes of answers that may still be handed over now."""
        return self.limits.output - self.engine.pending - self._host.buffered()

    def wake(self) -> None:
        """There is room again: whoever waits for it may try."""
        if self.waiting:
            waiting, self.waiting = self.waiting, {}
            for lane in waiting:
                lane.stream.writable()

    def flush_soon(self) -> None:
        """What the engine has to send shall leave."""
        self._host.flush_soon()

    def ping(self, data: bytes) -> None:
        """Ask for a sign of life, of eight bytes."""
        self.engine.ping(data)
        self._nuisances.earn(1)
        self._host.flush_soon()

    def sent_data(self) -> None:
        """DATA has left; each frame of it may be answered by WINDOW_UPDATE, twice."""
        self._nuisances.earn(2)
        self._host.flush_soon()

    # The end.

    def drain(self) -> None:
        """Take no new request; finish when the last one has. WebSockets are closed."""
        if self.over:
            return
        self.draining = True
        self.engine.add(frames.goaway(self._last, NO_ERROR))
        self.flush_soon()
        self._pusher.changed()
        for lane in list(self.lanes.values()):
            if isinstance(lane.handler, WebSocket):
                lane.handler.shutdown()
        self._perhaps_finish()

    def fail(self, code: int, problem: str) -> None:
        """End everything: the peer has broken the connection, or is too much."""
        if self.over:
            return
        log.info("HTTP/2 connection ended: %s", problem, extra=CUT)
        self.engine.add(frames.goaway(self._last, code, problem))
        self._end(problem)
        self._host.give_up()

    def lost(self) -> None:
        """The connection is gone."""
        self._end("the connection is lost")

    def _end(self, why: str) -> None:
        self.over = True
        for lane in list(self.lanes.values()):
            lane.lose(why)
        self._pusher.changed()
