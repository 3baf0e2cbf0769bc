"""The report card of the model of unknown sequences as Markdown. See docs/reference/unknown-sequences.md.

snakemake --cores all sequence_model
python docs/benchmarks/sequences.py results/demo/preprocess/sequence_model/evaluation.json
"""

import json
import sys
from pathlib import Path

UNKNOWN = "unknown"


def percent(share: float | None) -> str:
    """A share in per cent; a dash where nothing was answered."""
    return "–" if share is None else f"{100 * share:.1f} %"


def main(path: Path) -> None:
    """Print the tables."""
    found = json.loads(path.read_text())
    learned = found["trained_on"]
    print(
        f"Trained on {learned['scans']} scans of {len(learned['donors'])} donors, judged on {found['scans']} scans of"
        f" {len(found['donors'])} donors and {len(found['sites'])} sites. The likeliest sequence is right for"
        f" {percent(found['accuracy'])}; expected calibration error {found['calibration_error']:.3f}.\n"
    )
    print("| confidence at least | answers | right among the answers |\n|--:|--:|--:|")
    for at in found["thresholds"]:
        name = f"{at['confidence_min']:g}" + (" (default)" if at["confidence_min"] == found["confidence_min"] else "")
        print(f"| {name} | {percent(at['coverage'])} | {percent(at['accuracy_of_answers'])} |")
    print(f"\nAt {found['confidence_min']:g}:\n\n| sequence | scans | answers | right among them | taken for another |")
    print("|---|--:|--:|--:|---|")
    for name, group in found["by"]["sequence"].items():
        others = [f"{n} {said}" for said, n in found["confusion"][name].items() if n and said not in (name, UNKNOWN)]
        cells = [str(group["scans"]), percent(group["coverage"]), percent(group["accuracy_of_answers"])]
        print(f"| {name} | {' | '.join(cells)} | {', '.join(others)} |")
    left, of = (sum(kind[key] for kind in found["strangers"].values()) for key in (UNKNOWN, "of"))
    print(f"\nOf {of} strangers (no heads), {left} stay unknown.")


main(Path(sys.argv[1]))
