"""Guards that a shard's job holds one session at a time: its memory does not grow with the number of scans."""

import tracemalloc

import made_shard
from made_shard import ShardJob, make_raw

SHAPE = (40, 40, 40)


def peak(folder, subjects):
    """Most bytes that Python and NumPy held at once."""
    folder.mkdir()
    job = ShardJob(make_raw(folder, subjects), folder / "out")
    tracemalloc.start()
    job.run()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_sessions(tmp_path, monkeypatch):
    monkeypatch.setattr(made_shard, "SHAPE", SHAPE)
    peak(tmp_path / "first", 1)  # imports
    few, many = peak(tmp_path / "few", 3), peak(tmp_path / "many", 15)
    session = 2 * 4 * 40**3  # two float32 volumes
    assert few > session  # the measure sees what a session holds
    assert many - few < 2 * session  # twelve more sessions hold six times as much even as float16
