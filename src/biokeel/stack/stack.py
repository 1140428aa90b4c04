"""The local stack as one thing: start it, ask for its settings, kill and restart parts of it, stop it.

```
<state_dir>/
├── vault.env, research.env   settings of each side of the privacy wall, of operators and administrators (0600)
├── operator.env, books.env, admin.env, steward.env
├── landing.env               what every source is given beside its way into Kafka
├── sources/                  <id>.env: the credentials of each registered source (0600)
├── stack/                    lock, state.json (ports, credentials), processes.json
├── kafka/  objects/          configuration and data
├── vault/                    database and key file (0700)
├── run/                      written by workers: where their metrics are
└── logs/                     <process>.log, kafka-broker.log
```
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from biokeel.admin import topics, users
from biokeel.admin.cluster import Cluster
from biokeel.admin.credentials import LANDING, Credentials
from biokeel.admin.plan import Topic, make_plan, topics_wanted
from biokeel.admin.private import read_settings, write_settings
from biokeel.admin.users import User
from biokeel.contracts.catalogue import locked_events
from biokeel.contracts.sources import Register
from biokeel.contracts.topics import Zone
from biokeel.errors import StackError
from biokeel.settings import STEWARD, Settings
from biokeel.stack import artifacts, environment, kafka, objectstore, state
from biokeel.stack.environment import VaultAt, VaultUrls
from biokeel.stack.processes import Ledger, Running
from biokeel.stack.supervisor import Program, Supervisor

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

NEEDED_BYTES = 2 << 30
"""Free space below which a start is refused: two segments of Kafka's and some tables."""
SUPERVISOR = "stack"
READY_FILE = "ready"
"""Stands in the folder `stack` while a stack started by the command is up."""
WRITTEN = "Written by biokeel stack up; each start writes it anew."
WORKERS = {"pseudonymise": User.VAULT, "curate": User.RESEARCH}


