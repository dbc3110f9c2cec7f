"""The program of clients/typescript/README.md: the compiler takes it, and it runs in Node.

It is one program: a block can use what an earlier one made. Its loops have no end, so that they run
beside each other, until each has seen a message.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.clients.served import served
from tests.docs.pages import blocks
from tests.typescript.compiling import CLIENT, run

pytestmark = pytest.mark.timeout(600)
"""It may have to install the compiler, and wait for others who do."""
AROUND = """
%(imports)s
import type { Content } from "supersoniq";

const fetchToken = async (): Promise<string> => "a.b.c"; // this server asks for none
const send = async (_content: Content, _signal: AbortSignal): Promise<void> => undefined;
const since = 0;
const logged: unknown[][] = [];
console.log = (...words: unknown[]) => void logged.push(words);

%(begin)s
%(loops)s

for (;;) {
  await emails.publish("again");
  await new Promise((resolve) => setTimeout(resolve, 20));
  const { acked } = await emails.stats();
  const watched = logged.some(([kind, content]) => kind === "published" && content === "again");
  const wasPushed = logged.some((words) => words.length === 1 && typeof words[0] === "string");
  if (acked > 1 && watched && wasPushed) process.exit(0);
}
"""


def program(url: str) -> str:
    """The page's blocks, and what they take for granted around them."""
    told = [block.text for block in blocks(CLIENT / "README.md", "ts")]
    text = [
        block.replace("https://queue.example", url).replace("http://localhost:8000", url)
        for block in told
    ]
    imports = re.findall(r"^import .*$", "\n".join(text), re.MULTILINE)
    first, *loops = [re.sub(r"^import .*$", "", block, flags=re.MULTILINE) for block in text]
    assert all("for await" in loop for loop in loops)
    return AROUND % {
        "imports": "\n".join(imports),
        "begin": first,
        "loops": "\n".join(f"void (async () => {{\n{loop}}})();" for loop in loops),
    }


def test_its_blocks_are_a_program_that_works(package: Path, tmp_path: Path) -> None:
    project = package.parents[1]
    options = {
        "rootDir": str(project),
        "noEmit": False,
        "noUnusedLocals": False,
        "typeRoots": [str(CLIENT / "node_modules" / "@types")],
    }
    config = {"extends": str(CLIENT / "tsconfig.json"), "include": ["page.ts"]}
    (project / "tsconfig.json").write_text(json.dumps({**config, "compilerOptions": options}))
    (project / "package.json").write_text('{"type": "module"}')
    with served(tmp_path, "--backend", "memory://") as server:
        (project / "page.ts").write_text(program(server.url))
        run(CLIENT, "npx", "tsc", "-p", str(project))
        run(project, "node", "page.js")
