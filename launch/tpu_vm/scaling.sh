#!/usr/bin/env bash
#
# Start the same scaling command on every worker of a TPU VM that install.sh has prepared.
#
#   launch/tpu_vm/scaling.sh TPU ZONE WORDS...
#
#   launch/tpu_vm/scaling.sh my-pod us-east5-b job /shared/runs/x/jobs/w64.json --distributed     # a pod: one job on all
#   launch/tpu_vm/scaling.sh my-vm us-east5-b run /shared/studies/x.yaml --out /shared/runs/x     # one host: the sweep
#
# Paths are the workers' own, on a file system that all of them see.
set -euo pipefail

if (($# < 3)); then
    echo "usage: launch/tpu_vm/scaling.sh TPU ZONE WORDS..." >&2
    exit 2
fi
tpu="$1" zone="$2"
shift 2

printf -v words '%q ' "$@" # one word stays one word in the shell of the workers
# shellcheck disable=SC2016  # $HOME is the workers'
printf -v command '%s %s' 'exec "$HOME/scaling-venv/bin/python" -m scaling' "$words"
exec gcloud compute tpus tpu-vm ssh "$tpu" --zone="$zone" --worker=all --command="$command"
