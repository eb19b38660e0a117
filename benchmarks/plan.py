"""How long a plan of many cells takes: to make, to print by shape, and to write as JSON. CPU seconds, no training.

python benchmarks/plan.py           # 100,000 cells
python benchmarks/plan.py 10000
"""

import contextlib
import gc
import io
import json
import sys
import time
from typing import Any

from scaling.config import parse_study
from scaling.planning import no_collection, plan
from scaling.records import DataRecord
from scaling.studies import show_plan

DATA = DataRecord(fingerprint="0" * 64, tokenizer="bytes", train_tokens=10**12, validation_tokens=10_000)
WIDTHS = [64, 96, 128, 160, 192, 224, 256, 320, 384, 448]


def designs(cells: int) -> dict[str, dict[str, Any]]:
    """Name -> a sweep of about so many cells."""
    each = cells // (len(WIDTHS) * 10)
    rates = [1e-3 * 1.05**rung for rung in range(each)]
    ladder = {"design": "ladder", "widths": WIDTHS, "seeds": 10, "factors": {"training.learning_rate": rates}}
    ranges = {"params": [1e5, 1e7], "tokens_per_param": [20, 200], "training.learning_rate": [1e-4, 1e-2]}
    return {
        "ladder, one horizon": ladder | {"tokens_per_param": [20]},
        "ladder, five horizons": ladder | {"tokens_per_param": [20, 40, 80, 160, 320], "seeds": 2},
        "ladder, a rule of skips": ladder
        | {
            "tokens_per_param": [20],
            "skip": [{"when": {"width": {"above": 256}, "learning_rate": {"above": 1e-2}}, "because": "diverges"}],
        },
        "random": {"design": "random", "samples": cells, "ranges": ranges},
        "quasirandom": {"design": "quasirandom", "samples": cells, "ranges": ranges},
    }


def main() -> None:
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"{'design':>24} {'cells':>8} {'trajectories':>13} {'plan':>7} {'print':>7} {'JSON':>7}   CPU s")
    for name, sweep in designs(cells).items():
        gc.collect()
        study = parse_study(
            {
                "name": "many",
                "training": {"warmup_tokens": 1000, "minimum_steps": 50},
                "sweep": sweep,
                "check": {"enabled": False},
            }
        )
        with no_collection(), contextlib.redirect_stdout(io.StringIO()):
            started = time.process_time()
            planned = plan(study, DATA)
            made = time.process_time()
            show_plan.plan(planned)
            shown = time.process_time()
            json.dumps(planned.as_json(), indent=2)
            written = time.process_time()
        seconds = (made - started, shown - made, written - shown)
        count = planned.observations + len(planned.skipped)
        print(
            f"{name:>24} {count:>8,} {len(planned.trajectories):>13,} {' '.join(f'{one:7.2f}' for one in seconds)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
