"""uvicorn's WebSocket protocol, with the bounds that it lacks, and one mistake mended.

- It answers every ping, also of a client that reads none of the answers. Here such a client gets no
  more of them: a ping may go unanswered when a later one is there to be (RFC 6455, section 5.5.2).
- It takes fragments of a message without end, as long as there is nothing in them. Here each counts
  for some bytes at least.
- It bounds what has come of a message for each connection alone. Here there is a bound for all, too
  (``arriving.py``).
- It reads all frames that come at once at one go: 43,000 empty ones are half a second in which
  nobody else has a turn. Here it is a slice at a time, and of its messages a turn's.
- It answers pings as fast as they come, for ever. Here they have a budget, as over HTTP/2 and 3
  (``websocket.py``): above it the connection is closed with 1008.
- It logs a traceback for a text that is no UTF-8. Here that is its client's fault, and no error.
- It holds a close between the fragments of a message for a mistake. It may stand there (RFC 6455,
  5.4), and here it is answered with its own code.
- It takes a message before the one before it is taken. Here an app waits until its own is, so that
  whoever counts what waits knows of all of it.
- It closes a connection whose client breaks a rule while that still sends, so that the client may
  see a reset and never the code. Here it is told that nothing more comes, and what it sends is
  thrown away for a while (lingering close), until it says goodbye or is quiet: ``linger`` seconds
  and ``discard`` bytes at most. Over TLS, where one side cannot end alone, the code has to do.
- It closes a connection once all that was written has been taken, which of a client that does not
  read is never, and over TLS once the client has said goodbye twice. Here it gets a while to take
  what was written, and is cut when it has (``closing.py``).
- It leaves a handshake with a line over 8 KiB, which its library does not read, without an answer,
  and the connection open for ever. Here that is a 431.
- At DEBUG it logs each handshake with its token, and how each frame begins. Here it does not.
- Its ``shutdown`` breaks off, and with it the server's, at a connection that is just closing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State

from supersoniq.servers.arriving import KEPT, Arriving, HalfSent
from supersoniq.servers.budget import Budget
from supersoniq.servers.closing import all_taken
from supersoniq.servers.slices import Slices
from supersoniq.servers.websocket import CROWDED, PINGS, PINGS_RATE, TURN

__all__ = ["Protocol"]

UNREADABLE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)
FRAGMENT = 64
"""Bytes that a fragment counts for at least."""
LONGEST = 131
"""Bytes of the longest frame that closes."""


class Protocol(WebSocketsSansIOProtocol):
    """For uvicorn's ``ws=`` option."""

    linger = 10.0
    """Seconds to take what was written, after the app is done with the connection."""

    look = 0.05
    """Seconds between two looks at a connection that was closed."""

    discard = 16 * 1024 * 1024
    """Bytes that a client may still send after it was told of its mistake."""

    quiet = 2.0
    """Seconds without any more of them, after which it has heard; also where it does not answer."""

    _end = 0.0
    _failed = False
    _discarded = 0
    _patient_until = 0.0
    _tail = b""
    _cut: asyncio.TimerHandle | None = None

    _given = 0

    def __init__(self, *args: Any, arriving: Arriving | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self._half = HalfSent(arriving or Arriving(), self._give_up)
        self._untaken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._half.kept = KEPT if self.transport.get_extra_info("ssl_object") is not None else 0
        self._slices = Slices(self.transport, self.loop, self._read, self._may_read)
        self._pings = Budget(PINGS, PINGS_RATE)
        self.conn.debug = False
        self._next_frame = self.conn.recv_frame
        self.conn.recv_frame = self._frame  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        if self._failed:
            self._throw_away(data)
        else:
            self._slices.feed(data)
            if self._slices.size:
                self._count()

    def _may_read(self) -> bool:
        return not self.read_paused and not self.disconnected

    def _read(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(UNREADABLE)
            self.transport.close()
        self._count()

    def _frame(self, frame: Frame) -> None:
        """The next one, whole."""
        if frame.opcode is Opcode.CLOSE:
            self.conn.current_size = None  # a message that has begun has no end then
        self._next_frame(frame)

    def _count(self) -> None:
        """Count what has come of messages, and what of them the app has not taken."""
        if not self._failed and not self.disconnected:
            fragments = max(self.conn.current_size or 0, len(self.frames) * FRAGMENT)
            begun = self._slices.size + len(self.conn.reader.buffer) + fragments + self._untaken
            self._half.is_now(begun)

    def _give_up(self) -> None:
        """Too much of other messages arrives, and what has come of this one is the oldest."""
        self._fail(CloseCode.TRY_AGAIN_LATER, CROWDED)

    async def send(self, message: ASGISendEvent) -> None:
        sent = message["type"] == "websocket.send"
        await super().send(message)
        del message  # what waits is in the transport; what it was made of need not wait as well
        if sent and not self.writable.is_set():
            await self.writable.wait()

    async def receive(self) -> ASGIReceiveEvent:
        self._given += 1
        if self._given % TURN == 0:
            await asyncio.sleep(0)  # a queue that has something in it makes nobody wait
        message = await self.queue.get()
        if self.queue.empty():
            self._untaken = 0
            if self._half.size:
                self._count()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._slices.go_on()
        return message

    def handle_ping(self) -> None:
        if not self._may_ping():
            return
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # the answer is dropped, and it is a whole frame

    def handle_pong(self, event: Frame) -> None:
        if self._may_ping():
            super().handle_pong(event)

    def _may_ping(self) -> bool:
        if self.close_sent:
            return False
        fine = self._pings.take(self.loop.time())
        if not fine:
            self._fail(CloseCode.POLICY_VIOLATION, "too many pings")
        return fine

    def shutdown(self) -> None:
        if self.handshake_complete and self.conn.state is not State.OPEN:
            self.transport.close()  # both have said all
        else:
            super().shutdown()

    def handle_cont(self, event: Frame) -> None:
        if self.close_sent:
            return
        if len(self.frames) * FRAGMENT > self.config.ws_max_size:
            self._fail(CloseCode.MESSAGE_TOO_BIG, "the message has too many fragments")
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        self._untaken += sum(map(len, self.frames))
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                text = b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self._fail(CloseCode.INVALID_DATA, "a text is not UTF-8")
                return
            self.frames = []
            self.queue.put_nowait({"type": "websocket.receive", "text": text})
            if not self.read_paused:
                self.read_paused = True
                self.transport.pause_reading()
        else:
            super().send_receive_event_to_app()

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.frames = []
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Tell both sides why it is over, and hear no more of it."""
        close = self.conn.close_sent
        assert close is not None
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": close.code, "reason": close.reason}
        )
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():  # not over TLS
            self.transport.write_eof()
        self.close_sent = self._failed = True
        self.frames = []
        self._slices.drop()
        self._half.is_now(0)
        if self.close_timer is not None:
            self.close_timer.cancel()
        # As long as there is one, the app's end does not close the connection.
        self.close_timer = self.loop.call_later(self.linger, self.transport.abort)
        self.read_paused = False
        if not self.transport.is_closing():
            self.transport.resume_reading()
        self._patient_until = self.loop.time() + self.quiet
        self._see_out_soon()

    def _throw_away(self, data: bytes) -> None:
        """More of a client that was told of its mistake.

        One look brings the next. Were it taken as fast as it comes, a client that reads when its
        sending is held up would have no reason to.
        """
        self.transport.pause_reading()
        self._discarded += len(data)
        self._patient_until = self.loop.time() + self.quiet
        if self._discarded > self.discard:
            self.transport.abort()
            return
        self._tail = (self._tail + data[-LONGEST:])[-LONGEST:]
        if _ends_with_close(self._tail):
            self._patient_until = 0.0

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        if not self.disconnected:
            self._see_out_soon()

    def _see_out_soon(self) -> None:
        if self._cut is None:
            self._end = self.loop.time() + self.linger
            self._see_out()

    def _see_out(self) -> None:
        now = self.loop.time()
        left = self._end - now
        over = self.transport.is_closing() or (self._failed and now >= self._patient_until)
        if left <= 0 or (over and all_taken(self.transport)):
            self.transport.abort()
            return
        if self._failed and not self.transport.is_closing():
            self.transport.resume_reading()
        self._cut = self.loop.call_later(min(self.look, left), self._see_out)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._cut is not None:
            self._cut.cancel()
        self._half.is_now(0)
        super().connection_lost(exc)


def _ends_with_close(data: bytes) -> bool:
    """Whether a client's last frame is one that closes.

    Before it may be anything, such as the rest of a frame that was not read. Taken for a goodbye by
    chance, the connection just closes sooner.
    """
    start = data.find(0x88)
    while 0 <= start <= len(data) - 6:
        size, mask = len(data) - start - 6, data[start + 2 : start + 6]
        if data[start + 1] == 0x80 | size:
            body = data[start + 6 :]
            code = int.from_bytes(bytes(a ^ b for a, b in zip(body[:2], mask, strict=False)))
            if not body or 1000 <= code < 5000:
                return True
        start = data.find(0x88, start + 1)
    return False
