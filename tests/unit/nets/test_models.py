"""Guards late fusion: any set of sequences serves, in any order; a place without a sequence has no influence."""

import pytest
import torch

from cairn.config.networks import ResidualConfig
from cairn.nets.fusion import VOCABULARY, sequence_id
from cairn.nets.models import build_model

TINY = ResidualConfig(channels=(4, 6, 8), blocks=(0, 1, 1))
BOX = (16, 8, 16)


@pytest.fixture(params=[False, True], ids=["pooled", "dense"])
def model(request):
    made = build_model(TINY, request.param, seed=3).eval()
    with torch.no_grad():  # fusion starts as a plain mean; give it something to tell apart
        for fusion in made.fusions:
            torch.nn.init.normal_(fusion.modulation.weight, std=0.5)
            torch.nn.init.normal_(fusion.score.weight, std=0.5)
    return made


def ids(*names):
    return torch.tensor([[sequence_id(n) if n else -1 for n in names]])


def run(model, volumes, sequences):
    with torch.no_grad():
        return model(volumes, sequences)


def test_order_of_sequences_does_not_matter(model):
    x = torch.randn(1, 3, *BOX, generator=torch.Generator().manual_seed(0))
    forward = run(model, x, ids("FLAIR", "DWI", "ADC"))
    backward = run(model, x[:, [2, 0, 1]], ids("ADC", "FLAIR", "DWI"))
    torch.testing.assert_close(forward, backward, rtol=1e-5, atol=1e-5)


def test_any_subset_serves_and_each_sequence_counts(model):
    x = torch.randn(1, 3, *BOX, generator=torch.Generator().manual_seed(0))
    answers = [run(model, x[:, :n], ids("FLAIR", "DWI", "ADC")[:, :n]) for n in (1, 2, 3)]
    expected = BOX if model.dense else ()
    assert all(a.shape == (1, *expected) and a.isfinite().all() for a in answers)
    assert not torch.allclose(answers[0], answers[1])
    assert not torch.allclose(answers[1], answers[2])


def test_the_contrast_counts_not_only_the_picture(model):
    x = torch.randn(1, 1, *BOX, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(run(model, x, ids("DWI")), run(model, x, ids("ADC")))


def test_an_absent_sequence_has_no_influence_on_its_own_or_other_sessions(model):
    x = torch.randn(2, 2, *BOX, generator=torch.Generator().manual_seed(0))
    both = torch.cat([ids("FLAIR", "DWI"), ids("FLAIR", None)])
    batch = run(model, x, both)
    x[1, 1] = float("nan")
    torch.testing.assert_close(run(model, x, both), batch)
    torch.testing.assert_close(batch[1:], run(model, x[1:, :1], ids("FLAIR")), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(batch[:1], run(model, x[:1], ids("FLAIR", "DWI")), rtol=1e-4, atol=1e-5)


def test_fusion_starts_as_the_mean():
    model = build_model(TINY, True, seed=0)
    f = torch.randn(3, 8, 2, 2, 2)
    torch.testing.assert_close(model.fusions[-1](f, ids("FLAIR", "DWI", "SWI"))[0], f.mean(0))


def test_unknown_contrasts_and_repeats_have_a_number():
    assert sequence_id("T1w_2") == sequence_id("T1w") == VOCABULARY.index("T1w")
    assert sequence_id("ASL") == 0


def test_prior_sets_the_untrained_answer():
    model = build_model(TINY, True, seed=0)
    torch.nn.init.zeros_(model.head.head.weight)
    model.set_prior(-4.0)
    assert torch.allclose(run(model, torch.randn(1, 1, *BOX), ids("FLAIR")), torch.tensor(-4.0))
