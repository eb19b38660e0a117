"""`scaling VERB ...`: finds the verb, and turns errors into one line and an exit code."""

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from scaling import __version__
from scaling.cli import asking, evaluating, fitting, jobs, judging, studies, sweeping
from scaling.config import StudyError
from scaling.laws import LawError
from scaling.records import Cancelled, RecordError, is_disk_full

BAD_INPUT = 2
"""Exit code: what was given cannot work; nothing was trained."""
DISK_FULL = 4
"""Exit code: no space is left; what was written stays readable."""
INTERRUPTED = 130
"""Exit code: somebody ended it; the same command goes on."""

VERBS: dict[str, Callable[[list[str]], int]] = {
    "plan": studies.plan,
    "preflight": studies.preflight,
    "run": studies.run,
    "status": studies.status,
    "launch": sweeping.launch,
    "cancel": sweeping.cancel,
    "retry": sweeping.retry,
    "evaluate": evaluating.evaluate,
    "fit": fitting.fit,
    "predict": asking.predict,
    "profile": fitting.profile,
    "select": judging.select,
    "validate": judging.validate,
    "compare": judging.compare,
    "forms": fitting.forms,
    "report": studies.report,
    "schema": studies.schema,
    "job": jobs.job,
    "compile": jobs.compile_ahead,
}

OVERVIEW = """\
A laboratory for scaling laws: plan, train, fit and predict, with honest intervals.

  scaling plan STUDY       what would run, and for how long; trains nothing
  scaling preflight STUDY  compile every cell ahead: memory, FLOPs, time, and whether it fits
  scaling run STUDY        train the sweep, fit the laws, check the prediction, write the report
  scaling status DIR       how far a run is
  scaling launch STUDY     hand the jobs to a queue, and leave them there
  scaling cancel DIR       ask all that works at a run to checkpoint and end
  scaling retry DIR        start jobs that failed again
  scaling evaluate DIR     measure finished models on a new set, without training again
  scaling fit DIR|TABLE    fit a law to a run, to any table of runs, or to a raw sweep
  scaling predict LAW      what a fitted law says: a size, a budget, a loss, a model to serve; a figure
  scaling profile TABLE    what the runs say of one parameter alone
  scaling select TABLE     choose a form without seeing larger runs; answer with all that do well
  scaling validate TABLE   hold out the largest runs: which form foretells them?
  scaling compare A B      is B better than A, by how much compute, how sure?
  scaling forms [NAME]     the laws that can be fitted, or all about one
  scaling report DIR       write a run's report again
  scaling schema           the study's JSON schema, for editors

example:
  scaling run configs/quickstart.yaml

`scaling VERB --help` explains one verb.
"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one verb and exit: 0 done, 1 something failed, 2 bad input, 3 jobs were lost from outside, 4 disk full, 130
    interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(given))


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        print(OVERVIEW, end="")
        return 0 if given else BAD_INPUT
    if given[0] == "--version":
        print(f"scaling {__version__}")
        return 0
    verb, rest = given[0], given[1:]
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"verbs are {', '.join(VERBS)}"
        return _refuse(f"{verb!r} is not a verb; {hint}")
    try:
        return VERBS[verb](rest)
    except (StudyError, RecordError, LawError) as error:
        return _refuse(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Cancelled as cancelled:
        print(f"scaling: {cancelled}", file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if not is_disk_full(error):
            raise
        print(f"scaling: no space is left on the disk: {error}; what was written stays readable", file=sys.stderr)
        return DISK_FULL


def _refuse(message: str) -> int:
    print(f"scaling: {message}", file=sys.stderr)
    return BAD_INPUT
