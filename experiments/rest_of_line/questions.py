"""Questions with choices about Python: how does this line go on? Written to rest_of_line.jsonl.

The lines are those of the standard library's tests, which the corpus `stdlib` leaves out; the wrong choices are the
ends of other lines of the same file.
"""

import json
import random
import sysconfig
from pathlib import Path

QUESTIONS, CHOICES = 1000, 4
TESTS = sorted((Path(sysconfig.get_path("stdlib")) / "test").glob("test_*.py"))


def main() -> None:
    drawn = random.Random(0)

    def halves(line: str) -> tuple[str, str]:
        at = drawn.randrange(len(line) // 3, 2 * len(line) // 3)
        return line[:at], line[at:] + "\n"

    found: list[dict[str, object]] = []
    while len(found) < QUESTIONS:
        lines = drawn.choice(TESTS).read_text(encoding="utf-8", errors="ignore").splitlines()
        lines = [line for line in lines if 30 < len(line) < 80]
        if len(lines) < 50:
            continue
        prompt, right = halves(drawn.choice(lines))
        choices = sorted({right} | {halves(line)[1] for line in drawn.sample(lines, CHOICES - 1)})
        if len(choices) == CHOICES:
            drawn.shuffle(choices)
            found.append({"prompt": prompt, "choices": choices, "answer": right})
    Path("rest_of_line.jsonl").write_text("\n".join(map(json.dumps, found)), encoding="utf-8")


if __name__ == "__main__":
    main()
