"""Who a scan is of, said without the patient: identifiers from a keyed hash, or of the user's own.

A keyed hash (HMAC-SHA-256) cannot be turned back by trying all hospital numbers, as a plain one can, as long as the
key is secret. Equal patients get equal identifiers wherever the secret is the same, and what is derived from one
secret is one name space to the check of leakage (`cairn.workflow.disjoint`): no person is in training and test at once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

from cairn.errors import CairnError
from cairn.io.tables import read_table

MIN_SALT = 16
DIGITS = 12


@dataclass(frozen=True)
class Identities:
    """Gives identifiers of letters and digits."""

    salt: bytes
    people: dict[str, str]

    def subject(self, patient: str) -> str:
        """Subject identifier of a patient."""
        return self.people.get(patient) or self._derived("patient", patient)

    def session(self, study: str) -> str:
        """Session identifier of a study."""
        return self._derived("study", study)

    def series(self, series: str) -> str:
        """Identifier of a series, by which the local list of refusals and the table are joined."""
        return self._derived("series", series)

    @property
    def name_space(self) -> str:
        """What is equal wherever identifiers are derived from one secret, and tells nothing of it."""
        return self._derived("name space", "")

    @property
    def table(self) -> str:
        """What is equal wherever the same patients have the same identifiers of the user's own; empty for none."""
        rows = "\n".join(f"{patient}\t{subject}" for patient, subject in sorted(self.people.items()))
        return self._derived("people", rows) if rows else ""

    def _derived(self, what: str, value: str) -> str:
        return hmac.new(self.salt, f"{what}\0{value}".encode(), hashlib.sha256).hexdigest()[:DIGITS]


def read_identities(salt_file: Path, people: Path | None) -> Identities:
    """Read the secret, and the table of identifiers if there is one.

    Raises:
        CairnError: code ``salt`` when the secret is missing or short; ``table`` when two patients have one identifier,
            or one is no plain word.
    """
    remedy = f"Make one, and keep it: head -c 32 /dev/urandom > {salt_file}"
    if not salt_file.is_file():
        raise CairnError(f"{salt_file}: the secret that identifiers are derived from is missing.", remedy, "salt")
    salt = salt_file.read_bytes()
    if len(salt) < MIN_SALT:
        raise CairnError(f"{salt_file}: a secret of {len(salt)} bytes can be guessed.", remedy, "salt")
    given: dict[str, str] = {}
    for row in read_table(people, ["patient_id", "subject"]) if people else []:
        subject = row["subject"]
        if not re.fullmatch(r"[A-Za-z0-9]+", subject) or subject in given.values() or row["patient_id"] in given:
            raise CairnError(
                f"{people}: identifier '{subject}' is not of letters and digits, or stands twice.",
                "Give every patient one identifier of letters and digits.", "table",
            )  # fmt: skip
        given[row["patient_id"]] = subject
    return Identities(salt, given)
