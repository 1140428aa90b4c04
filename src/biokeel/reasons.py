"""Why an event was rejected, and whose job each reason is.

A reason is a stable word: it is counted in metrics, written into tables and receipts, and documented in
`docs/sources.md` (a test holds the two together).
"""

from __future__ import annotations

from enum import StrEnum


class Owner(StrEnum):
    """Who can mend what a reason names."""

    SOURCE = "source"
    STEWARD = "steward"
    OPERATOR = "operator"
    PRIVACY = "privacy"
    NOBODY = "nobody"
    """There is nothing to mend: the event is where it belongs."""


class Reason(StrEnum):
    """Every reason for which an event leaves the main path."""

    EMPTY = "wire.empty"
    TOO_LARGE = "wire.too_large"
    NOT_FRAMED = "wire.not_framed"
    UNKNOWN_SCHEMA = "wire.unknown_schema"
    UNUSABLE_SCHEMA = "wire.unusable_schema"
    WRONG_SUBJECT = "wire.wrong_subject"
    MALFORMED = "wire.malformed"
    TRAILING_BYTES = "wire.trailing_bytes"
    ENVELOPE = "envelope.invalid"
    TIME_RANGE = "envelope.time_out_of_range"
    SUBJECT = "envelope.subject_invalid"
    NOT_ITS_OWN = "source.not_its_own"
    EVENT_NOT_GRANTED = "source.event_not_granted"
    SCHEME_NOT_GRANTED = "source.scheme_not_granted"
    LEAK = "privacy.leak"
    NO_CONSENT = "privacy.no_consent"
    WITHDRAWN = "privacy.withdrawn"
    NOT_ENROLLED = "person.not_enrolled"
    PERSON_CONFLICT = "person.conflict"
    PERSON_INVALID = "person.invalid"
    FILE_UNCHECKED = "file.not_checked"
    FILE_URI = "file.uri_invalid"
    FILE_MISSING = "file.missing"
    FILE_HASH = "file.hash_mismatch"
    FILE_FORMAT = "file.format_mismatch"
    FILE_NOT_A_VCF = "file.not_a_vcf"
    FILE_BUILD = "file.build_mismatch"
    FILE_SAMPLES = "file.samples_mismatch"
    FILE_NOT_THE_SUBJECTS = "file.sample_not_the_subjects"
    FILE_COSTLY = "file.too_costly"
    STAGE_FAILED = "engine.stage_failed"
    RULE = "rule.failed"
    REPEATED = "event.repeated"
    RETRACTED = "event.withdrawn"

    @property
    def owner(self) -> Owner:
        """Whose job it is to mend what this reason names."""
        return _OWNERS[self]

    @property
    def meaning(self) -> str:
        """One sentence for the person who reads it in a report or a receipt."""
        return _MEANINGS[self]


_TABLE: dict[Reason, tuple[Owner, str]] = {
    Reason.EMPTY: (Owner.SOURCE, "The message has no bytes."),
    Reason.TOO_LARGE: (
        Owner.SOURCE,
        "The message, or what its batch unpacks to, is too large; big files go as claim checks.",
    ),
    Reason.NOT_FRAMED: (Owner.SOURCE, "The message does not begin with magic byte 0 and a four-byte schema id."),
    Reason.UNKNOWN_SCHEMA: (Owner.SOURCE, "The schema id is not in the catalogue; register the schema first."),
    Reason.UNUSABLE_SCHEMA: (
        Owner.SOURCE,
        "The schema that was registered under the id cannot be read into the programme's; write with a locked one.",
    ),
    Reason.WRONG_SUBJECT: (Owner.SOURCE, "The schema id belongs to another event type than the topic."),
    Reason.MALFORMED: (Owner.SOURCE, "The bytes do not follow the schema that their id names (truncated or damaged)."),
    Reason.TRAILING_BYTES: (Owner.SOURCE, "Bytes are left over after the event."),
    Reason.ENVELOPE: (Owner.SOURCE, "event_id, source_id or another field of the envelope breaks its rule."),
    Reason.TIME_RANGE: (Owner.SOURCE, "occurred_at or recorded_at lies outside the years 1900 to 2100."),
    Reason.SUBJECT: (Owner.SOURCE, "subject_scheme is not known, or subject_id does not have the scheme's form."),
    Reason.NOT_ITS_OWN: (Owner.SOURCE, "source_id names another source than the one whose topic the event stands in."),
    Reason.EVENT_NOT_GRANTED: (Owner.OPERATOR, "The register does not let this source send events of this type."),
    Reason.SCHEME_NOT_GRANTED: (
        Owner.SOURCE,
        "The event speaks of an identifier scheme that the register does not grant to its source.",
    ),
    Reason.LEAK: (Owner.PRIVACY, "A field that should hold no identifier holds something that looks like one."),
    Reason.NO_CONSENT: (Owner.PRIVACY, "The person has not consented to this domain."),
    Reason.WITHDRAWN: (Owner.PRIVACY, "The person has withdrawn."),
    Reason.NOT_ENROLLED: (Owner.SOURCE, "The person is not enrolled yet; the event waits, sealed, for the enrolment."),
    Reason.PERSON_CONFLICT: (Owner.PRIVACY, "The identifiers of this person event belong to different participants."),
    Reason.PERSON_INVALID: (Owner.SOURCE, "The person event lacks what it needs, or names somebody unknown."),
    Reason.FILE_UNCHECKED: (
        Owner.OPERATOR,
        "The event waits, sealed, until biokeel worker files has checked its file.",
    ),
    Reason.FILE_URI: (
        Owner.SOURCE,
        "uri is not s3://<landing bucket>/<source>/<name>: a source claims what it put down itself, and nothing else.",
    ),
    Reason.FILE_MISSING: (Owner.SOURCE, "There is no object of that uri; upload the file before its event."),
    Reason.FILE_HASH: (Owner.SOURCE, "The object has not the size_bytes or the sha256 of its event."),
    Reason.FILE_FORMAT: (Owner.SOURCE, "The object is another of VCF, gVCF, BCF and gzip than file_format says."),
    Reason.FILE_NOT_A_VCF: (Owner.SOURCE, "The object is cut off, or breaks a rule of VCF; the detail says which."),
    Reason.FILE_BUILD: (
        Owner.SOURCE,
        "The lengths of the file's contigs, or its positions, are not those of reference_build.",
    ),
    Reason.FILE_SAMPLES: (
        Owner.SOURCE,
        "sample_names are not the file's samples, or not sample_count of them.",
    ),
    Reason.FILE_NOT_THE_SUBJECTS: (Owner.SOURCE, "A sample of the file is not bound to the person of the event."),
    Reason.FILE_COSTLY: (Owner.SOURCE, "To read the object takes more memory or time than a file of its size may."),
    Reason.STAGE_FAILED: (Owner.OPERATOR, "A stage failed on this event again and again; see the worker's log."),
    Reason.RULE: (Owner.STEWARD, "The event fails a critical rule of its suite; failed_rules names it."),
    Reason.REPEATED: (Owner.NOBODY, "The source sent the event again as it was; it counts once."),
    Reason.RETRACTED: (Owner.NOBODY, "The source withdraws the event: its status says entered-in-error."),
}
NOTHING_TO_MEND = frozenset(reason for reason, (owner, _) in _TABLE.items() if owner is Owner.NOBODY)
"""Reasons of rows that lie in the quarantine table and wait for nobody."""
_OWNERS = {reason: owner for reason, (owner, _) in _TABLE.items()}
_MEANINGS = {reason: meaning for reason, (_, meaning) in _TABLE.items()}
