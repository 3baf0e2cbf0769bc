"""Guards the limits against slips of the pen."""

import pytest

from cairn.config.base import parse
from cairn.errors import CairnError
from cairn.sandbox.policy import Policy


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"processes": 1}, {"memory_mb": -1}, {"memory": 4}])
def test_no_limit_can_be_left_out_or_misspelt(wrong):
    with pytest.raises(CairnError):
        parse(Policy, wrong, "challenge.policy")
