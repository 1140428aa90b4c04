"""Pinned jars: every byte counts, and nothing half-made is ever believed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from biokeel.errors import ArtifactError
from biokeel.stack.artifacts import Jar, class_paths, read_lock, write_lock

CONTENT = b"a jar"
JAR = Jar("org.example", "thing", "1.0", "", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    file = tmp_path / "maven" / JAR.path
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    return tmp_path


def certificate(folder: Path) -> Path:
    """A file with the certificate of somebody who signs nothing."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "nobody.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return file


def test_a_jar_with_the_pinned_digest_is_used_without_the_network(cache: Path) -> None:
    assert class_paths({"part": (JAR,)}, cache) == {"part": [cache / "maven" / "org/example/thing/1.0/thing-1.0.jar"]}


def test_one_changed_byte_in_the_cache_is_refused_with_the_file_to_delete(cache: Path) -> None:
    file = cache / "maven" / JAR.path
    file.write_bytes(b"a jaR")
    with pytest.raises(ArtifactError, match="SHA-256 differs") as refusal:
        class_paths({"part": (JAR,)}, cache)
    assert str(file) in str(refusal.value)
    assert file.read_bytes() == b"a jaR", "what was found stays for whoever looks into it"


def test_the_lock_pins_every_jar_once_with_a_digest_and_no_host() -> None:
    lock = read_lock()
    jars = [jar for part in lock.values() for jar in part]
    assert len({jar.path for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 and jar.size > 0 and jar.version for jar in jars)
    assert len({(jar.group, jar.name, jar.classifier) for jar in jars}) == len(jars), (
        "no part has two versions of a jar"
    )
    assert {jar.version for jar in jars if jar.group == "org.apache.kafka"} == {"4.3.1"}
    text = (Path(sys.modules[read_lock.__module__].__file__).parent / "jars.lock.json").read_text()
    assert "://" not in text


def test_a_lock_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_lock({"part": (JAR,)}, tmp_path / "lock.json")
    assert read_lock(tmp_path / "lock.json") == {"part": (JAR,)}


def test_a_damaged_lock_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text('{"parts": {"kafka": [{"group": "x"}]}}')
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_lock(tmp_path / "lock.json")


def test_without_network_a_first_start_ends_with_one_clear_sentence(tmp_path: Path) -> None:
    # A proxy that nobody listens at is what a machine without network looks like to the client.
    code = (
        "from pathlib import Path; from biokeel.stack.artifacts import class_paths, read_lock\n"
        f"class_paths(read_lock(), Path({str(tmp_path)!r}))"
    )
    dead = "http://127.0.0.1:9"
    environment = os.environ | dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), dead)
    environment |= {"NO_PROXY": "", "no_proxy": ""}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("biokeel.errors.ArtifactError: The jar ")
    assert "could not be fetched from Maven Central" in last
    assert "first start needs the network" in last
    assert not [file for file in tmp_path.rglob("*") if file.is_file()], "nothing half-made stays"


@pytest.mark.integration
def test_an_unknown_certificate_on_the_way_ends_with_the_setting_that_makes_it_known(tmp_path, monkeypatch) -> None:
    # No certificate is known here: as for a user whose proxy opens TLS and signs with its own.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate(tmp_path)))
    with pytest.raises(ArtifactError, match="certificate") as refusal:
        class_paths({"part": (read_lock()["kafka"][0],)}, tmp_path / "cache")
    assert "REQUESTS_CA_BUNDLE" in str(refusal.value)


@pytest.mark.integration
def test_two_processes_that_fill_one_cache_at_once_both_succeed(tmp_path: Path) -> None:
    small = next(jar for jar in read_lock()["kafka"] if jar.name == "log4j-slf4j-impl")
    code = (
        "from pathlib import Path; from biokeel.stack.artifacts import Jar, class_paths\n"
        f"print(class_paths({{'part': ({small!r},)}}, Path({str(tmp_path)!r})))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
    files = [file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file()]
    assert files == [Path("maven") / small.path]


@pytest.mark.integration
def test_a_jar_that_arrives_with_another_digest_never_reaches_the_cache(tmp_path: Path) -> None:
    small = next(jar for jar in read_lock()["kafka"] if jar.name == "log4j-slf4j-impl")
    wrong = Jar(small.group, small.name, small.version, small.classifier, "0" * 64, small.size)
    with pytest.raises(ArtifactError, match="another SHA-256"):
        class_paths({"part": (wrong,)}, tmp_path)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
