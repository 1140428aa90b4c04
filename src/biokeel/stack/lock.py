"""Rewrite the lock file of the jars: `python -m biokeel.stack.lock`.

This is the only place that resolves anything. Change a version below, run it, review the difference, commit.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.maven import MavenContext

from biokeel.stack.artifacts import KAFKA, LOCK_FILE, OBJECTSTORE, PARALLEL, Lock, as_jar, write_lock

BROKER = "org.apache.kafka:kafka_2.13:4.3.1"
LOGGING = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4", "")
"""Kafka logs through slf4j 1.7 and brings log4j2 without the bridge between the two. What the bridge needs comes with
Kafka, so keep it at log4j-core's version. It is not resolved beside the broker: its parent manages versions of its own
(kafka-clients 3.9.1 among them) and jgo would let these win."""
S3PROXY = ("org.gaul", "s3proxy", "4.1.0", "jar-with-dependencies")
RUNTIME_SCOPES = ("compile", "runtime")


def resolve(repository: Path) -> Lock:
    """Resolve every jar of the stack, with what it needs while running, downloading into `repository`."""
    context = MavenContext(repo_cache=repository, local_repos=[], timeout=60)
    inputs, transitive = context.resolver.resolve([context.create_dependency(BROKER)])
    broker = [
        dependency.artifact for dependency in (*inputs, *transitive) if dependency.scope in (None, *RUNTIME_SCOPES)
    ]
    bridge, store = (
        context.project(group, name).at_version(version).artifact(classifier)
        for group, name, version, classifier in (LOGGING, S3PROXY)
    )
    with ThreadPoolExecutor(PARALLEL) as pool:
        return {
            part: tuple(pool.map(lambda artifact: as_jar(artifact, artifact.resolve()), artifacts))
            for part, artifacts in ((KAFKA, [*broker, bridge]), (OBJECTSTORE, [store]))
        }


def main() -> None:
    """Resolve afresh and rewrite the lock file."""
    with tempfile.TemporaryDirectory() as folder:
        lock = resolve(Path(folder))
    write_lock(lock)
    print(
        f"{LOCK_FILE.name}: {sum(len(jars) for jars in lock.values())} jars pinned; review the difference, then commit."
    )


if __name__ == "__main__":
    main()
