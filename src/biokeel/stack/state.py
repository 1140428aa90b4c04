"""What a local stack keeps between runs: its ports, its credentials and its cluster id, made at the first start."""

from __future__ import annotations

import base64
import json
import secrets
import socket
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil

from biokeel.admin.private import write_private
from biokeel.admin.users import User, new_passwords
from biokeel.errors import PortTaken, StackError
from biokeel.settings import STEWARD

HOST = "127.0.0.1"
FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Below the range that systems take ports for outgoing connections from, or a restart would often find one taken."""
TRIES = 200
SOURCES = "sources"
"""All sources together, who share a key pair of the object store: it knows no rights within a bucket."""
STORE_USERS = (User.RESEARCH.value, User.OPERATOR.value, User.BOOKS.value, User.VAULT.value, STEWARD, SOURCES)
"""Who has a key pair of the object store."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the processes of a stack listen, on 127.0.0.1 only."""

    kafka: int
    controller: int
    objectstore: int
    console: int


PARTS = {
    "kafka": "Kafka",
    "controller": "Kafka's controller",
    "objectstore": "the object store",
    "console": "the console",
}
"""What each field of `Ports` is called."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """What opens the object store for one user."""

    access: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that must be the same at the next start."""

    ports: Ports
    cluster_id: str
    passwords: dict[str, str]
    """Of each user of Kafka."""
    key_pairs: dict[str, KeyPair]
    """Of each of `STORE_USERS`."""
    console_token: str
    """Who shows it sees the console."""

    @property
    def console_address(self) -> str:
        """What opens the console: its URL with the token, so no log may hold it."""
        return f"http://{HOST}:{self.ports.console}/?token={self.console_token}"

    def __repr__(self) -> str:
        """Without the credentials: this may stand in a log."""
        return f"State(ports={self.ports}, cluster_id={self.cluster_id!r})"


def load_or_create(file: Path) -> State:
    """Read the state, or make a new one with free ports and random credentials.

    Raises `StackError` where the file makes no sense.
    """
    try:
        entries = json.loads(file.read_text("utf-8"))
        key_pairs = {user: KeyPair(**pair) for user, pair in entries["key_pairs"].items()}
        found = State(**{**entries, "ports": Ports(**entries["ports"]), "key_pairs": key_pairs})
    except FileNotFoundError:
        state = _new()
        write_private(file, json.dumps(asdict(state), indent=1))
        return state
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StackError(
            f"The stack's state, {file}, cannot be read ({type(error).__name__}).",
            "Restore it, or delete the whole state directory to begin anew.",
        ) from error
    if set(found.passwords) != set(User) or set(found.key_pairs) != set(STORE_USERS):
        raise StackError(
            f"The stack's state, {file}, is another version's: it has other users.",
            "Delete the whole state directory to begin anew.",
        )
    return found


def _new() -> State:
    return State(
        ports=Ports(*free_ports(4)),
        cluster_id="k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:21],
        passwords=new_passwords(),
        key_pairs={user: KeyPair(secrets.token_hex(10), secrets.token_hex(20)) for user in STORE_USERS},
        console_token=secrets.token_urlsafe(24),
    )


def free_ports(count: int) -> list[int]:
    """Different ports on 127.0.0.1 that nothing listens on. Raises `PortTaken` where there are none to be found."""
    found: list[int] = []
    for _ in range(TRIES):
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        if port not in found and is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise PortTaken(f"No {count} free ports from {FIRST_PORT} to {LAST_PORT} on {HOST}.", "Stop what listens there.")


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def listens(port: int) -> bool:
    """Whether something accepts connections on `port` now."""
    try:
        socket.create_connection((HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def with_free_ports(state: State, file: Path, say: Callable[[str], None]) -> State:
    """`state` with another port in place of each that is taken by now, written to `file`; `say` is told of each.

    Nothing that is kept depends on a port: the configuration and the env files are written anew at each start, Kafka's
    data know their node by its id, and tables are addressed by bucket. Who had copied an address must read it again.
    """
    moved: dict[str, int] = {}
    for part, port in asdict(state.ports).items():
        if not is_free(port):
            (moved[part],) = free_ports(1)
            say(f"Port {port} of {PARTS[part]} is taken{_holder(port)}; from now on it listens on {moved[part]}.")
    if not moved:
        return state
    state = replace(state, ports=replace(state.ports, **moved))
    write_private(file, json.dumps(asdict(state), indent=1))
    return state


def with_console_port(state: State, file: Path, port: int) -> State:
    """`state` with the console's port that the user chose, written to `file`."""
    state = replace(state, ports=replace(state.ports, console=port))
    write_private(file, json.dumps(asdict(state), indent=1))
    return state


def require_free(name: str, port: int, todo: str) -> None:
    """Raise `PortTaken`, naming who has it, unless `port` is free."""
    if not is_free(port):
        raise PortTaken(f"Port {port} of {name} is taken{_holder(port)}.", todo)


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:  # other users' connections are not ours to see
        pass
    return ""
