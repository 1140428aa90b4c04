"""No identifier of the input in any byte that leaves the wall, or that lies in the vault's files."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biokeel.contracts.blocks import split_blocks
from biokeel.contracts.topics import event_type
from tests.block_bytes import memory
from tests.pseudonymise.conftest import GLUCOSE, World, origin
from tests.signing import SIGNER

NUMBERS = st.from_regex(r"[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|1[0-9])[-. ]?[1-8][0-9]{6}", fullmatch=True)
# Begins with letters: eight zeros stand in every table by chance.
LOCAL = st.from_regex(r"Q[A-Z]Z[A-Z0-9]{5,13}", fullmatch=True)


@given(
    rows=st.lists(
        st.tuples(NUMBERS, LOCAL, st.sampled_from(["specimen", "code", "status", "relation_to_meal", None])),
        min_size=1,
        max_size=6,
        unique_by=(lambda row: row[0].translate(str.maketrans("", "", "-. ")), lambda row: row[1]),
    )
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_no_input_identifier_occurs_in_any_output_byte_nor_in_the_vaults_files(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("privacy")
    world = World(folder)
    wall = world.wall()
    name, phone = "Hong Gildong-Zweig", "010-9876-5432"
    enrolments = [
        {
            "subject_scheme": "KR_RRN",
            "subject_id": number,
            "identifiers": [{"scheme": "hospital/one", "value": local}],
            "name": name,
            "phone": phone,
            "address": "서울특별시 종로구 세종대로 1",
        }
        for number, local, _ in rows[::2]
    ]
    wall.process(world.batch(event_type("person.enrolment"), enrolments))
    events = [
        {"subject_id": local, **({field: f"see {secret}"} if field else {})}
        for number, local, field in rows
        for secret in (number, local)
    ]
    frames = [wall.process(world.batch(GLUCOSE, events)).batch]
    wall.process(world.batch(event_type("person.enrolment"), enrolments))
    frames.append(wall.releases(GLUCOSE, origin(0), 100).batch)
    secrets = [text for number, local, _ in rows for text in (number, local)]
    secrets += [name, phone, "종로구"]
    out = b""
    for batch in filter(None, frames):
        blocks = split_blocks(batch, 2, "f" * 32, SIGNER)
        out += b"".join(memory(block.value) + repr(block.headers).encode() for block in blocks)
        out += batch.frame.write_csv().encode()
    vault = wall._vault
    shown = repr(vault.status()) + repr(vault.verify_audit()) + str(vault.books(GLUCOSE, origin(0)).rows())
    world.close()
    for path in folder.iterdir():
        if not path.name.endswith(".keys"):
            out += path.read_bytes()
    out += shown.encode()
    found = sum(text.encode() in out for text in secrets)
    plain = sum(text.translate(str.maketrans("", "", "-. ")).encode() in out for text, _, _ in rows)
    assert (found, plain) == (0, 0)
