"""Does runs side by side, each after the one that it starts from."""

import collections
import threading
import traceback

DONE, FAILED, STOPPED, LEFT = "done", "failed", "stopped", "left"


def run_all(
    jobs, starts, make_worker, num_workers, time_limit=None, on_end=None
):
    """Does all jobs; one that fails takes with it only what starts from it.

    Args:
        jobs: list of strings, the most important first.
        starts: dict. The job that a job has to wait for; one that is not in
            `jobs` is taken as done.
        make_worker: function without arguments. Returns an object with
            `do(job)`, which returns whether it went well, and `stop()`, which
            ends it from another thread, and makes a `do` at work return.
        num_workers: int. Jobs that are done at a time.
        time_limit: float or None. Seconds after which no job begins and those
            at work are stopped. Defaults to `None`.
        on_end: function of a job and how it ended, for each, as they end.

    Returns:
        A dict of how each job ended: `"done"`; `"failed"`, which may be for
        want of what it starts from; `"stopped"`, in its midst; or `"left"`,
        not begun.
    """
    queue = _Queue(jobs, starts, on_end)
    workers = [make_worker() for _ in range(num_workers)]
    threads = [
        threading.Thread(target=_serve, args=(queue, worker), daemon=True)
        for worker in workers
    ]
    for thread in threads:
        thread.start()
    try:
        queue.wait(time_limit)
    finally:
        # Also when the user interrupts: nothing is left running.
        queue.stop()
        for worker in workers:
            worker.stop()
    for thread in threads:
        thread.join()
    return queue.ends


def _serve(queue, worker):
    while (job := queue.take()) is not None:
        try:
            went_well = worker.do(job)
        except Exception:
            # The thread is needed for the others.
            traceback.print_exc()
            went_well = False
        queue.end(job, went_well)


class _Queue:
    """Which job is next; for all threads."""

    def __init__(self, jobs, starts, on_end):
        self.waiting = list(jobs)
        self.running = set()
        self.starts = starts
        self.ends = collections.OrderedDict((job, LEFT) for job in jobs)
        self.on_end = on_end
        self.is_stopped = False
        self.changed = threading.Condition()

    def take(self):
        """The next job that can begin, once there is one; None: no more."""
        with self.changed:
            while self.waiting and not self.is_stopped:
                for job in self.waiting:
                    if self._is_ready(job):
                        self.waiting.remove(job)
                        self.running.add(job)
                        return job
                self.changed.wait()
            return None

    def _is_ready(self, job):
        # What failed has taken its own with it: see `end`.
        start = self.starts.get(job)
        return start not in self.running and start not in self.waiting

    def end(self, job, went_well):
        with self.changed:
            self.running.remove(job)
            if went_well:
                self._note(job, DONE)
            elif self.is_stopped:
                self._note(job, STOPPED)
            else:
                self._fail(job)
            self.changed.notify_all()

    def _fail(self, job):
        self._note(job, FAILED)
        for other in [w for w in self.waiting if self.starts.get(w) == job]:
            self.waiting.remove(other)
            self._fail(other)

    def _note(self, job, how):
        self.ends[job] = how
        if self.on_end is not None:
            self.on_end(job, how)

    def wait(self, seconds):
        with self.changed:
            self.changed.wait_for(
                lambda: not self.waiting and not self.running, seconds
            )

    def stop(self):
        with self.changed:
            self.is_stopped = True
            self.changed.notify_all()
