#!/usr/bin/env bash
#
# Render the JobSets of a study, let the cluster check them, and apply them: a sweep without a sweeper. Jobs that the
# cluster gives up are not tried again; `scaling run STUDY` with engine.kind jobset does that, and takes these over.
#
#   launch/gke/apply.sh STUDY [OPTIONS OF scaling launch]
#
set -euo pipefail

if (($# < 1)); then
    echo "usage: launch/gke/apply.sh STUDY [OPTIONS OF scaling launch]" >&2
    exit 2
fi

manifests="$(scaling launch "$@" --engine jobset --dry-run)"
if [[ -z "$manifests" ]]; then
    echo "nothing is left to do" >&2
    exit 0
fi
kubectl apply --dry-run=server --filename=- <<<"$manifests" >/dev/null
kubectl apply --filename=- <<<"$manifests"
