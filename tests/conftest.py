"""Fixtures that all tests may use: the real data, and one local stack for the whole run.

`make test` is to stay under 12 minutes on two cores, and its last lines say where the time went. What keeps it quick:

- Kafka and the store of the fixture `stack`, with topics and prefixes of a test's own: a stack of one's own takes some
  15 s of CPU time, one with workers 30.
- `tests.commands` runs a command in this process, one of its own imports for a second or two; what dies needs one.
- Nobody waits longer than for what is waited for: a consumer is asked for as many messages as there are (it waits its
  whole time for those that there are not), time-outs that a test runs into are shortened there, and looks at the books
  have pauses (`tests.stack.stack_helpers.balanced`).
- A property test tries `examples(few)`; `make laws` tries ten times as many.
- What takes minutes is marked `long`, and has a short form that can fail for the same reasons.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from biokeel.admin.users import User
from biokeel.settings import PROJECT_ROOT
from biokeel.stack import java
from biokeel.stack.stack import Stack
from biokeel.testing.postgres import Postgres, programs
from tests.examples import load_profile
from tests.vaults import CHOSEN, Vaults, postgres_folder

TEST_TOPICS = "test."
TEST_RAW_TOPICS = "raw.test-"
os.environ["BIOKEEL_SOURCES_DIR"] = str(Path(__file__).parent / "sources")
"""What every local stack of the tests registers, unless a test says otherwise."""
os.environ["BIOKEEL_VARIANT_FILES"] = "believe"
"""Made-up events claim files that nobody put down; the tests of files say otherwise."""
os.environ["BIOKEEL_WINDOWS_WORKER"] = "false"
"""It is on nobody's way, and takes 3 s of CPU time to start; tests/integration/test_end_to_end.py has one."""
os.environ["BIOKEEL_PSEUDO_PARTITIONS"] = "2"
"""A worker recovers each partition of each event type when it starts; two are several."""
java.STORE = java.BROKER
"""A test's store lives for a minute: to optimise its code costs it twice what it saves (10 s of CPU time for 5)."""

LONG_RUN, SLOW_FILE = 120.0, 20.0
"""Seconds of tests from which on a run ends with where they went, and of a file that is named in that."""
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--run-long",
        action="store_true",
        help="also what takes minutes, and ten times as many examples",
    )
    parser.addoption(
        "--runs", choices=("scaled", "full"), default="scaled", help="runs of each: what time allows, or all"
    )
    parser.addoption("--fault-minutes", type=float, default=35.0, help="time for all fault experiments together")
    parser.addoption("--fault-seed", type=int, default=6, help="seed of the fault experiments")
    parser.addoption(
        "--soak-events", type=int, default=1_000_000, help="events of the soak; 10 million take some six minutes"
    )


def pytest_configure(config: pytest.Config) -> None:
    load_profile(long=config.getoption("--run-long"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--run-long"):
        for item in items:
            if "long" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes: --run-long, make faults, make runbooks"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in the last lines what took long, what was left out, and how to get it: in the middle nobody sees it."""
    seconds = Counter[str]()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.location[0]] += report.duration
    if sum(seconds.values()) > LONG_RUN:
        folders = Counter[str]()
        for file, spent in seconds.items():
            folders[str(Path(file).parent)] += spent
        terminalreporter.section(f"seconds by folder, and of files over {SLOW_FILE:g} s")
        for name, spent in (*folders.most_common(), *seconds.most_common()):
            if name in folders or spent > SLOW_FILE:
                terminalreporter.line(f"{spent:6.0f}  {name}")
    reasons = sorted({str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])})
    if reasons:
        terminalreporter.section("left out on this machine")
        for reason in reasons:
            terminalreporter.line(reason)


def shared(name: str, what: str) -> Path:
    """The folder `shared/<name>` beside the project; the test is skipped where it is absent."""
    variable = f"BIOKEEL_SHARED_{name.upper()}"
    beside = (folder / "shared" / name for folder in PROJECT_ROOT.parents[:2])  # a checkout, or a worktree of it
    candidates = [Path(named)] if (named := os.environ.get(variable)) else list(beside)
    for folder in candidates:
        if folder.is_dir():
            return folder
    pytest.skip(f"{what} are not here: set {variable} to their folder")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data (read only); tests that need it are skipped where it is absent."""
    return shared("data", "the real data")


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """The folder with files that were tried from outside (read only); tests that need it are skipped without it."""
    return shared("cases", "the cases")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka and the object store with all topics and buckets, but no workers; one for the whole run, so be kind to it.

    Each user has the rights that it has anywhere; on topics and transactional ids that begin with `test.` everybody may
    do everything, and the vault zone on topics of the sources `test-…`, which are registered nowhere. A test that kills
    parts, fills topics that others read, or needs a clean start, starts a stack of its own.
    """
    with Stack.start(tmp_path_factory.mktemp("stack")) as running:
        rights = [
            AclBinding(
                kind,
                prefix,
                ResourcePatternType.PREFIXED,
                f"User:{user}",
                "*",
                AclOperation.ALL,
                AclPermissionType.ALLOW,
            )
            for kind, prefix, user in (
                (ResourceType.TOPIC, TEST_TOPICS, "*"),
                (ResourceType.TRANSACTIONAL_ID, TEST_TOPICS, "*"),
                (ResourceType.TOPIC, TEST_RAW_TOPICS, User.VAULT),
            )
        ]
        admin = running.admin()  # held until the answer is there: librdkafka drops what a dropped client has asked for
        for future in admin.create_acls(rights).values():
            future.result(30)
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for one module: while Playwright runs, its event loop runs in this thread, and nothing else may."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium in PATH: install it (apt-get install chromium) to test the console")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=found, args=BROWSER_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def vaults() -> Iterator[Vaults]:
    """A real PostgreSQL for vaults. Skips where its programs are not installed."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed here: apt-get install postgresql")
    with postgres_folder() as place, Postgres.make(place / "server") as server:
        yield Vaults(server)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def each_database(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the vaults of a test be SQLite files, and once more databases of a real PostgreSQL."""
    if request.param == "sqlite":
        yield
        return
    chosen: Vaults = request.getfixturevalue("vaults")
    CHOSEN.append(chosen)
    yield
    CHOSEN.remove(chosen)
    chosen.drop_all()
