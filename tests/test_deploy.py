"""What is in the box for deploying: it parses, it belongs together, and every setting is one."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import supersoniq
from supersoniq.adapters.http.routes import ROUTES
from supersoniq.cli.configured import CANNOT_START
from supersoniq.cli.files import CONFIG
from supersoniq.cli.group import group
from supersoniq.cli.settings.load import load
from supersoniq.cli.settings.naming import declared

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
UNIT = DEPLOY / "systemd" / "supersoniq.service"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEXTS = [
    ROOT / "Dockerfile", ROOT / "compose.yaml", UNIT, DEPLOY / "container.toml", *MANIFESTS,
    *WORKFLOWS, ROOT / "docs" / "deploying.md",
]  # fmt: skip
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parsed(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def default(dotted: str) -> Any:
    return declared()[dotted].default


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_every_variable_is_a_setting(path: Path) -> None:
    known = {CONFIG}
    for setting in declared().values():
        known |= {setting.variable} | ({f"{setting.variable}_FILE"} if setting.told.file else set())
    # One with an address for a value is an example of what Kubernetes does.
    used = set(re.findall(r"\bSUPERSONIQ_[A-Z_]+\b(?!=tcp:)", path.read_text()))
    assert used <= known


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_every_command_is_one(path: Path) -> None:
    text = path.read_text().replace("\\\n", " ")
    for line in re.findall(
        r"(?:^|[`/(]|# +|supersoniq )supersoniq ((?:[a-z]+ )*--?[^\n`)]*)", text
    ):
        words = shlex.split(re.split(r" [>|&]|   ", line)[0])
        command: Any = group
        while words and isinstance(command, click.Group) and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        flags = {flag for option in command.params for flag in option.opts}
        if command.name in ("serve", "config"):
            flags |= {setting.flag for setting in declared().values()}
        assert {word for word in words if word.startswith("--")} <= flags | {"--version"}, line


def test_the_settings_of_the_image_are_good_and_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(file=str(DEPLOY / "container.toml")).settings
    assert found.backend.startswith("sqlite:////var/lib/supersoniq/")
    assert found.listen.host == "0.0.0.0"
    assert not found.tls.clear_text
    assert found.auth.required is None, "it must not start before somebody has decided"
    command = [sys.executable, "-m", "supersoniq", "serve", "--port", "0"]
    done = subprocess.run(
        [*command, "--config", str(DEPLOY / "container.toml"), "--backend", "memory://"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == CANNOT_START
    assert "others can reach this address" in done.stderr


def test_the_image_is_made_of_what_is_there() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored
    extras = re.search(r"^ARG EXTRAS=(.*)$", DOCKERFILE, re.MULTILINE)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])
    files = {PROJECT["readme"], *PROJECT["license-files"]}
    assert files <= set(DOCKERFILE.split()), "the wheel cannot be built without them"


def test_the_image_runs_as_nobody_and_asks_for_its_health() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (\d+):\1$", last, re.MULTILINE)
    assert int(user) > 0
    assert '\nENTRYPOINT ["supersoniq"]\nCMD ["serve"]' in last
    assert 'CMD ["supersoniq", "health"]' in last
    assert f"EXPOSE {default('listen.port')}/tcp" in last
    for path in MANIFESTS:
        pod = next(iter(yaml.safe_load_all(path.read_text())))["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsUser"] == int(user)


def test_compose_belongs_together() -> None:
    made = parsed(ROOT / "compose.yaml")
    queue, redis = made["services"]["queue"], made["services"]["redis"]
    assert "profiles" not in queue, "it is what comes without a word"
    assert redis["profiles"] == ["redis"]
    assert queue["depends_on"]["redis"]["required"] is False
    for service in (queue, redis):
        assert service["read_only"] is True
        named = [volume for volume in service["volumes"] if isinstance(volume, str)]
        assert {volume.partition(":")[0] for volume in named} <= set(made["volumes"])
    assert queue["cap_drop"] == ["ALL"]
    [key] = [volume for volume in queue["volumes"] if isinstance(volume, dict)]
    assert key["read_only"] is True
    assert queue["environment"]["SUPERSONIQ_AUTH_PUBLIC_KEY"] == key["target"]
    assert queue["ports"] == [f"127.0.0.1:8000:{default('listen.port')}/tcp"]
    assert int(queue["stop_grace_period"][:-1]) > int(queue["environment"]["SUPERSONIQ_GRACE"])
    assert "noeviction" in redis["command"], "supersoniq refuses any other"


@pytest.mark.parametrize("path", MANIFESTS, ids=name)
def test_a_manifest_belongs_together(path: Path) -> None:
    first, *others = list(yaml.safe_load_all(path.read_text()))
    pod = first["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == f"supersoniq:{supersoniq.__version__}"
    assert container["args"] == ["serve"]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert container["ports"] == [{"name": "http", "containerPort": default("listen.port")}]
    probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
    for kind, probe in probes.items():
        wanted = "/health/ready" if kind == "readiness" else "/health/live"
        assert probe["httpGet"] == {"path": wanted, "port": "http"}
        assert wanted in ROUTES
    env = {each["name"]: each["value"] for each in container["env"]}
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + float(env["SUPERSONIQ_GRACE"])
    volumes = {each["name"] for each in pod.get("volumes", [])}
    volumes |= {each["metadata"]["name"] for each in first["spec"].get("volumeClaimTemplates", [])}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    labels = first["spec"]["template"]["metadata"]["labels"]
    assert first["spec"]["selector"]["matchLabels"] == labels
    for other in others:
        selector = other["spec"]["selector"]
        assert selector.get("matchLabels", selector) == labels
    if "sqlite" in env.get("SUPERSONIQ_BACKEND", ""):
        assert (first["kind"], first["spec"]["replicas"]) == ("StatefulSet", 1)


@pytest.mark.parametrize("path", [ROOT / "compose.yaml", *WORKFLOWS], ids=name)
def test_a_file_keeps_to_its_schema(path: Path) -> None:
    """Those that Compose and GitHub publish, as check-jsonschema brings them."""
    schema = "vendor.github-workflows" if path in WORKFLOWS else "vendor.compose-spec"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def facts(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_the_unit_knows_how_serve_behaves() -> None:
    assert facts("Type") == ["notify"]  # tests/cli/test_health.py has that it is told
    assert facts("RestartPreventExitStatus") == [str(CANNOT_START)]
    assert int(facts("TimeoutStopSec")[0]) > default("listen.grace")
    assert facts("WorkingDirectory") == [f"/var/lib/{facts('StateDirectory')[0]}"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_the_unit_is_one_and_is_locked_up(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    text = UNIT.read_text().replace("/opt/supersoniq/bin/supersoniq serve", f"{sys.executable} -V")
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    # Of a machine's other units it may complain as well.
    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []
    version = subprocess.run(
        ["systemd-analyze", "--version"], capture_output=True, text=True, check=True
    )
    if int(version.stdout.split()[1]) >= 250:  # since when it looks at a file
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(unit)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=name)
def test_a_workflow_belongs_together(path: Path) -> None:
    made = parsed(path)
    assert made["permissions"] == {}, "each job says what it needs"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for job in made["jobs"].values():
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= set(made["jobs"])
        assert "permissions" in job
        if uses := job.get("uses"):
            called = parsed(ROOT / uses)
            assert "workflow_call" in called[True]  # YAML reads the key "on" as a yes
            # A called workflow sees its caller's name: in one group they would wait for each other.
            theirs = called["concurrency"]["group"].replace("${{ github.workflow }}", made["name"])
            assert made["concurrency"]["group"] != theirs
            continue
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            if uses := step.get("uses"):
                # A tag can be moved to other code; a commit cannot, and says nothing to people.
                assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", uses), uses
                assert re.search(rf"uses: {uses}  # v\d+\.\d+\.\d+\n", path.read_text()), uses
            for words in re.findall(r"^make ([a-z -]+[a-z])", step.get("run", ""), re.MULTILINE):
                assert set(words.split()) <= targets


def test_a_release_is_proved_and_needs_no_password() -> None:
    path = ROOT / ".github" / "workflows" / "release.yml"
    jobs = parsed(path)["jobs"]
    assert jobs["test"]["uses"] == "./.github/workflows/test.yml"
    for job in ("build", "image"):
        assert jobs[job]["permissions"]["attestations"] == "write"
        assert any("attest-build-provenance" in step.get("uses", "") for step in jobs[job]["steps"])
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in path.read_text()
