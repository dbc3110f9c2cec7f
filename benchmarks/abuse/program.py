"""``supersoniq``, which on SIGUSR1 also writes down what runs in it, into the file named first.

The command line is the real one. The census counts tasks of the event loop, and the objects that
stand for connections and streams: what an attack leaves behind is seen there.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections import Counter

KINDS = {
    "supersoniq.servers.h3.protocol.Protocol": "HTTP/3",
    "supersoniq.servers.stream.Stream": "streams",
    "supersoniq.adapters.ws.session.Session": "WebSockets",
}


def main() -> None:
    where = sys.argv.pop(1)

    def census(*_: object) -> None:
        gc.collect()
        found = Counter(
            KINDS.get(f"{type(each).__module__}.{type(each).__qualname__}", "")
            for each in gc.get_objects()
        )
        del found[""]
        found["tasks"] = len(asyncio.all_tasks())
        with open(f"{where}.new", "w") as file:
            json.dump(found, file)
        os.replace(f"{where}.new", where)

    signal.signal(signal.SIGUSR1, census)
    from supersoniq.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
