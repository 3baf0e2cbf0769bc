"""Guards cases: which sequences a task takes, and the box around the brain."""

import numpy as np
import pytest
from made import make_set

from cairn.config.tasks import TaskInputs
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.tasks.cases import choose_sequences, common_box, make_case, read_labels

TASK = TaskInputs(kind="classification", required=["FLAIR"], any_of=[["SWI", "T2star"]], optional=["T1w"])


@pytest.mark.parametrize(
    ("available", "chosen"),
    [
        (["FLAIR", "SWI", "T2star"], ("FLAIR", "SWI")),
        (["T2star", "FLAIR", "DWI"], ("FLAIR", "T2star")),
        (["T1w", "SWI", "FLAIR"], ("FLAIR", "SWI", "T1w")),
    ],
)
def test_the_sequences_that_a_task_takes(available, chosen):
    assert choose_sequences(TASK, available) == chosen


@pytest.mark.parametrize(("available", "named"), [(["FLAIR"], "SWI or T2star"), (["SWI"], "FLAIR"), ([], "nothing")])
def test_what_a_session_lacks_is_named(available, named):
    with pytest.raises(CairnError, match=named):
        choose_sequences(TASK, available)


def test_the_box_holds_the_whole_brain(tmp_path):
    (session,) = open_sessions([make_set(tmp_path, "classification", 1, shape=(16, 22, 18)).index])
    case = make_case(TaskInputs(kind="classification", required=["DWI"]), session)
    box = common_box([case.extent], 8)
    assert all(b % 8 == 0 and b >= e for b, e in zip(box, case.extent, strict=True))
    whole = session.volume("DWI")
    assert np.count_nonzero(case.volumes(box)[0]) == np.count_nonzero(whole)
    assert case.volumes(box)[0].sum(dtype=np.float64) == pytest.approx(whole.sum(dtype=np.float64))


def test_an_empty_brain_mask_is_refused(tmp_path):
    (session,) = open_sessions([make_set(tmp_path, "classification", 1).index])
    object.__setattr__(session, "mask", lambda: np.zeros((16, 18, 16), bool))
    with pytest.raises(CairnError, match="empty brain mask"):
        make_case(TaskInputs(kind="classification", required=["DWI"]), session)


def test_a_label_that_is_no_number_is_named(tmp_path):
    made = make_set(tmp_path, "classification", 2)
    made.labels.write_text(made.labels.read_text().replace("0001\t1\t1", "0001\t1\tyes"))
    with pytest.raises(CairnError, match="'yes' of 0001/1"):
        read_labels(made.labels)
