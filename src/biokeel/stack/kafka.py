"""Apache Kafka, one node in KRaft mode: its configuration, its command, and when it is ready."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from biokeel.admin import users
from biokeel.admin.private import write_private
from biokeel.admin.topics import MESSAGE_BYTES
from biokeel.errors import StackError
from biokeel.stack import java
from biokeel.stack.state import HOST, State, listens
from biokeel.stack.supervisor import Program, Supervisor

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

NAME = "kafka"
"""Most bytes of a message: a block of a whole micro-batch has to fit."""
HEAP = ("-Xms256m", "-Xmx512m")
FORMAT_SECONDS = 120.0
READY_SECONDS = 120.0
PROBE_SECONDS = 0.05

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=SASL_PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=SASL_PLAINTEXT://{host}:{port}
listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
inter.broker.listener.name=SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.controller.sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config={jaas}
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config={scram}
listener.name.controller.plain.sasl.jaas.config={jaas}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:broker
allow.everyone.if.no.acl.found=false
log.dirs={data}
auto.create.topics.enable=false
message.max.bytes={message_bytes}
# The lake is the archive, but raw events are what it can be rebuilt from: locally nothing is thrown away.
log.retention.ms=-1
log.retention.bytes=-1
# One node: what Kafka keeps for itself cannot have three copies, and one group needs no waiting for its members.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# A transaction that nobody ends holds back what others commit behind it; by default it is looked for every ten seconds.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# Two cores are shared with the workers.
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
"""

_DETOUR = """\
listeners=SASL_PLAINTEXT://{host}:{port},DETOUR://{host}:{detour.port},CONTROLLER://{host}:{controller}
advertised.listeners=SASL_PLAINTEXT://{host}:{port},DETOUR://{host}:{detour.advertised}
listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,DETOUR:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
listener.name.detour.plain.sasl.jaas.config={jaas}
listener.name.detour.scram-sha-512.sasl.jaas.config={scram}
"""
"""Of two lines for one property the later holds."""

_LOGGING = """\
status=warn
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={logs}/kafka-broker.log
appender.file.filePattern={logs}/kafka-broker.%i.log
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}} %p %m (%c)%n
appender.file.policies.type=SizeBasedTriggeringPolicy
appender.file.policies.size=10MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=3
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}} %p %m (%c)%n
appender.console.filter.level.type=ThresholdFilter
appender.console.filter.level.level=error
rootLogger.level=info
rootLogger.appenderRef.file.ref=file
rootLogger.appenderRef.console.ref=console
"""


@dataclass(frozen=True, slots=True)
class Detour:
    """A second door of the broker, for tests: it listens on `port`, and tells clients to come to `advertised`.

    There a proxy listens: who comes in by it is led back to it, whatever it asks.
    """

    port: int
    advertised: int


def bootstrap(state: State) -> str:
    """Where clients find the broker."""
    return f"{HOST}:{state.ports.kafka}"


def prepare(
    state: State, folder: Path, logs: Path, class_path: Sequence[Path], detour: Detour | None = None
) -> Program:
    """Write the configuration, format the storage at the first start, and say how to start the broker.

    A process that dies while formatting leaves no `meta.properties`, so the next start formats again.
    """
    data = folder / "data"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    properties, log4j = folder / "server.properties", folder / "log4j2.properties"
    write_private(
        properties,
        (_PROPERTIES + (_DETOUR if detour else "")).format(
            host=HOST,
            port=state.ports.kafka,
            controller=state.ports.controller,
            detour=detour,
            jaas=users.jaas(state.passwords),
            scram=users.SCRAM_MODULE,
            data=data,
            message_bytes=MESSAGE_BYTES,
        ),
    )
    write_private(log4j, _LOGGING.format(logs=logs))
    logging_options = (f"-Dlog4j2.configurationFile={log4j}", "-Dlog4j2.disableJmx=true")
    if not (data / "meta.properties").is_file():
        java.run(
            "format Kafka's storage",
            java.command(
                class_path,
                "kafka.tools.StorageTool",
                ("format", "--cluster-id", state.cluster_id, "--config", str(properties)),
                (*java.QUICK, *logging_options),
            ),
            FORMAT_SECONDS,
        )
    options = (*HEAP, *java.BROKER, "-Djava.awt.headless=true", *logging_options)
    command = java.command(class_path, "kafka.Kafka", (str(properties),), options)
    return Program(NAME, command, java.environment())


def wait_ready(state: State, supervisor: Supervisor) -> AdminClient:
    """Return a client with all rights as soon as the broker answers it.

    Raises `ProcessDied` where the broker ends, `StackError` after `READY_SECONDS`.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    deadline = time.monotonic() + READY_SECONDS
    client: AdminClient | None = None
    while time.monotonic() < deadline:
        if supervisor.ended_within(NAME, PROBE_SECONDS):
            raise supervisor.ended_early(NAME)
        if not listens(state.ports.kafka):
            continue
        client = client or AdminClient(_admin_config(state), logger=_quiet())
        try:
            if client.list_topics(timeout=1.0).brokers:
                return client
        except KafkaException:
            continue  # it listens before it answers
    raise StackError(f"Kafka did not answer within {READY_SECONDS:g} s.", f"See {supervisor.log(NAME)}.")


def _admin_config(state: State) -> dict[str, str | int | float | bool]:
    return {
        "bootstrap.servers": bootstrap(state),
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": users.User.BROKER.value,
        "sasl.password": state.passwords[users.User.BROKER],
    }


def _quiet() -> logging.Logger:
    """Where librdkafka tells of connections refused by a broker that is still starting."""
    logger = logging.getLogger("biokeel.stack.kafka.client")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
