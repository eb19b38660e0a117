"""A job whose trajectories a command of the user's own trains: one after another, each under its lease."""

import logging
import shlex
import signal
import sys
from collections.abc import Callable

from scaling.config import StudyError, command_changed
from scaling.data import Tokens, load
from scaling.external.outputs import Outputs
from scaling.external.process import Signalled, Trainer
from scaling.external.tasks import task_of
from scaling.planning import Interrupted, in_turn
from scaling.records import (
    Job,
    Lease,
    LeaseLost,
    ResultError,
    RunDirectory,
    Trajectory,
    commit_trajectory,
    pretty_json,
    replace,
)

LOG = logging.getLogger(__name__)
LOOK_SECONDS = 0.1
"""Between two looks at the command, its result files and the lease."""
RESUME = 75
"""The command's exit status for: I have checkpointed, start me again (EX_TEMPFAIL)."""
ENDED_AS_ASKED = (0, RESUME, -signal.SIGTERM, 128 + signal.SIGTERM)
"""Exit statuses of a command that was asked to end."""


class TrainerError(RuntimeError):
    """The command failed by itself: started again, it would fail again."""


def run(job: Job, interrupted: Callable[[], bool] = lambda: False) -> None:
    """Have the command train every trajectory of `job` to its horizons, from wherever it was left.

    Raises:
      Interrupted: `interrupted` said so, or the command asks to be started again.
      Elsewhere: what is left of it other jobs train.
      Signalled: a signal ended the command, before it was asked to end.
      TrainerError: the command failed, or its results are not what they have to be.
      StudyError: the command cannot be started, or its files are not those that were planned with.
      RecordError: the tokens are damaged.
    """
    refuse_other_source(job)
    tokens = load(job.settings.tokens_dir)
    for trajectory in job.trajectories:
        if trajectory.data != tokens.record:
            raise StudyError(
                f"{trajectory.id} trains on tokens {trajectory.data.fingerprint[:12]}, but {job.settings.tokens_dir} "
                f"holds {tokens.record.fingerprint[:12]}; start the study again"
            )
    for held in in_turn(job, interrupted):
        for trajectory, lease in held:
            try:
                _train(job, trajectory, lease, tokens, interrupted)
            except LeaseLost as lost:
                LOG.warning("%s", lost)
            finally:
                if lease is not None:
                    lease.release()


def refuse_other_source(job: Job) -> None:
    """StudyError where the command's files are not those that the job was planned with."""
    command = job.command
    different = None if command is None else command_changed(command)
    if different is not None:
        raise StudyError(
            f"{job.name} was planned with command {str(command)!r} as it was: {different}; put the file back, or run "
            "the study again under another --out"
        )


def _train(
    job: Job, trajectory: Trajectory, lease: Lease | None, tokens: Tokens, interrupted: Callable[[], bool]
) -> None:
    directory = RunDirectory(job.settings.run_dir).trajectory(trajectory.id)
    outputs = Outputs(trajectory, directory, lease)
    commit_trajectory(directory, trajectory)
    outputs.take_up()
    if outputs.done:
        return
    directory.own_checkpoints.mkdir(parents=True, exist_ok=True)
    task = directory.trainer / "task.json"
    told = task_of(trajectory, outputs.left, directory, tokens)
    replace(task, pretty_json(told.model_dump(mode="json")))
    assert trajectory.command is not None
    trainer = Trainer(trajectory.command.words, task)
    try:
        status, asked = _watch(trainer, outputs, lease, interrupted)
    except LeaseLost:
        trainer.end(grace=0.0)
        raise
    except ResultError as error:
        raise TrainerError(str(error)) from None
    finally:
        trainer.end()
    _judge(trajectory, outputs, status, asked)


def _watch(
    trainer: Trainer, outputs: Outputs, lease: Lease | None, interrupted: Callable[[], bool]
) -> tuple[int | None, bool]:
    """(the exit status, None where it diverged and had not ended; whether it was asked to end)."""
    asked = False
    while True:
        status = trainer.wait(LOOK_SECONDS)
        if lease is not None and lease.lost():
            lease.check()
        outputs.collect(ended=status is not None)
        if status is not None or outputs.directory.diverged.exists():
            return status, asked
        if interrupted() and not asked:
            trainer.ask()
            asked = True


def _judge(trajectory: Trajectory, outputs: Outputs, status: int | None, asked: bool) -> None:
    """What follows from the command's end."""
    words = shlex.join(trajectory.command.words if trajectory.command else ())
    if outputs.done:
        if status and not asked:
            print(f"{trajectory.id}: all is committed; {words} then ended with {status}", file=sys.stderr, flush=True)
        return
    if asked and status in ENDED_AS_ASKED:
        raise Interrupted(f"asked to end, and so was {words} for {trajectory.id}")
    if status == RESUME:
        raise Interrupted(f"{words} asks to be started again for {trajectory.id}")
    if status is not None and status < 0:
        what = f"signal {-status} ({signal.strsignal(-status)})"
        raise Signalled(-status, f"{words} was ended by {what} at {trajectory.id}")
    if status:
        raise TrainerError(f"{words} ended with exit status {status} at {trajectory.id}")
    missing = ", ".join(f"{outputs.directory.output(one)} (D {one.tokens:,})" for one in outputs.left)
    raise TrainerError(f"{words} ended with exit status 0 at {trajectory.id}, and has not written {missing}")
