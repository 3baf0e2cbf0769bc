"""Tracks of a challenge: what a run of each may have learned from before it saw a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import Field

from cairn.config.base import Section


class TrackConfig(Section):
    """Rules of one track."""

    pretrain_data: tuple[str, ...] = ()
    """Data sets that its runs may be pretrained on; none named: any of this experiment."""
    foreign_weights: bool = False
    """Whether a run may start from weights that were made elsewhere."""
    containers: bool = Field(default=False, exclude_if=lambda v: not v)
    """Whether sealed images may compete although their lineage does not tell what they learned from; where
    ``foreign_weights`` are allowed they may in any case."""
    tasks: tuple[str, ...] = Field(default=(), exclude_if=lambda v: not v)
    """Tasks that its runs are scored and ranked on; none named: all of this experiment. Other tasks cost them
    nothing."""
    title: str = Field(default="", exclude_if=lambda v: not v)
    """Name on the leaderboard; default: the identifier."""

    @property
    def takes_images(self) -> bool:
        """Whether a sealed image may compete: what it learned from is told by its makers alone."""
        return self.containers or self.foreign_weights


DEFAULT_TRACKS: Mapping[str, TrackConfig] = {"method": TrackConfig(), "open": TrackConfig(foreign_weights=True)}
"""As in FOMO25, ``open`` takes weights made elsewhere and ``method`` takes none. Which set ``method`` pretrains on only
its ``pretrain_data`` can say: as it stands here, any data set of the experiment."""


def tasks_of(tracks: Mapping[str, TrackConfig], track: str, tasks: Iterable[str]) -> list[str]:
    """Tasks of a track, in the order of ``tasks``: those that it names, or all where it names none.

    Args:
        tracks: tracks by name; one that is not there has no rules of its own.
        track: name of the track.
        tasks: all tasks of the experiment that are enabled.
    """
    named = tracks[track].tasks if track in tracks else ()
    return [task for task in tasks if not named or task in named]


class TrackedRun(Section):
    """What the check must know of a run."""

    track: str
    """Its track."""
    labelled: Mapping[str, str]
    """Data set that it may be fine-tuned on, by task."""
    sealed: bool = Field(default=False, exclude_if=lambda v: not v)
    """Whether it is an entry, a sealed image."""


class TracksJob(Section):
    """Configuration of the job that checks the tracks."""

    tracks: Mapping[str, TrackConfig]
    """Tracks by name."""
    runs: Mapping[str, TrackedRun] = Field(min_length=1)
    """Runs by name."""
