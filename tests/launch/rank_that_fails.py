"""A rank of a real training in which rank 1 fails: by an error after the first checkpoint, and by a signal when resumed."""

import os
import signal
import sys

from gdjax import processes
from gdjax.cli.main import main
from gdjax.lifeline import hold_lifeline
from gdjax.runs.recording import Recording

take = Recording.take


def take_and_fail(self, run_state):
    if self.resumed and processes.index():
        os.kill(os.getpid(), signal.SIGKILL)
    if self.resumed:
        print(f"rank 0 has gone on at {self.resumed}", file=sys.stderr, flush=True)
    take(self, run_state)
    if self.saved and processes.index():
        self.checkpoints.wait()
        raise ArithmeticError("no good")


if __name__ == "__main__":
    hold_lifeline()
    Recording.take = take_and_fail
    main()
