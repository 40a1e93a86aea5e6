"""The queue of the findings' runs, and the processes that do them."""

import pathlib
import sys
import threading
import time

import pytest
from findings import processes
from findings import report
from findings import scheduling

pytestmark = pytest.mark.backend_free


class FakeWorkers:
    """Workers that note what is done, and fail as they are told to."""

    def __init__(self, fails=(), blocks=()):
        self.fails, self.blocks = fails, blocks
        self.done, self.at_once, self.at_work = [], 0, 0
        self.lock = threading.Lock()
        self.stopped = threading.Event()

    def __call__(self):
        return self

    def do(self, job):
        with self.lock:
            self.at_work += 1
            self.at_once = max(self.at_once, self.at_work)
        if job in self.blocks:
            self.stopped.wait(30)
        with self.lock:
            self.at_work -= 1
            self.done.append(job)
        if job in self.fails:
            raise RuntimeError(f"{job} fails")
        return job not in self.blocks

    def stop(self):
        self.stopped.set()


def test_jobs_are_done_in_order_and_after_what_they_start_from():
    workers = FakeWorkers()
    ended = []
    ends = scheduling.run_all(
        ["long", "image", "short", "other"],
        {"long": "short", "short": "image", "other": "elsewhere"},
        workers,
        num_workers=1,
        on_end=lambda *end: ended.append(end),
    )
    # "long" is the most important one, and can begin as the third.
    assert workers.done == ["image", "short", "long", "other"]
    assert ended == [(job, "done") for job in workers.done]
    assert ends == dict.fromkeys(("long", "image", "short", "other"), "done")


def test_jobs_are_done_side_by_side():
    workers = FakeWorkers(blocks=("a", "b"))
    threading.Timer(0.5, workers.stop).start()
    scheduling.run_all(["a", "b", "c"], {"c": "a"}, workers, num_workers=3)
    # "c" waits, and fails as "a" does.
    assert workers.at_once == 2 and sorted(workers.done) == ["a", "b"]


def test_a_failure_takes_only_its_own_with_it(capsys):
    workers = FakeWorkers(fails=("image",))
    ends = scheduling.run_all(
        ["image", "short", "long", "scratch"],
        {"short": "image", "long": "short"},
        workers,
        num_workers=2,
    )
    assert ends == {
        "image": "failed",
        "short": "failed",
        "long": "failed",
        "scratch": "done",
    }
    assert sorted(workers.done) == ["image", "scratch"]
    assert "image fails" in capsys.readouterr().err


def test_the_time_limit_stops_what_is_at_work():
    workers = FakeWorkers(blocks=("short",))
    ends = scheduling.run_all(
        ["image", "short", "long"],
        {"short": "image", "long": "short"},
        workers,
        num_workers=2,
        time_limit=0.5,
    )
    assert ends == {"image": "done", "short": "stopped", "long": "left"}


SERVER = """
import os, sys
from findings import processes

def do(job):
    print(job, "in", os.getpid(), flush=True)
    os.system(f"echo {job} from another program")
    if job == "raises":
        raise ValueError("it went wrong")
    if job == "dies":
        os._exit(7)
    if job == "hangs":
        import time
        time.sleep(60)

processes.serve(do)
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    tools = pathlib.Path(report.__file__).parents[1]
    root = tools.parent
    monkeypatch.setenv("PYTHONPATH", f"{tools}:{root}")
    worker = processes.ProcessWorker(
        [sys.executable, "-c", SERVER], lambda job: tmp_path / f"{job}.log"
    )
    yield worker
    worker.stop()


def test_a_process_does_many_jobs_and_is_replaced_when_it_dies(
    worker, tmp_path
):
    def log(job):
        return (tmp_path / f"{job}.log").read_text().splitlines()

    assert worker.do("first") and worker.do("second")
    assert not worker.do("raises")
    assert not worker.do("dies")
    assert worker.do("third")
    pids = {
        job: log(job)[0].split()[-1]
        for job in ("first", "second", "raises", "dies", "third")
    }
    assert len({pids[job] for job in pids if job != "third"}) == 1
    assert pids["third"] != pids["dies"]
    assert log("first")[1:] == ["first from another program"]
    assert log("raises")[-1] == "ValueError: it went wrong"
    assert log("dies")[-1] == "The process died with exit code 7."


def test_a_process_is_stopped_at_work(worker):
    threading.Timer(1.0, worker.stop).start()
    assert not worker.do("hangs")
    assert not worker.do("another")


def test_a_process_ends_with_the_one_that_started_it(worker, tmp_path):
    threading.Thread(target=worker.do, args=("hangs",)).start()
    while not (tmp_path / "hangs.log").exists():
        time.sleep(0.01)
    process = worker.process
    # As if the one that started it had been killed.
    process.stdin.close()
    assert process.wait(timeout=30) == 1
