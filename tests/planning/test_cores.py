import subprocess
import sys

CHOOSE = """
import sys
from scaling.planning import take_cores
print(*sorted(take_cores(int(sys.argv[1]), range(4))), flush=True)
sys.stdin.read()
"""


def started(count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHOOSE, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def chosen(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


def test_neighbours_have_cores_of_their_own_as_long_as_they_live(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    pair, one = started(2), started(1)
    taken = [*chosen(pair), *chosen(one)]
    assert len(set(taken)) == 3
    last, over = started(1), started(1)
    found = [chosen(last), chosen(over)]
    assert sum(cores[0] not in taken for cores in found) >= 1
    one.kill()
    one.wait()
    again = started(1)
    assert chosen(again) == [taken[2]]
    for process in (pair, last, over, again):
        process.communicate()


def test_fewer_cores_than_asked_are_all_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    many = started(8)
    assert chosen(many) == [0, 1, 2, 3]
    many.communicate()
