"""Guards that a scan is blamed for its own faults alone."""

from pathlib import Path

import pytest

from cairn.errors import CairnError
from cairn.preprocess.ledger import Ledger


def failing(error):
    def work():
        raise error

    return work


def test_a_full_disk_is_not_the_scans_fault():
    ledger = Ledger()
    for error in (CairnError("full", code="disk"), OSError("full"), MemoryError()):
        with pytest.raises(type(error)):
            ledger.guarded("T1w", Path("scan.nii.gz"), failing(error))
    assert not ledger.rejected


def test_what_is_wrong_with_a_scan_is_kept_by_name():
    ledger = Ledger()
    assert ledger.guarded("T1w", Path("scan.nii.gz"), failing(CairnError("cut short", "Copy it again.", "t"))) is None
    (rejection,) = ledger.rejected
    assert (rejection.code, rejection.reason, rejection.remedy) == ("t", "scan.nii.gz: cut short", "Copy it again.")
