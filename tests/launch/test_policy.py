"""Whose fault it is, and whether a job starts again: rules without processes."""

import signal

import pytest

from gdjax.launch.output import is_echo, last_words
from gdjax.launch.policy import End, Past, after, culprit, exit_code, how, last_failure

ABORTED = End(0, -6, 20.0, text="F1126 client.h:80] the JAX distributed service detected fatal errors", is_echo=True)
GLOO = End(0, 1, 5.0, text="gdjax: this machine cannot do it: Gloo all-reduce failed", is_echo=True)
RUNNING = End(1, None, 20.0, silent=0.4)


@pytest.mark.parametrize(
    ("ends", "rank"),
    [
        ([GLOO, End(1, -9, 5.1)], 1),  # noticed later, but the other ended by it
        ([End(0, -9, 5.0), End(1, -6, 5.1, is_echo=True)], 0),
        ([End(0, 1, 5.2), End(1, 1, 5.0)], 1),  # two errors of their own: the earlier
        ([ABORTED, End(1, None, 20.0, silent=10.2)], 1),  # stopped
        ([ABORTED, RUNNING, End(2, -6, 20.0, is_echo=True)], 0),  # nobody knows
        ([End(0, None, 40.0, silent=0.9), End(1, None, 40.0, silent=30.2)], 1),
        ([End(0, 2, 5.3), End(1, 2, 5.0)], 0),  # rank 0 has said it already
        ([GLOO, End(1, 2, 5.3)], 1),
        ([GLOO._replace(code=2), End(1, 2, 5.3)], 1),  # rank 0 ends with the code of the other
        ([End(0, None, 5.0), End(1, 0, 3.0), End(2, 3, 5.0)], 2),
    ],
)
def test_the_first_to_fail_is_to_blame(ends, rank):
    assert culprit(ends).rank == rank


def course(failures, most=2, begun=None):
    """At which failure, each with the newest step at its time, the job ends, and with which one."""
    past = Past()
    for i, (failure, step) in enumerate(failures):
        past = after(past, failure, step, begun)
        if (last := last_failure(past, failure, most)) is not None:
            return i, last.seconds
    return None


def test_restarts_are_counted_from_the_last_progress():
    killed = [End(1, -9, float(i)) for i in range(9)]
    at = lambda *steps: list(zip(killed, steps, strict=False))  # noqa: E731
    assert course(at(None, None, None, None)) == (2, 0.0), "two restarts, and the first failure is told"
    assert course(at(None, None, 3, 3, 3, 3)) == (4, 2.0)
    assert course(at(1, 2, 3, 4, 5, 6, 7)) is None
    assert course(at(4, 4, 5, 5, 5), begun=4) == (4, 2.0), "what was saved before is no progress"
    assert course(at(None, None), most=0) == (0, 0.0)


def test_an_error_is_not_tried_again_before_anything_is_saved_and_a_mistake_never():
    killed, error, mistake = (End(1, code, float(i)) for i, code in enumerate((-9, 1, 2)))
    assert course([(killed, None), (error, None)]) == (1, 1.0)
    assert course([(killed, 7), (error, 7)], begun=7) == (1, 1.0)
    assert course([(error, 3), (error, 4), (error, 5)]) is None
    assert course([(error, 3), (mistake, 4)]) == (1, 2.0)
    assert course([(GLOO, None), (GLOO, None)]) is None, "another rank is to blame"
    assert course([(error._replace(code=143), None)]) is None, "somebody has ended it"
    taken = error._replace(text="gdjax: process 0 cannot listen at 127.0.0.1:4711: Address already in use")
    assert course([(taken, None)]) == (0, 1.0)
    assert last_failure(Past(1, taken), taken, 2, other_port=True) is None


def test_a_failure_has_words_and_an_exit_code():
    lost = End(1, None, 40.0, silent=30.4)
    real_time = End(0, -int(signal.SIGRTMIN) - 1, 1.0)
    assert [how(end) for end in (End(0, -9, 1.0), End(0, 3, 1.0), lost)] == [
        "was ended by SIGKILL",
        "ended with exit code 3",
        "was not heard for 30 s",
    ]
    assert how(real_time) == f"was ended by signal {signal.SIGRTMIN + 1}"
    assert [exit_code(end) for end in (End(0, -9, 1.0), End(0, 3, 1.0), lost)] == [137, 3, 1]


def test_the_last_words_are_the_traceback_with_its_causes():
    first = ["Traceback (most recent call last):", "  File 1", "KeyError: 1"]
    second = ["Traceback (most recent call last):", "  File 2", "ValueError: 2"]
    because = ["", "The above exception was the direct cause of the following exception:", ""]
    lines = [f"{line}\n" for line in [*first, "went on", *first, *because, *second, ""]]
    assert last_words(lines).splitlines() == [*first, *because, *second]
    assert last_words(["gdjax: a remark\n", "gdjax: no such file\n", "bye\n"]) == "gdjax: no such file"
    assert last_words([f"{i}\n" for i in range(100)]).splitlines() == [str(i) for i in range(90, 100)]
    assert last_words([]) == ""


@pytest.mark.parametrize(
    "text",
    [
        "JaxRuntimeError: UNKNOWN: Gloo all-reduce failed: [pair.cc:538] Read error: Connection reset by peer",
        "F1126 client.h:80] Terminating process because the JAX distributed service detected fatal errors.",
        "E1126 coordination_service_agent.cc:289] Polled an error from coordination service",
        "gdjax: process 1 has failed: ValueError: bad",
        "gdjax: it has left the run that they share (process 1)",
    ],
)
def test_what_the_loss_of_another_rank_says_is_known(text):
    assert is_echo(text)
    assert not is_echo("ValueError: bad") and not is_echo("gdjax: no such file: process.csv")
