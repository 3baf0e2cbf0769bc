"""Guards the feed: batches in order, the same with threads, each asked for once; and the time that was waited."""

import threading
import time

import pytest
import torch

from cairn.train.feed import Feed

CPU = torch.device("cpu")


def make(step):
    time.sleep(0.002 * (step % 3))  # so that threads end in another order
    return {"x": torch.full((2,), float(step))}


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("steps", [range(0), range(5, 6), range(3, 20)])
def test_batches_come_in_order_and_once(threads, steps):
    asked = []
    feed = Feed(lambda step: asked.append(step) or make(step), CPU, threads)
    assert [float(batch["x"][0]) for batch in feed.batches(steps)] == list(steps)
    assert sorted(asked) == list(steps)


def test_threads_make_two_batches_each_ahead_and_no_more():
    asked, lock = [], threading.Lock()

    def noted(step):
        with lock:
            asked.append(step)
        return make(step)

    feed = Feed(noted, CPU, threads=2)
    batches = feed.batches(range(100))
    next(batches)
    time.sleep(0.1)
    assert max(asked) == 4
    batches.close()


def test_an_error_in_a_thread_is_the_loops():
    def broken(step):
        if step == 4:
            raise ValueError("step 4")
        return make(step)

    feed = Feed(broken, CPU, threads=2)
    seen = []
    with pytest.raises(ValueError, match="step 4"):
        seen.extend(float(batch["x"][0]) for batch in feed.batches(range(9)))


def test_the_time_that_is_waited_is_the_feeds(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def slow(step):
        clock[0] += 3.0
        return make(0)

    feed = Feed(slow, CPU)
    for _ in feed.batches(range(4)):
        clock[0] += 1.0
    assert feed.waited_s == 12.0
    assert feed.share == 0.75
