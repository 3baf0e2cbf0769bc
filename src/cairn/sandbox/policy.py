"""What an entry may use while it works on one case."""

from __future__ import annotations

from pydantic import Field

from cairn.config.base import Section


class Policy(Section):
    """Limits of one call.

    What is never allowed, whatever they say: a network, writing to the root or the input, being root, capabilities, new
    privileges, seeing other processes or the organiser's environment.
    """

    seconds: float = Field(default=120.0, gt=0)
    """Wall time of a case; FOMO25 allows 120 s."""

    memory_mb: int = Field(default=8192, ge=16)
    """Memory of all its processes together, files in /tmp included where the kernel counts them."""

    processes: int = Field(default=256, ge=4)
    """Processes and threads at a time."""

    scratch_mb: int = Field(default=1024, ge=1)
    """Size of /tmp, and of /dev/shm: the only places to write beside /output. They vanish with the case."""

    output_mb: int = Field(default=512, ge=1)
    """Size of all files of /output together, and of any one file anywhere."""

    output_files: int = Field(default=100, ge=1)
    """Files and folders in /output."""

    log_kb: int = Field(default=256, ge=1)
    """What is kept of what it prints. The rest is dropped, and an entry that prints 64 times as much is stopped."""

    cpus: int = Field(default=2, ge=1)
    """Cores: a hard limit under Docker and Podman; else what OMP_NUM_THREADS asks for."""

    gpu: bool = False
    """Show the GPUs to it (Apptainer, Docker)."""
