"""Guards the flags: each is raised by what it names, alone, and by nothing that lies on its limit."""

import inspect
import re

import pytest
from made_sessions import good, with_sequence, write_shard_of

from cairn.config.qc import QcConfig
from cairn.qc import flags
from cairn.qc.flags import session_flags
from cairn.qc.gather import gather

LIMITS = QcConfig()


def named(name, **said):
    """A good session whose T1w is called ``name``, with what an image said of it."""
    numbers = good()
    numbers["sequences"][name] = numbers["sequences"].pop("T1w")
    one = {"listed": "unknown", "likeliest": "T1w", "confidence": 0.97, "distance": 0.4}
    return numbers | ({"classified": {name: one | said}} if said else {})


def repaired(code):
    return with_sequence("T1w", repairs=[{"code": code, "text": "what was seen"}])


#  flag, sequence: what must raise it, what must not (just inside the limit)
CASES = [
    ("brain-volume", "", good(brain_ml=849.0), good(brain_ml=850.0)),
    ("brain-volume", "", good(brain_ml=2101.0), good(brain_ml=2100.0)),
    ("template-overlap", "", good(template_dice=0.87), good(template_dice=0.88)),
    ("template-scale", "", good(template_scales=[1.31, 1.0, 1.0]), good(template_scales=[1.3, 1.0, 1.0])),
    ("template-scale", "", good(template_scales=[1.0, 1.0, 0.74]), good(template_scales=[1.0, 1.0, 0.75])),
    ("cut", "", good(cut_share=0.011), good(cut_share=0.01)),
    ("outside-grid", "", good(outside_grid=0.003), good(outside_grid=0.002)),
    ("coverage", "T1w", with_sequence("T1w", coverage=0.94), with_sequence("T1w", coverage=0.95)),
    ("blank-slices", "T2w", with_sequence("T2w", blank_slices=1), with_sequence("T2w", blank_slices=0)),
    ("saturated", "T1w", with_sequence("T1w", saturated=0.021), with_sequence("T1w", saturated=0.02)),
    ("zeros", "T2w", with_sequence("T2w", zeros=0.051), with_sequence("T2w", zeros=0.05)),
    ("few-levels", "T1w", with_sequence("T1w", levels=63), with_sequence("T1w", levels=64)),
    ("left-right", "T1w", with_sequence("T1w", header_flip=True), with_sequence("T1w", header_flip=False)),
    ("left-right", "T2w", with_sequence("T2w", mirror_gain=0.0016), with_sequence("T2w", mirror_gain=0.0015)),
    ("repaired", "T1w", repaired("pixdim"), repaired("extra-axis")),
    ("repaired", "T1w", repaired("units"), repaired("left-right")),  # which header_flip tells
    ("unknown-sequence", "unknown", named("unknown"), named("T1w_2")),
    ("unknown-sequence", "unknown", named("unknown", sequence="unknown"), named("unknownish")),
    ("classified", "T1w_2", named("T1w_2", sequence="T1w"), named("T1w_2")),
    ("registration", "T2w", with_sequence("T2w", fit=1.0049), with_sequence("T2w", fit=1.005)),
    ("motion", "T2w", with_sequence("T2w", motion_mm=15.1), with_sequence("T2w", motion_mm=15.0)),
    ("motion", "T2w", with_sequence("T2w", motion_degrees=15.1), with_sequence("T2w", motion_degrees=15.0)),
]


@pytest.mark.parametrize(("code", "sequence", "bad", "fine"), CASES)
def test_a_flag_is_raised_by_what_it_names_and_nothing_else(code, sequence, bad, fine):
    assert session_flags(fine, LIMITS) == []
    (flag,) = session_flags(bad, LIMITS)
    assert (flag.code, flag.sequence) == (code, sequence)
    assert flag.text.endswith(".")


def test_every_flag_in_the_source_has_a_case():
    in_source = set(re.findall(r"(?:Flag\(|yield)\s*\(?\s*\"([a-z-]+)\"", inspect.getsource(flags)))
    assert len(in_source) == 16
    assert {code for code, *_ in CASES} == in_source


@pytest.mark.parametrize(
    ("limit", "value", "numbers"),
    [
        ("brain_ml", (1500.0, 2100.0), good()), ("scale", (0.96, 1.3), good()), ("template_dice_min", 0.95, good()),
        ("registration_min", 1.06, good()), ("mirror_gain_max", -0.03, good()), ("motion_max_mm", 0.5, good()),
        ("levels_min", 1000, good()),
    ],
)  # fmt: skip
def test_limits_come_from_the_configuration(limit, value, numbers):
    assert session_flags(numbers, LIMITS) == []
    assert session_flags(numbers, LIMITS.model_copy(update={limit: value}))


def test_the_sessions_own_flags_come_first_then_sequence_by_sequence():
    numbers = good(brain_ml=100.0)
    for name in ("T2w", "T1w"):
        numbers["sequences"][name] |= {"zeros": 0.5, "levels": 2}
    found = [(f.code, f.sequence) for f in session_flags(numbers, LIMITS)]
    assert found == [
        ("brain-volume", ""), ("zeros", "T1w"), ("few-levels", "T1w"), ("zeros", "T2w"), ("few-levels", "T2w"),
    ]  # fmt: skip


def test_the_same_bytes_in_two_data_sets_are_flagged_and_unknown_digests_are_not(tmp_path):
    def session(t1, t2):
        return good(sha256={"T1w": t1, "T2w": t2})

    first = write_shard_of(tmp_path / "a", "0000", {"1/1": session("x" * 64, "n/a"), "2/1": session("y" * 64, "n/a")})
    second = write_shard_of(tmp_path / "b", "0000", {"9/1": session("z" * 64, "x" * 64)})
    sessions, _ = gather([second, first], LIMITS)
    assert [s.name for s in sessions] == ["a/1/1", "a/2/1", "b/9/1"]
    assert [s.flags for s in sessions[:2]] == [[], []]
    (flag,) = sessions[2].flags
    assert (flag.code, flag.sequence) == ("duplicate", "T2w")
    assert "a/1/1" in flag.text


def test_a_head_that_was_not_stripped_is_judged_by_what_there_is():
    head = good(strip="none", brain_ml=4100.0, template_dice=None, template_scales=[], cut_share=0.2, outside_grid=0.01)
    assert [f.code for f in session_flags(head, LIMITS)] == ["outside-grid"]
