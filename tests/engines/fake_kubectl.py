"""A kubectl with a cluster of one machine behind it: it answers our command lines in JSON of the real shape, and runs
the containers of a JobSet as processes, under the Job's podFailurePolicy and the JobSet's failurePolicy.

    fake_kubectl.py STORE WORDS...

STORE/NAME.json is what was applied, NAME.status.json what became of it, NAME.log what it said, calls.jsonl every
command line. STORE/down makes every call fail as an unreachable cluster does; STORE/hold lets nothing start, as Kueue
does; STORE/evict ends a running job as a node does that is taken away.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

STORE = Path(sys.argv[1])
JOBSETS = "jobsets.jobset.x-k8s.io"


def main(words):
    with (STORE / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    if (STORE / "down").exists():
        sys.exit("Unable to connect to the server: dial tcp 10.0.0.1:443: i/o timeout")
    plain = [word for word in words if not word.startswith("--")]
    flags = dict(word[2:].partition("=")[::2] for word in words if word.startswith("--"))
    verb, *rest = plain
    if flags.pop("namespace") != "lab" or flags.pop("context", "gke") != "gke":
        sys.exit("error: no such context or namespace")
    if verb == "apply" and flags == {"filename": "-"}:
        apply(yaml.safe_load(sys.stdin.read()))
    elif verb == "get" and rest == [JOBSETS] and set(flags) == {"selector", "output"}:
        labels = dict(one.split("=") for one in flags["selector"].split(","))
        every = [jobset(path.stem) for path in sorted(STORE.glob("scaling-*.json")) if path.suffixes == [".json"]]
        items = [one for one in every if one and labels.items() <= one["metadata"]["labels"].items()]
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    elif verb == "get" and rest[0] == JOBSETS and set(flags) == {"ignore-not-found", "output"}:
        found = jobset(rest[1])
        print(json.dumps(found) if found else "", end="")
    elif verb == "get" and rest == ["pods"] and set(flags) == {"selector", "output"}:
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods(named(flags))}))
    elif verb == "logs" and set(flags) == {"selector", "tail", "prefix"}:
        log = STORE / f"{named(flags)}.log"
        print(log.read_text() if log.exists() else "", end="")
    elif verb == "delete" and rest[0] == JOBSETS and flags.pop("cascade") == "foreground":
        delete(rest[1], wait=flags.get("wait") != "false")
    elif verb == "delete" and rest == ["pods"] and flags["grace-period"] == "1":
        send(named(flags), signal.SIGKILL)
    else:
        sys.exit(f"error: unknown command or flags: {words}")


def named(flags):
    key, _, name = flags["selector"].partition("=")
    return name if key == "jobset.sigs.k8s.io/jobset-name" else sys.exit(f"error: selector {key}")


def apply(manifest):
    name = manifest["metadata"]["name"]
    file = STORE / f"{name}.json"
    if file.exists():
        same = json.loads(file.read_text())["spec"] == manifest["spec"]
        sys.exit(None if same else "admission webhook denied the request: spec.replicatedJobs: field is immutable")
    manifest["spec"]["suspend"] = (STORE / "hold").exists()
    file.write_text(json.dumps(manifest))
    status(name, restarts=0)
    subprocess.Popen(
        [sys.executable, __file__, str(STORE), "--controller", name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(STORE / "controller.log").open("a"),
        start_new_session=True,
    )
    print(f"jobset.jobset.x-k8s.io/{name} created")


def jobset(name):
    file = STORE / f"{name}.json"
    if not file.exists():
        return None
    manifest, told = json.loads(file.read_text()), json.loads((STORE / f"{name}.status.json").read_text())
    conditions = []
    if told.get("ended"):
        kind, reason, message = told["ended"]
        conditions.append(
            {
                "type": kind,
                "status": "True",
                "reason": reason,
                "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        )
    running = int(bool(told.get("pid")))
    jobs = [{"name": "slice", "ready": running, "active": running, "failed": 0, "succeeded": 0, "suspended": 0}]
    manifest["status"] = {"conditions": conditions, "restarts": told["restarts"], "replicatedJobsStatus": jobs}
    if (STORE / f"{name}.deleted").exists():
        manifest["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return manifest


def pods(name):
    told = json.loads((STORE / f"{name}.status.json").read_text())
    every = []
    for index, code in enumerate(told.get("exits", [])):
        terminated = {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}
        state = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [{"state": {"terminated": terminated}}],
        }
        if told.get("evicted"):
            state["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]
        every.append({"metadata": {"name": f"{name}-slice-0-{index}-abcde"}, "status": state})
    return every


def delete(name, wait):
    (STORE / f"{name}.deleted").touch()
    told = STORE / f"{name}.status.json"
    if not told.exists() or json.loads(told.read_text()).get("ended"):
        remove(name)
        return
    send(name, signal.SIGTERM)
    while wait and (STORE / f"{name}.json").exists():
        time.sleep(0.02)


def remove(name):
    for suffix in (".json", ".status.json", ".log", ".deleted"):
        (STORE / f"{name}{suffix}").unlink(missing_ok=True)


def send(name, number):
    told = STORE / f"{name}.status.json"
    pid = json.loads(told.read_text()).get("pid") if told.exists() else None
    if pid:
        os.kill(pid, number)


def status(name, **told):
    file = STORE / f"{name}.status.json"
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(told))
    temporary.replace(file)


def controller(name):
    """What Kubernetes and the JobSet controller do with a JobSet until it ends."""
    deleted = STORE / f"{name}.deleted"
    while (STORE / "hold").exists() and not deleted.exists():
        time.sleep(0.02)
    manifest = json.loads((STORE / f"{name}.json").read_text())
    manifest["spec"]["suspend"] = False
    (STORE / f"{name}.json").write_text(json.dumps(manifest))
    policy = manifest["spec"]["failurePolicy"]
    restarts = 0
    while not deleted.exists():
        codes, evicted = run(name, manifest, restarts)
        if deleted.exists():
            break
        rules = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["podFailurePolicy"]["rules"]
        action = next(
            (rule["action"] for rule in rules if any(matches(rule, code, evicted) for code in codes)), "Count"
        )
        if not any(codes):
            status(name, restarts=restarts, exits=codes, ended=["Completed", "AllJobsCompleted", "jobset completed"])
            return
        if action == "Ignore":
            continue
        reason = "PodFailurePolicy" if action == "FailJob" else "BackoffLimitExceeded"
        (chosen,) = [r["action"] for r in policy["rules"] if reason in r["onJobFailureReasons"]] or ["RestartJobSet"]
        if chosen == "FailJobSet":
            ended = ["Failed", "FailJobSetFailurePolicyAction", "applying FailJobSet failure policy action"]
        elif restarts >= policy["maxRestarts"]:
            ended = ["Failed", "ReachedMaxRestarts", "jobset failed due to reaching max number of restarts"]
        else:
            restarts += 1
            continue
        status(name, restarts=restarts, exits=codes, ended=ended)
        return
    remove(name)


def matches(rule, code, evicted):
    if "onPodConditions" in rule:
        return evicted
    return code in rule["onExitCodes"]["values"]


def run(name, manifest, restarts):
    """Exit codes of the pods, as containers have them, and whether they were evicted."""
    job = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    words = [word.replace("$$(", "$(") for word in (*container["command"], *container.get("args", []))]
    with (STORE / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            words, stdout=log, stderr=log, env=os.environ | {"PATH": f"{STORE}/image:{os.environ['PATH']}"}
        )
    status(name, restarts=restarts, pid=process.pid)
    evicted = False
    while (code := process.poll()) is None:
        if (STORE / "evict").exists():
            (STORE / "evict").unlink()
            evicted = True
            process.terminate()
        time.sleep(0.02)
    return [code if code >= 0 else 128 - code] * job["completions"], evicted


if sys.argv[2:3] == ["--controller"]:
    controller(sys.argv[3])
else:
    main(sys.argv[2:])