class Stack:
    """A running local stack. `Stack.start` makes one; it is a context manager that stops it in the end.

    Processes are called `kafka`, `objectstore`, `pseudonymise-1`, `curate-1` (…) and `console`.
    """

    def __init__(
        self, state_dir: Path, settings: Settings, say: Callable[[str], None], database: VaultUrls | None
    ) -> None:
        self.state_dir = state_dir
        self._vault_at = VaultAt.of(state_dir / "vault", database)
        self._base = settings
        self._say = say
        self._lock = hold(state_dir)
        self._ledger = ledger_of(state_dir)
        self._clear_up()
        self._file = state_file(state_dir)
        self.state = state.load_or_create(self._file)
        self._public_keys: tuple[str, ...] = ()
        self._register = Register()
        self.supervisor = Supervisor(self._folder("logs"), self._ledger, say)

    @classmethod
    def start(
        cls,
        state_dir: Path,
        *,
        workers: int = 0,
        console: bool = False,
        say: Callable[[str], None] = lambda _text: None,
        detour: kafka.Detour | None = None,
        database: VaultUrls | None = None,
    ) -> Self:
        """Start Kafka and the object store, make topics and buckets, then start `workers` of each kind and the console.

        The vault is a SQLite file, or in a PostgreSQL of the caller's, `database`.
        Returns when all of them run and Kafka and the store answer. Raises a `StackError` that says what to do, after
        stopping what had been started.
        """
        state_dir = state_dir.resolve()
        require_room(state_dir)
        settings = Settings.load(state_dir=state_dir)
        stack = cls(state_dir, settings, say, database)
        try:
            stack._start_parts(detour)
            stack._start_programs(int(workers), console)
        except BaseException:
            stack.stop()
            raise
        return stack

    def _clear_up(self) -> None:
        (self.state_dir / "stack" / READY_FILE).unlink(missing_ok=True)
        leftovers = self._ledger.end_leftovers()
        if leftovers:
            self._say(f"Ended what an earlier stack had left running here: {', '.join(leftovers)}.")
        self._ledger.add(SUPERVISOR, Running.of(os.getpid()))

    def _start_parts(self, detour: kafka.Detour | None) -> None:
        self._register = Register.load(self._base.sources_dir)
        lock = artifacts.read_lock()
        class_paths = artifacts.class_paths(lock, self._base.cache_dir)
        self.state = state.with_free_ports(self.state, self._file, self._say)
        self._vault()
        for user in User:
            if user is not User.BROKER:
                write_settings(self.state_dir / f"{user}.env", self._of_user(user), WRITTEN)
        write_settings(self.state_dir / f"{STEWARD}.env", environment.store_of(STEWARD, self.state), WRITTEN)
        write_settings(self.state_dir / LANDING, environment.store_of(state.SOURCES, self.state), WRITTEN)
        with ThreadPoolExecutor(1) as pool:
            store = pool.submit(self._start_store, class_paths[artifacts.OBJECTSTORE])
            self._start_kafka(class_paths[artifacts.KAFKA], detour)
            store.result()

    def _start_store(self, class_path: list[Path]) -> None:
        self.supervisor.start(objectstore.prepare(self.state, self._base, self._folder("objects"), class_path))
        objectstore.wait_ready(self.state, self._base, self.supervisor)

    def _start_kafka(self, class_path: list[Path], detour: kafka.Detour | None) -> None:
        program = kafka.prepare(self.state, self._folder("kafka"), self._folder("logs"), class_path, detour)
        self.supervisor.start(program)
        admin = kafka.wait_ready(self.state, self.supervisor)
        users.grant(admin)
        self._register_sources()
        topics.wait_led(admin, self._topics())

    def _register_sources(self) -> None:
        """Give Kafka what the register wants, and each source of it a credentials' file that leads here."""
        settings = self.settings(User.ADMIN)
        cluster, credentials = Cluster(settings), Credentials(settings)
        without = {source_id for source_id in self._register if not credentials.file(source_id).exists()}
        plan = make_plan(
            self._register,
            locked_events(self._base.schemas_dir),
            settings.pseudo_partitions,
            cluster.held(),
            passwords=credentials.unfinished() | without,
        )
        cluster.carry_out(plan, credentials)
        for source_id in self._register:
            credentials.rewrite(source_id)

    def _topics(self) -> dict[str, Topic]:
        return topics_wanted(self._register, locked_events(self._base.schemas_dir), self._base.pseudo_partitions)

    def _start_programs(self, workers: int, console: bool) -> None:
        if workers:
            self._start_program("books", ("worker", "books"), self._of_user(User.BOOKS))
            if self._base.windows_worker:
                self._start_program("windows", ("worker", "windows"), self._of_user(User.RESEARCH))
            if self._base.variant_files == "check":
                self._start_program("files", ("worker", "files"), self._of_user(User.VAULT))
        for number in range(1, workers + 1):
            for kind, user in WORKERS.items():
                name = f"{kind}-{number}"
                self._start_program(name, ("worker", kind), self._of_user(user) | {"worker_name": name})
        if console:
            if chosen := self._base.console_port:
                self.state = state.with_console_port(self.state, self._file, chosen)
            state.require_free("the console", self.console_port, "Stop that program, or set BIOKEEL_CONSOLE_PORT.")
            # It reads the operator's file, and is given nobody else's ways in.
            own = {"console_port": str(self.console_port), "console_token": self.state.console_token}
            self._start_program("console", ("console",), own)

    def _start_program(self, name: str, arguments: tuple[str, ...], settings: dict[str, str]) -> None:
        command = (sys.executable, "-m", "biokeel", *arguments)
        self.supervisor.start(Program(name, command, environment.of_process(settings, self.state_dir), comes_back=True))

    def _vault(self) -> None:
        """The vault's folder and key file; its database is made by the vault itself."""
        from biokeel.vault.keys import create_key_file, load_key_file

        folder = self._folder("vault")
        folder.chmod(0o700)
        key_file = self._vault_at.key_file
        keys = load_key_file(key_file) if key_file.exists() else create_key_file(key_file)
        self._public_keys = keys.public_keys

    def _of_user(self, user: User) -> dict[str, str]:
        register = self._base.sources_dir.resolve()
        believed = {"variant_files": self._base.variant_files} if user is User.VAULT else {}
        return believed | environment.of_user(user, self.state, self._vault_at, register, self._public_keys)

    def _folder(self, name: str) -> Path:
        folder = self.state_dir / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def settings(self, who: Zone | User) -> Settings:
        """The settings that a process of a zone or of another user is given, whatever our environment says."""
        return self._given(self._of_user(User(who.value)))

    def steward(self) -> Settings:
        """The settings that a steward is given, whatever our environment says."""
        return self._given(environment.store_of(STEWARD, self.state))

    def source(self, source_id: str) -> Settings:
        """The settings that a registered source is given, whatever our environment says."""
        return self._given(read_settings(Credentials(self.settings(User.ADMIN)).file(source_id)))

    def _given(self, settings: dict[str, str]) -> Settings:
        nobodys: dict[str, Any] = {
            "state_dir": self.state_dir,
            "vault_url": "",
            "vault_key_file": None,
            "block_public_keys": "",
        }
        return Settings(**(nobodys | settings))

    def admin(self) -> AdminClient:
        """A client of Kafka with all rights, for set-up and tests."""
        return kafka.wait_ready(self.state, self.supervisor)

    @property
    def console_port(self) -> int:
        """Where the console listens, if it was started."""
        return self.state.ports.console

    def pid(self, name: str) -> int | None:
        """The pid of a process, None where it has ended."""
        return self.supervisor.pid(name)

    def kill(self, name: str) -> None:
        """End a process as a crash would, and leave it ended until `restart`."""
        self.supervisor.kill(name)

    def restart(self, name: str) -> None:
        """Stop a process if it runs, start it anew; returns when Kafka or the store answers again."""
        self.supervisor.restart(name)
        if name == kafka.NAME:
            topics.wait_led(kafka.wait_ready(self.state, self.supervisor), self._topics())
        elif name == objectstore.NAME:
            objectstore.wait_ready(self.state, self._base, self.supervisor)

    def stop(self) -> None:
        """Stop every process, in order, and let go of the state directory. May be called twice."""
        self.supervisor.close()
        self._ledger.clear()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def ledger_of(state_dir: Path) -> Ledger:
    """The list of the processes that the stack in `state_dir` runs."""
    return Ledger(state_dir / "stack" / "processes.json")


