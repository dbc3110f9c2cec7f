"""Nobody imports upwards: the table in docs/architecture.md, kept by reading every import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "supersoniq"

# A room may import the rooms named here, and itself.
ROOMS = {
    "core": set[str](),
    "clock": set[str](),
    "port": {"core"},
    "wire": {"core"},
    "backends": {"core", "port", "clock", "wire"},
    "api": {"core", "port"},
    "observe": {"api", "core", "port", ""},
    "tracing": {"api", "core", "port", "sync", ""},
    "registry": {"api", "core", "port"},
    "load": {"api", "core"},
    "sync": {"api", "core", "registry"},
    "servers": {"core"},
    "auth": {"core"},
    "adapters": {
        "api",
        "auth",
        "core",
        "port",
        "clock",
        "registry",
        "servers",
        "wire",
        "observe",
        "",
    },
    "cli": {"observe", "api", "auth", "core", "load", "port", "registry", "sync", "adapters", ""},
    "testing": {"api", "backends", "core", "port", "clock", "registry", "sync", ""},
    "__main__": {"cli"},
    "": {"api", "core", "registry"},  # the package's own __init__
}
# The core's part of the standard library: nothing that reads a clock, waits, or talks to the world.
PURE = {
    "__future__", "base64", "binascii", "bisect", "collections", "dataclasses", "datetime", "enum",
    "functools", "hashlib", "heapq", "hmac", "itertools", "json", "math", "msgspec", "operator",
    "queue", "re", "reprlib", "sortedcontainers", "string", "struct", "types", "typing", "uuid",
    "zlib",
}  # fmt: skip
# Imported by name only in their own rooms; everywhere else they must not be needed.
HEAVY = {
    "starlette": {"adapters"},
    "uvicorn": {"adapters", "servers"},
    "hypercorn": {"servers"},
    "granian": {"servers"},
    "h2": {"backends", "servers"},
    "hpack": {"servers"},
    "hyperframe": {"servers"},
    "wsproto": {"servers"},
    "aioquic": {"backends", "servers"},
    "pylsqpack": {"servers"},
    "cryptography": {"auth", "servers"},
    "jwt": {"auth"},
    "opentelemetry": {"tracing"},
    "prometheus_client": {"observe"},
    "click": {"cli"},
    "rich": {"cli"},
    "matplotlib": {"load"},
    "pydantic": {"cli"},
    "pydantic_settings": {"cli"},
    "httpx": {"cli"},
    "websockets": {"adapters", "backends", "servers"},
    "httptools": {"backends", "servers"},
    "hypothesis": {"testing"},
    "pytest": {"testing"},
    "sqlite3": {"backends", "testing"},
    "redis": {"backends"},
    "hiredis": {"backends"},
}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            assert node.module is not None
            if node.module == "supersoniq":
                found.update(f"supersoniq.{alias.name}" for alias in node.names)
            else:
                found.add(node.module)
    return found


def sources() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    relative = path.relative_to(ROOT)
    here = relative.parts[0].removesuffix(".py") if len(relative.parts) > 1 else relative.stem
    here = "" if here == "__init__" else here
    assert here in ROOMS, f"{relative}: a new room needs its row in the table"
    for name in imports(path):
        top = name.split(".")[0]
        if top == "supersoniq":
            there = room_of(name)
            if there not in ROOMS:
                there = ""  # a name of the package itself, such as supersoniq.connect
            assert there in ROOMS[here] | {here}, f"{relative} imports {name}"
        elif here == "core":
            assert top in PURE, f"{relative} imports {name}, which is not pure"
        elif top in HEAVY:
            assert here in HEAVY[top], f"{relative} imports {name}"


def test_backends_do_not_know_each_other() -> None:
    backends = ROOT / "backends"
    names = {path.stem for path in backends.iterdir() if path.stem != "__init__"}
    for path in sorted(backends.rglob("*.py")):
        own = path.relative_to(backends).parts[0].removesuffix(".py")
        for name in imports(path):
            parts = name.split(".")
            if parts[:2] == ["supersoniq", "backends"] and len(parts) > 2:
                assert parts[2] == own, f"{path} imports {name}"
    assert {"memory"} <= names


def test_only_the_state_table_changes_a_status() -> None:
    offenders: list[str] = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign | ast.AugAssign)
                else []
            )
            if path.parent.name in ("core", "backends", "sqlite", "redis"):
                offenders += [
                    f"{path.relative_to(ROOT)}:{target.lineno}"
                    for target in targets
                    if isinstance(target, ast.Attribute) and target.attr == "status"
                ]
    allowed = [name for name in offenders if name.startswith("core/states.py:")]
    assert offenders == allowed
    assert len(allowed) == 3, "take, take_pair, take_all"


def test_the_base_install_needs_no_extra() -> None:
    """Importing the package, and using memory and SQLite, loads nothing heavy."""
    import subprocess
    import sys

    program = (
        "import sys, asyncio, supersoniq\n"
        "import supersoniq.sync, supersoniq.backends.memory, supersoniq.backends.sqlite\n"
        f"print(sorted(set({sorted(set(HEAVY) - {'sqlite3'})!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"


def test_no_imports_go_in_a_circle() -> None:
    """Not even those that only type checkers follow: what two modules share stands in a third."""
    modules = {module_of(path): path for path in sources()}
    left = {
        name: {each for each in named(path) if each in modules and each != name}
        for name, path in modules.items()
    }
    while free := [name for name, others in left.items() if not others]:
        for name in free:
            del left[name]
        for others in left.values():
            others.difference_update(free)
    assert not left, f"in circles, or above them: {sorted(left)}"


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def named(path: Path) -> set[str]:
    """The modules of ours that a file imports, or from which it imports something."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {each for each in within if is_module(each)}
            found |= known
            if known != within:
                found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def is_module(name: str) -> bool:
    place = ROOT.parent.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()
