"""Manifests from a study to a cluster, and the image that they name."""

import pytest
import yaml

from tests.launch.conftest import LAUNCH
from tests.studies.conftest import writer

NONE_QUEUED = "print(json.dumps({'items': []}))"
AND_READ = "open(os.environ['HOME'] + '/applied', 'a').write(sys.stdin.read())"


def test_manifests_are_checked_by_the_cluster_before_they_are_applied(programs):
    programs.add("scaling", "print('kind: JobSet # $(id) `id`')")
    programs.add("kubectl", AND_READ)
    ended = programs.run("gke/apply.sh", "study.yaml", "--name", "a b")
    assert ended.returncode == 0, ended.stderr
    words = ["launch", "study.yaml", "--name", "a b", "--engine", "jobset", "--dry-run"]
    assert programs.calls("scaling")[0]["words"] == words
    applied = [call["words"] for call in programs.calls("kubectl")]
    assert applied == [["apply", "--dry-run=server", "--filename=-"], ["apply", "--filename=-"]]
    assert (programs.home / "applied").read_text() == "kind: JobSet # $(id) `id`\n" * 2


def test_what_is_applied_is_a_jobset_a_job(programs, text, compilation_cache, tmp_path):
    programs.add("scaling", "os.execv(sys.executable, [sys.executable, '-m', 'scaling', *sys.argv[1:]])")
    programs.add("kubectl", f"{NONE_QUEUED} if 'get' in sys.argv else {AND_READ}")
    volume = {"image": "registry.example/scaling:1", "claim": "runs", "mount_path": str(tmp_path)}
    ladder = {"design": "ladder", "widths": [8, 16], "tokens_per_param": [4]}
    study = writer(text, compilation_cache, tmp_path)(sweep=ladder, engine={"jobset": volume})
    ended = programs.run("gke/apply.sh", str(study), "--out", str(tmp_path / "run"))
    assert ended.returncode == 0, ended.stderr
    checked_then_applied = (programs.home / "applied").read_text()
    half = len(checked_then_applied) // 2
    assert checked_then_applied[:half] == checked_then_applied[half:]
    assert [one["kind"] for one in yaml.safe_load_all(checked_then_applied[half:])] == ["JobSet", "JobSet"]
    assert not (tmp_path / "run" / "trajectories").exists()


@pytest.mark.parametrize(("then", "status"), [("sys.exit(2)", 2), ("", 0)])
def test_nothing_is_applied_where_nothing_was_rendered(programs, then, status):
    programs.add("scaling", then)
    programs.add("kubectl", AND_READ)
    assert programs.run("gke/apply.sh", "study.yaml").returncode == status
    assert programs.calls("kubectl") == []


def test_nothing_is_applied_that_the_cluster_refuses(programs):
    programs.add("scaling", "print('kind: JobSet')")
    programs.add("kubectl", "sys.exit(1)")
    assert programs.run("gke/apply.sh", "study.yaml").returncode == 1
    assert len(programs.calls("kubectl")) == 1


def test_the_image_is_made_of_files_that_are_there():
    lines = (LAUNCH / "gke/Dockerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert "scaling" in copied
    assert all((LAUNCH.parent / name).exists() for name in copied)
