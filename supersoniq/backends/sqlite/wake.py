"""Telling other processes that somebody who waits should look again.

**A datagram.** Every backend that has listeners binds a unix datagram socket in a directory
beside the database, and whoever commits something that stirs sends the names of the queues to
all sockets there: about 30 microseconds from process to process, and nothing to set up between
them. The listing of the directory is kept until the directory changes. A socket that refuses is
a dead process's; whoever finds it removes it.

**The net beneath.** A datagram may be lost: the receiver's buffer is full, the directory cannot
be used. So a backend with listeners also looks at ``PRAGMA data_version`` (3 microseconds, it
reads shared memory) a few times each second, and when somebody has written, at the stirs of the
queues that it listens to. A change is heard late then, but it is heard.

**Tokens.** Both ways carry a queue's number and its count of stirs, so what has been heard by one
way is not told again by the other.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import stat
import tempfile
import time

__all__ = ["GONE", "Bell", "Ear", "Token", "Watchman", "folder_for"]

Token = tuple[int, int]
"""A queue's number and stirs: differs whenever somebody who waits should look again."""
GONE: Token = (0, 0)
"""Of a queue that is not there."""
_LONGEST = 107
"""Bytes of a unix socket's path."""
_NAME = 24
"""Most characters of a socket's name in its directory."""
_GRAIN = 0.05
"""Seconds within which a file system may give two changes of a directory the same time."""
_DATAGRAM = 16_384
"""Bytes. A longer message is replaced by ``ANY``."""
ANY = b"*"


def folder_for(path: str) -> str:
    """The directory of a database's sockets: the same one in every process."""
    folder = path + "-wake"
    if len(os.fsencode(folder)) + 1 + _NAME <= _LONGEST:
        return folder
    short = hashlib.blake2b(os.fsencode(path), digest_size=10).hexdigest()
    return os.path.join(tempfile.gettempdir(), f"supersoniq-{os.getuid()}-{short}")


def _is_private(folder: str) -> bool:
    """Whether it is a directory of this user's that others cannot write to."""
    try:
        found = os.stat(folder, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def encode(stirred: dict[str, Token]) -> bytes:
    """What a datagram says. Queue names have no spaces and no line ends."""
    text = "\n".join(f"{name} {number} {stirs}" for name, (number, stirs) in stirred.items())
    return text.encode() if len(text) <= _DATAGRAM else ANY


def decode(datagram: bytes) -> dict[str, Token] | None:
    """The queues that stirred; ``None``: perhaps any. What makes no sense counts as any, too."""
    try:
        lines = [line.split(" ") for line in datagram.decode().split("\n")]
        return {name: (int(number), int(stirs)) for name, number, stirs in lines}
    except ValueError:
        return None


class Bell:
    """Rings at other processes. Used by the database thread.

    Args:
        folder: of the sockets.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._socket: socket.socket | None = None
        self._sockets: list[str] = []
        self._changed = -1.0
        self.own: str | None = None
        """This process's socket, which is not to be rung."""

    def ring(self, stirred: dict[str, Token]) -> None:
        """Tell everybody. Never fails: the net beneath catches what is not heard."""
        listening = self._listening()
        if not listening:
            return
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        datagram = encode(stirred)
        for path in listening:
            if path == self.own:
                continue
            try:
                self._socket.sendto(datagram, path)
            except ConnectionRefusedError:
                self._remove(path)
            except OSError:
                pass  # Gone meanwhile, or its buffer is full.

    def close(self) -> None:
        """Let go of the socket. Closing twice is fine."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _listening(self) -> list[str]:
        try:
            changed = os.stat(self._folder).st_mtime
        except OSError:
            return []
        if changed != self._changed:
            if not _is_private(self._folder):
                return []
            names = os.listdir(self._folder)
            self._sockets = [os.path.join(self._folder, name) for name in names]
            # A listing made right after a change may miss the next one: then list again.
            settled = time.time() - changed > _GRAIN
            self._changed = changed if settled else -1.0
        return self._sockets

    def _remove(self, path: str) -> None:
        self._changed = -1.0
        try:
            os.unlink(path)
        except OSError:
            pass


class Ear:
    """Hears the bells of other processes. Used by the event loop's thread.

    Args:
        folder: of the sockets; made if need be.

    Raises:
        OSError: no socket can be bound there.
    """

    def __init__(self, folder: str) -> None:
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass
        if not _is_private(folder):
            raise PermissionError(f"{folder} belongs to somebody else")
        self.path = os.path.join(folder, f"{os.getpid()}-{os.urandom(4).hex()}")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(self.path)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For the event loop to wait on."""
        return self._socket.fileno()

    def hear(self) -> list[bytes]:
        """All datagrams that have come."""
        heard: list[bytes] = []
        while True:
            try:
                heard.append(self._socket.recv(_DATAGRAM + 1))
            except OSError:
                return heard

    def close(self) -> None:
        """Unbind it."""
        self._socket.close()
        try:
            os.unlink(self.path)
        except OSError:
            pass


class Watchman:
    """The net beneath: looks whether anybody has written. Used by the event loop's thread.

    Args:
        reader: a connection of its own, which waits for nobody.
    """

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader
        self._version = -1

    def changed(self) -> bool:
        """Whether the file may have been written to since the last look. 3 microseconds."""
        try:
            version = self._reader.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return False  # Busy for a moment: the next look will tell.
        if version == self._version:
            return False
        self._version = version
        return True

    def token(self, queue: str) -> Token | None:
        """What a queue's token is now; ``None`` if that cannot be told at the moment."""
        query = "SELECT number, stirs FROM queues WHERE name = ?"
        try:
            row = self._reader.execute(query, (queue,)).fetchone()
        except sqlite3.Error:
            self._version = -1  # Look again.
            return None
        return GONE if row is None else (row[0], row[1])

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()
