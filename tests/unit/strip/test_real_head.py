"""Guards that the published weights are read and fed as they were trained: they find the brain of a real head."""

import pytest
from phantom_head import dice

from cairn.preprocess.resources import Resources


@pytest.mark.slow
@pytest.mark.parametrize("effort", ["quick", "balanced"])
def test_the_published_networks_find_the_templates_brain(packages, effort):
    resources = Resources(packages)
    head = resources.head
    assert dice(resources.deepbet(effort).mask(head.data, (1, 1, 1)), head.mask) > 0.94
