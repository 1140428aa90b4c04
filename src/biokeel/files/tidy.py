"""What lies in the bucket of checked files and is named by no event: found, and deleted if that is wanted.

A checker that dies, or whose event's person is merged, between writing a file and its verdict leaves one behind
(`biokeel.files.check`, steps 4 and 5); so does a person who is merged before the event goes on. A file that no verdict
names may be named in the next moment, by a checker that finds it there. So, for each file, in steps:

| step | died before it |
| --- | --- |
| 1 condemn its name, unless a verdict names it: from then on no verdict may | nothing has happened |
| 2 delete the object, count that, acquit its name, in one transaction of the vault | the next one does step 2 |

A checker asks for that count before it writes its file or finds it there, and its verdict counts only if it is still
the same: else the event waits, and its file is written again. What is younger than the age that is given may be just
being checked, and is not looked at; neither is what was written before an older vault was accepted, because the
verdicts on it may be those that it has lost.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biokeel.s3 import Bucket, Stored
    from biokeel.vault.store import Vault


@dataclass(slots=True)
class Tidied:
    """What was found: `files` and their `size` in bytes, `unfinished` uploads, and what is `kept` because nobody knows.

    `deleted` counts files.
    """

    files: int = 0
    size: int = 0
    unfinished: int = 0
    kept: int = 0
    deleted: int = 0


def tidy_files(vault: Vault, checked: Bucket, older_than: dt.datetime, *, delete: bool) -> Tidied:
    """Find what was written into `checked` before `older_than` and is named by no event; delete it if asked to.

    Raises `VaultUnavailable`, `StoreUnavailable`, `StoreRefused`; run it again then.
    """
    tidied = Tidied()
    if delete:
        for key in vault.condemned_files():
            tidied.deleted += vault.delete_file(key, checked.delete)
    for each in _unnamed(vault, checked, older_than, tidied):
        if each.upload:
            tidied.unfinished += 1
            if delete:
                checked.give_up(each)
            continue
        tidied.files += 1
        tidied.size += each.size
        if delete and vault.condemn_file(each.key):
            tidied.deleted += vault.delete_file(each.key, checked.delete)
    return tidied


def _unnamed(vault: Vault, checked: Bucket, older_than: dt.datetime, tidied: Tidied) -> Iterator[Stored]:
    # What is there before verdicts are read: an object that comes later is none of these.
    there = [each for each in checked.stored() if each.at < older_than]
    named, known_since = vault.named_files()
    for each in there:
        if not each.upload and each.key in named:
            continue
        if each.at.timestamp() * 1000 < known_since:
            tidied.kept += 1
        else:
            yield each
