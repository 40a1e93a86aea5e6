"""Workers in processes of their own, which do many runs in a row.

To import everything and to open a GPU takes as long as a short run trains.
"""

import os
import queue
import subprocess
import sys
import threading
import traceback


class ProcessWorker:
    """Hands jobs to a process, one at a time; starts another if it dies.

    Args:
        command: list of strings. A program that calls `serve`.
        log_of: function of a job. The path of its log.
        environment: dict. The process's environment. Defaults to `None`:
            that of this one.
    """

    def __init__(self, command, log_of, environment=None):
        self.command = command
        self.log_of = log_of
        self.environment = environment
        self.process = None
        self.is_stopped = False
        self.lock = threading.Lock()

    def do(self, job):
        with self.lock:
            # `stop` comes before, or finds the process.
            if self.is_stopped:
                return False
            if self.process is None:
                self.process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=self.environment,
                )
            process = self.process
        try:
            process.stdin.write(f"{job}\t{self.log_of(job)}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            code = process.wait()
            self.process = None
            if not self.is_stopped:
                with open(self.log_of(job), "a") as log:
                    log.write(f"The process died with exit code {code}.\n")
        return answer == "done\n"

    def stop(self):
        with self.lock:
            self.is_stopped = True
            process = self.process
        if process is not None:
            # What it does may be cut off at any moment.
            process.kill()
            process.wait()


def serve(do):
    """Does jobs that a `ProcessWorker` hands in, until it is gone.

    What is printed meanwhile, by libraries in C too, goes to the job's log.

    Args:
        do: function of a job. Raises where it fails.
    """
    answers = os.fdopen(os.dup(1), "w")
    lines = queue.SimpleQueue()

    def read():
        for line in sys.stdin:
            lines.put(line)
        # Killed, it could not stop this process; the next one to be started
        # would train in the same folder.
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    while True:
        job, path = lines.get().rstrip("\n").split("\t")
        with open(path, "a") as log:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        try:
            do(job)
            answer = "done"
        except Exception:
            traceback.print_exc()
            answer = "failed"
        sys.stdout.flush()
        answers.write(f"{answer}\n")
        answers.flush()