def state_file(state_dir: Path) -> Path:
    """Where the stack in `state_dir` keeps what must be the same at its next start."""
    return state_dir / "stack" / "state.json"


def hold(state_dir: Path) -> IO[str]:
    """Hold the state directory for this process; the kernel lets go of it when the process ends, however it does.

    Raises `StackError` where another process holds it.
    """
    folder = state_dir / "stack"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = (folder / "lock").open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.close()
        raise StackError(
            f"A stack runs in {state_dir} already.", "Stop it (biokeel stack down) or set BIOKEEL_STATE_DIR."
        ) from error
    return handle


def require_room(state_dir: Path) -> None:
    """Raise `StackError` unless the state directory can be written and has room, before anything is written."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(state_dir).free
        if free < NEEDED_BYTES:
            raise StackError(
                f"Only {free >> 20} MiB are free for the state directory {state_dir}; {NEEDED_BYTES >> 20} are needed.",
                "Free some, or set BIOKEEL_STATE_DIR to a folder on a bigger disk.",
            )
        (state_dir / "stack").mkdir(mode=0o700, exist_ok=True)
        tempfile.TemporaryFile(dir=state_dir / "stack").close()
    except OSError as error:
        raise StackError(
            f"The state directory {state_dir} cannot be written ({error.strerror}).",
            "Set BIOKEEL_STATE_DIR to a folder of yours.",
        ) from error
