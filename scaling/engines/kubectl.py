"""The user's own kubectl, one command line a question. Nothing here reads its configuration or a secret."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from scaling.config import JobSetConfig

JOBSETS = "jobsets.jobset.x-k8s.io"
ANSWER_SECONDS = 120
"""Longest that a command may take, beside what it waits for."""


class KubectlError(RuntimeError):
    """kubectl ended with an error; the message holds its own words."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl, of one context and namespace."""

    namespace: str = "default"
    context: str | None = None
    program: str = "kubectl"

    @property
    def found(self) -> bool:
        """Whether it is installed."""
        return shutil.which(self.program) is not None

    def command(self, *words: str) -> list[str]:
        """Its command line."""
        context = [] if self.context is None else [f"--context={self.context}"]
        return [self.program, *context, f"--namespace={self.namespace}", *words]

    def apply(self, manifest: str) -> None:
        """Make the object of `manifest` (YAML), or leave it where it is the same."""
        self._run("apply", "--filename=-", given=manifest)

    def jobsets(self, labels: dict[str, str]) -> dict[str, dict[str, Any]]:
        """Every JobSet with `labels`, by name."""
        listed = self._json("get", JOBSETS, f"--selector={_selector(labels)}", "--output=json")
        return {item["metadata"]["name"]: item for item in listed["items"]}

    def jobset(self, name: str) -> dict[str, Any] | None:
        """One JobSet; None where there is none of that name."""
        return self._json("get", JOBSETS, name, "--ignore-not-found", "--output=json") or None

    def pods(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        """Every pod with `labels`."""
        return list(self._json("get", "pods", f"--selector={_selector(labels)}", "--output=json")["items"])

    def logs(self, labels: dict[str, str], *, prefix: bool) -> str:
        """All that the pods with `labels` said; with `prefix`, each line after its pod's name."""
        return self._run("logs", f"--selector={_selector(labels)}", "--tail=-1", f"--prefix={_word(prefix)}")

    def delete(self, name: str, *, wait_seconds: int = 0) -> None:
        """Delete a JobSet and all that is its own, and wait so long until it is gone."""
        wait = f"--timeout={wait_seconds}s" if wait_seconds else "--wait=false"
        self._run("delete", JOBSETS, name, "--ignore-not-found", "--cascade=foreground", wait, seconds=wait_seconds)

    def end_pods(self, labels: dict[str, str]) -> None:
        """Give the pods with `labels` one more second."""
        self._run("delete", "pods", f"--selector={_selector(labels)}", "--grace-period=1", "--wait=false")

    def _json(self, *words: str) -> dict[str, Any]:
        said = self._run(*words)
        try:
            return dict(json.loads(said)) if said.strip() else {}
        except ValueError:
            raise KubectlError(f"kubectl {' '.join(words)} answered what is no JSON: {said[:200]!r}") from None

    def _run(self, *words: str, given: str = "", seconds: int = 0) -> str:
        limit, command = ANSWER_SECONDS + seconds, self.command(*words)
        try:
            ended = subprocess.run(
                command,
                input=given,
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KubectlError(f"kubectl {' '.join(words)}: {error}") from None
        if ended.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(words)}: {ended.stderr.strip() or f'status {ended.returncode}'}")
        return ended.stdout


def kubectl_of(config: JobSetConfig) -> Kubectl:
    """kubectl as the study asks for it."""
    return Kubectl(config.namespace, config.context)


def _selector(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _word(value: bool) -> str:
    return "true" if value else "false"
