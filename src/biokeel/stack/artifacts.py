"""The jars of the local stack: pinned in `jars.lock.json`, fetched by Maven coordinates, refused if a byte differs.

Starting a stack resolves nothing: the lock names every jar by coordinates, size and SHA-256, and jgo fetches exactly
those. A jar reaches the cache only by an atomic rename after its digest was checked, so that two stacks may fill one
cache at the same time and a process that dies while fetching leaves nothing that a later start would believe.
`python -m biokeel.stack.lock` rewrites the lock.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from biokeel.errors import ArtifactError

LOCK_FILE = Path(__file__).with_name("jars.lock.json")
KAFKA = "kafka"
OBJECTSTORE = "objectstore"
PARALLEL = 8
"""Downloads at a time: one jar takes longest, so more would not end sooner."""
ATTEMPTS = 3
TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned jar."""

    group: str
    name: str
    version: str
    classifier: str
    sha256: str
    size: int

    def __str__(self) -> str:
        return ":".join(filter(None, (self.group, self.name, self.version, self.classifier)))

    @property
    def path(self) -> Path:
        """Where the jar stands beneath the cache, as in any Maven repository."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        return Path(*self.group.split("."), self.name, self.version, f"{self.name}-{self.version}{suffix}.jar")


Lock = dict[str, tuple[Jar, ...]]
"""The jars of each part of the stack (`KAFKA`, `OBJECTSTORE`), in the order of the class path."""


def read_lock(file: Path = LOCK_FILE) -> Lock:
    """Read the lock file. Raises `ArtifactError` where it cannot be read."""
    try:
        parts = json.loads(file.read_text("utf-8"))["parts"]
        return {part: tuple(Jar(**jar) for jar in jars) for part, jars in parts.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"The lock file of the jars, {file}, cannot be read ({type(error).__name__}).",
            "Restore it from version control, or rewrite it: python -m biokeel.stack.lock",
        ) from error


def write_lock(lock: Lock, file: Path = LOCK_FILE) -> None:
    """Write the lock file, in a form that a review can read line by line."""
    parts = {part: [asdict(jar) for jar in jars] for part, jars in lock.items()}
    file.write_text(json.dumps({"parts": parts}, indent=1) + "\n", "utf-8")


def digest(file: Path) -> str:
    """SHA-256 of a file, as hexadecimal text."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def class_paths(lock: Lock, cache_dir: Path) -> dict[str, list[Path]]:
    """The paths of every jar in `lock`, by part, after fetching what the cache lacks and checking every byte.

    Raises `ArtifactError`: a jar in the cache or from the network is not the pinned one, there is no network, or there
    is no room for it.
    """
    root = cache_dir / "maven"
    jars = [jar for part in lock.values() for jar in part]
    with ThreadPoolExecutor(PARALLEL) as pool:
        missing = [
            jar for jar, there in zip(jars, pool.map(lambda jar: _verified(jar, root), jars), strict=True) if not there
        ]
    if missing:
        _fetch(missing, root)
    return {part: [root / jar.path for jar in jars] for part, jars in lock.items()}


def _verified(jar: Jar, root: Path) -> bool:
    """Whether the cache holds the jar; raises `ArtifactError` where it holds other bytes in its place."""
    file = root / jar.path
    if not file.is_file():
        return False
    if digest(file) != jar.sha256:
        raise ArtifactError(
            f"The jar {jar} in the cache is not the pinned one: its SHA-256 differs ({file}).",
            "It was damaged or changed; delete that file, and the next start fetches it afresh.",
        )
    return True


def _fetch(jars: Sequence[Jar], root: Path) -> None:
    with _room(root) as folder, _bar(sum(jar.size for jar in jars)) as advance, ThreadPoolExecutor(PARALLEL) as pool:
        try:
            list(pool.map(lambda jar: _fetch_one(jar, folder / jar.sha256[:16], root, advance), jars))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_one(jar: Jar, folder: Path, root: Path, advance: Callable[[int], None]) -> None:
    """Fetch into a folder of our own, check, then rename into the cache; another process may do the same."""
    file = _download(jar, folder, advance)
    if digest(file) != jar.sha256:
        raise ArtifactError(
            f"The jar {jar} came from the network with another SHA-256 than the pinned one; it was not used.",
            "Try again; if it stays so, something between here and Maven Central changes files.",
        )
    target = root / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    file.replace(target)


def _download(jar: Jar, folder: Path, advance: Callable[[int], None]) -> Path:
    from jgo.maven import MavenContext, PythonResolver
    from requests.exceptions import SSLError

    resolver = PythonResolver(progress_callback=lambda _name, _size: _advancing(advance))
    for attempt in range(1, ATTEMPTS + 1):
        # A folder of its own for each attempt: jgo takes whatever stands at its target, even half a file, for the jar.
        context = MavenContext(
            repo_cache=folder / str(attempt), local_repos=[], timeout=TIMEOUT_SECONDS, resolver=resolver
        )
        artifact = context.project(jar.group, jar.name).at_version(jar.version).artifact(jar.classifier)
        try:
            return Path(artifact.resolve())
        except RuntimeError as error:
            raise ArtifactError(f"Maven Central does not have the jar {jar}.", "Rewrite the lock file.") from error
        except OSError as error:  # requests' errors are OSErrors too
            if error.errno == errno.ENOSPC:
                raise ArtifactError(
                    f"No space left for the jar {jar} in {folder}.", "Free some, or set BIOKEEL_CACHE_DIR."
                ) from error
            if isinstance(error, SSLError):
                raise ArtifactError(
                    f"The jar {jar} could not be fetched: the certificate on the way to it is unknown.",
                    "Behind a proxy that opens TLS, set REQUESTS_CA_BUNDLE to a file with its certificates.",
                ) from error
            if attempt == ATTEMPTS:
                raise ArtifactError(
                    f"The jar {jar} could not be fetched from Maven Central ({type(error).__name__}).",
                    "The first start needs the network, later ones do not: connect (or set HTTPS_PROXY), start again.",
                ) from error
    raise AssertionError("unreachable")


@contextmanager
def _room(root: Path) -> Iterator[Path]:
    """A folder on the cache's own file system (so that a rename is atomic), removed afterwards."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".fetch-{os.getpid()}-", dir=root))
    except OSError as error:
        raise ArtifactError(
            f"The cache {root} cannot be written ({error.strerror}).", "Set BIOKEEL_CACHE_DIR to a folder of yours."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Fetching Kafka and S3Proxy (once)", total=total)
        yield lambda size: progress.advance(task, size)


@contextmanager
def _advancing(advance: Callable[[int], None]) -> Iterator[Callable[[int], None]]:
    yield advance


def as_jar(artifact: Any, file: Path) -> Jar:
    """Pin what jgo's `Artifact` resolved to `file`."""
    return Jar(
        group=artifact.groupId,
        name=artifact.artifactId,
        version=artifact.version,
        classifier=artifact.classifier,
        sha256=digest(file),
        size=file.stat().st_size,
    )
