"""Guards the sections of the objectives in feature space: the documented ones are valid, the defaults fit."""

from pathlib import Path

import pytest
import yaml

from cairn.config.base import Section, parse
from cairn.config.curia import CuriaConfig
from cairn.config.latents import DinoConfig, HybridConfig, JepaConfig, SubjectSequenceConfig
from cairn.config.networks import Dinov2Config, ResidualConfig
from cairn.config.objectives import ObjectiveConfig
from cairn.config.prototypes import TeacherConfig
from cairn.config.training import PretrainConfig
from cairn.errors import CairnError

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/objectives.md"
SECTIONS = (CuriaConfig, DinoConfig, HybridConfig, JepaConfig, SubjectSequenceConfig)
DEFAULTS = {2: Dinov2Config(), 3: ResidualConfig()}


class Documented(Section):
    objectives: dict[str, ObjectiveConfig]
    pretrain: PretrainConfig = PretrainConfig()


def documented():
    """The page's fenced blocks."""
    blocks = [part.split("```")[0] for part in PAGE.read_text(encoding="utf-8").split("```yaml\n")[1:]]
    return [parse(Documented, yaml.safe_load(block), PAGE.name) for block in blocks]


def test_the_documented_sections_are_valid_and_run_on_the_default_network():
    sections = {o.kind: (o, block.pretrain) for block in documented() for o in block.objectives.values()}
    assert set(sections) == {"mae", *(s().kind for s in SECTIONS)}
    for objective, _ in sections.values():
        objective.check(DEFAULTS[objective.dims])
    assert sections["dino"][1].learning_rate == 0.0005


@pytest.mark.parametrize("section", SECTIONS)
def test_the_defaults_run_on_the_default_network(section):
    section().check(DEFAULTS[section.dims])


@pytest.mark.parametrize("kind", [s().kind for s in SECTIONS])
def test_a_kind_is_told_by_its_name(kind):
    page = parse(Documented, {"objectives": {"x": {"kind": kind}}})
    assert page.objectives["x"].kind == kind


def test_what_makes_no_sense_is_refused():
    for section, value in (
        (TeacherConfig, {"momentum": 1.1}),
        (HybridConfig, {"overlap": 1.0}),
        (DinoConfig, {"mask_ratio": [0.0, 0.5]}),
        (JepaConfig, {"targets": 8}),
        (JepaConfig, {"predictor_channels": 100}),
        (CuriaConfig, {"stages": [{"px": 32, "from_step": 5}]}),
        (CuriaConfig, {"stages": [{"px": 32, "from_step": 0}, {"px": 64, "from_step": 0}]}),
        (CuriaConfig, {"local_px": 128}),
    ):
        with pytest.raises(CairnError, match=next(iter(value))):
            parse(section, value)
