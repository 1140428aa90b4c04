"""A key that signs the blocks of tests, and its public half."""

from biokeel.contracts.signatures import HEADER_SIGNATURE, PublicKeys, Signer

SIGNER = Signer(b"the signing key of all the tests")
KEYS = PublicKeys([SIGNER.public])
OTHER = Signer(b"a key that nobody has to believe")


def signed(topic, partition, headers, signer=SIGNER):
    """`headers` with a fresh signature in the place of theirs."""
    rest = [(name, value) for name, value in headers if name != HEADER_SIGNATURE]
    return [*rest, (HEADER_SIGNATURE, signer.sign(topic, partition, dict(rest)))]
