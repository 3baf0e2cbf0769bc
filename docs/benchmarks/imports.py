"""What importing MONAI costs a job, with all that it finds installed and lean. See imports.md."""

import resource
import subprocess
import sys

PLAIN = "from monai.networks.blocks.dynunet_block import UnetResBlock"
WAYS = {
    "torch alone": "import torch",
    "torch, MONAI": f"import torch\n{PLAIN}",
    "torch, MONAI lean": f"import torch\nfrom cairn.nets.lean import lean\nwith lean():\n    {PLAIN}",
}


def seconds(code: str) -> float:
    """Processor seconds of a Python process, the best of three."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def main() -> None:
    """Print the table."""
    print("| imported | processor s |\n|---|--:|")
    for name, code in WAYS.items():
        print(f"| {name} | {seconds(code):.1f} |")


if __name__ == "__main__":
    main()
