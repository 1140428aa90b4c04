"""Every setting of Biokeel, read once from the environment, with secrets masked.

Each setting is an environment variable `BIOKEEL_<NAME>`. `biokeel stack up` writes the settings of the local stack into
files in the state directory, one for each side: `vault.env` and `research.env` for the zones of the privacy wall,
`sources/<id>.env` for each source, `operator.env` for who watches, `books.env` for who keeps the books, `admin.env` for
who registers sources and `steward.env` for who owns the rules. Each holds its own side's ways in and no other's, and
who loads settings names the sides that it needs. What stands in the environment wins over the files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from biokeel.errors import SettingsError

OPERATOR, BOOKS, ADMIN, STEWARD = "operator", "books", "admin", "steward"
"""The sides that are no zone: who watches, keeps the books, registers sources, owns the rules; a source's is what
`side_of` says."""


def side_of(source: str) -> str:
    """The side of a source: its settings are in the file `sources/<id>.env`."""
    return f"sources/{source}"


PROJECT_ROOT = Path(__file__).resolve().parents[2]
SHIPPED = Path(__file__).resolve().parent / "shipped"
"""What an installed Biokeel brings along; nobody writes there."""


def _beside_project(name: str) -> Path:
    """`name` in the working directory where it exists, else in the checkout, else as shipped inside the package."""
    for root in (Path.cwd(), PROJECT_ROOT, SHIPPED):
        if (root / name).is_dir():
            return root / name
    return Path.cwd() / name


class Settings(BaseSettings):
    """All settings; frozen. `load` is the way to make one."""

    model_config = SettingsConfigDict(env_prefix="BIOKEEL_", frozen=True, extra="ignore", env_ignore_empty=True)

    # -- folders
    state_dir: Annotated[Path, Field(description="Data, logs and settings of the local stack.")] = Path(".biokeel")
    cache_dir: Annotated[Path, Field(description="Downloaded jars, shared by all stacks of this user.")] = Field(
        default_factory=lambda: Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "biokeel"
    )
    schemas_dir: Annotated[Path, Field(description="The directory catalogue of Avro schemas.")] = Field(
        default_factory=lambda: _beside_project("schemas")
    )
    schema_registry_url: Annotated[
        str, Field(description="Schema registry (Confluent's API) whose ids events carry.", repr=False)
    ] = ""
    expectations_dir: Annotated[
        Path, Field(description="The Great Expectations suites: drafts, and what a new installation begins with.")
    ] = Field(default_factory=lambda: _beside_project("expectations"))
    sources_dir: Annotated[Path, Field(description="The register of sources, a file each.")] = Field(
        default_factory=lambda: _beside_project("sources")
    )

    # -- Kafka
    kafka_bootstrap: Annotated[str, Field(description="Kafka bootstrap servers, host:port[,host:port].")] = ""
    kafka_security_protocol: Annotated[str, Field(description="PLAINTEXT, SASL_PLAINTEXT or SASL_SSL.")] = "PLAINTEXT"
    kafka_username: Annotated[str, Field(description="SASL user name; empty for none.")] = ""
    kafka_password: Annotated[SecretStr, Field(description="SASL password.")] = SecretStr("")
    kafka_sasl_mechanism: Annotated[
        str, Field(description="PLAIN or SCRAM-SHA-512, which sources use.", pattern="^(PLAIN|SCRAM-SHA-512)$")
    ] = "PLAIN"
    pseudo_partitions: Annotated[int, Field(description="Partitions of each pseudo topic that it creates.", ge=1)] = 4

    # -- sources
    source_id: Annotated[str, Field(description="The id under which the programme registered a source; its own.")] = ""
    identifiers: Annotated[
        Path | None, Field(description="A source's table of identifier systems and FHIR servers; see docs/sources.md.")
    ] = None

    # -- object storage
    s3_endpoint: Annotated[str, Field(description="URL of the S3-compatible store.")] = ""
    s3_region: Annotated[str, Field(description="Region name that requests are signed for.")] = "us-east-1"
    s3_access_key: Annotated[str, Field(description="Access key ID.")] = ""
    s3_secret_key: Annotated[SecretStr, Field(description="Secret access key.")] = SecretStr("")
    lake_bucket: Annotated[str, Field(description="Bucket of the tables and of the linking state.")] = "biokeel-lake"
    landing_bucket: Annotated[str, Field(description="Bucket where sources put big files.")] = "biokeel-landing"

    landing_access_key: Annotated[
        str, Field(description="Access key ID for the landing bucket, in the vault zone; empty: the store's other one.")
    ] = ""
    landing_secret_key: Annotated[SecretStr, Field(description="Secret access key for the landing bucket.")] = (
        SecretStr("")
    )
    genome_bucket: Annotated[
        str, Field(description="Bucket of the genome files that were checked, by participant.")
    ] = "biokeel-genome"

    # -- vault (the database in the vault zone and for operators, the key file in the vault zone only)
    vault_url: Annotated[str, Field(description="SQLAlchemy URL of the vault's database.", repr=False)] = ""
    vault_key_file: Annotated[Path | None, Field(description="File with the vault's keys, outside the database.")] = (
        None
    )
    unknown_person: Annotated[
        str, Field(description="park or create: an event whose person is not enrolled.", pattern="^(park|create)$")
    ] = "park"
    variant_files: Annotated[
        str,
        Field(
            description="check or believe: whether an event of a variant file waits until biokeel worker files has"
            " checked the file.",
            pattern="^(check|believe)$",
        ),
    ] = "check"
    unstated_consent: Annotated[
        str,
        Field(
            description="Domains (comma list) that count as consented to while nobody has stated a person's consent."
        ),
    ] = ""

    # -- research zone
    block_public_keys: Annotated[
        str,
        Field(
            description="Public keys (comma list) of the vault zone: a block that none of them has signed is left out."
        ),
    ] = ""

    # -- rules
    four_eyes: Annotated[
        bool,
        Field(description="true or false: whether a draft of a suite must be approved by another than its author."),
    ] = True
    steward_key_file: Annotated[Path | None, Field(description="A steward's key file: who submits and approves.")] = (
        None
    )
    windows_worker: Annotated[
        bool, Field(description="true or false: whether the local stack starts biokeel worker windows.")
    ] = True

    # -- engine
    worker_name: Annotated[
        str, Field(description="Name of this worker, no two alike; under it a restart has its partitions at once.")
    ] = ""
    micro_batch_rows: Annotated[int, Field(description="Most records of one micro-batch.", ge=1)] = 20_000
    max_event_bytes: Annotated[int, Field(description="A raw message above this is sealed, not decoded.", ge=1)] = (
        1 << 20
    )
    set_aside_events: Annotated[
        int, Field(description="Most events of one batch that are set aside because a stage fails on them.", ge=0)
    ] = 1_000
    set_aside_blocks: Annotated[
        int,
        Field(description="Most blocks of one pseudo partition that are put aside because they are damaged.", ge=0),
    ] = 8
    flush_rows: Annotated[int, Field(description="Rows of one event type that cause a landing.", ge=1)] = 262_144
    flush_bytes: Annotated[int, Field(description="Bytes of one event type that cause a landing.", ge=1)] = 256 << 20
    flush_seconds: Annotated[float, Field(description="Age of the oldest row that causes a landing.", gt=0)] = 30.0
    held_bytes: Annotated[
        int, Field(description="Bytes of all event types, waiting to land, above which nothing more is read.", ge=1)
    ] = 384 << 20
    stuck_seconds: Annotated[float, Field(description="A worker without progress for this long ends.", gt=0)] = 300.0

    remembered_events: Annotated[
        int,
        Field(
            description="Landed events that a sent-again one is known by, at least, of each type and pseudo partition; "
            "24 bytes each, twice as many at most.",
            ge=1,
        ),
    ] = 65_536

    # -- seeing it
    metrics_host: Annotated[
        str, Field(description="Address that a worker's /metrics and /health listen on; 0.0.0.0 for every one.")
    ] = "127.0.0.1"
    metrics_port: Annotated[int, Field(description="Port of a worker's /metrics and /health; 0 for any.", ge=0)] = 0
    console_port: Annotated[int, Field(description="Port of the console; 0 for any free one.", ge=0)] = 0
    console_hosts: Annotated[
        str, Field(description="Hosts, name[:port] with commas, that browsers may call the console by besides its own.")
    ] = ""
    console_token: Annotated[
        SecretStr, Field(description="What opens the console; without it the console makes one and prints it.")
    ] = SecretStr("")
    log_level: Annotated[str, Field(description="DEBUG, INFO, WARNING or ERROR.")] = "INFO"

    @classmethod
    def load(cls, *sides: str, state_dir: Path | None = None) -> Settings:
        """Read the environment, and beneath it the env files of `sides`: a zone, `OPERATOR`, `ADMIN`, or a source's.

        Where none is named, only the environment: folders and the like, which belong to no side.

        Raises `SettingsError` naming each variable that makes no sense, never its value.
        """
        root = state_dir or Path(os.environ.get("BIOKEEL_STATE_DIR") or ".biokeel")
        files = [root / f"{side}.env" for side in sides]
        try:
            return cls(_env_file=[file for file in files if file.is_file()], state_dir=root)
        except ValidationError as error:
            names = ", ".join(sorted({"BIOKEEL_" + str(fault["loc"][0]).upper() for fault in error.errors()}))
            raise SettingsError(
                f"Settings that make no sense: {names}.", "See docs/operations.md for what each may be."
            ) from None

    def kafka_client(self) -> dict[str, str | int | float | bool]:
        """How a librdkafka client reaches the brokers: addresses and, where set, SASL credentials.

        Raises `SettingsError` where no bootstrap server is set.
        """
        self.require("kafka_bootstrap")
        client: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.kafka_bootstrap,
            "security.protocol": self.kafka_security_protocol,
            # librdkafka writes to standard error itself, past our logs and their mask. What matters comes as an error
            # to who asked; the rest (a broker that is away for a second) is tried again and no news.
            "log_level": 2,
        }
        if not self.kafka_username:
            return client
        return client | {
            "sasl.mechanism": self.kafka_sasl_mechanism,
            "sasl.username": self.kafka_username,
            "sasl.password": self.kafka_password.get_secret_value(),
        }

    def at_landing(self) -> Settings:
        """These settings with the way into the landing bucket as that into the store."""
        if not self.landing_access_key:
            return self
        own = {"s3_access_key": self.landing_access_key, "s3_secret_key": self.landing_secret_key}
        return self.model_copy(update=own)

    def require(self, *names: str) -> None:
        """Raise `SettingsError` unless every setting in `names` has a value."""
        missing = [name for name in names if not getattr(self, name)]
        if missing:
            variables = ", ".join("BIOKEEL_" + name.upper() for name in missing)
            raise SettingsError(
                f"Not set: {variables}.", "Start the local stack (biokeel stack up) or set them in the environment."
            )
