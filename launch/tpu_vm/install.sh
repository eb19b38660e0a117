#!/usr/bin/env bash
#
# Install scaling, with JAX for TPUs, on every worker of a TPU VM: into a virtual environment in the home folder.
#
#   launch/tpu_vm/install.sh TPU ZONE REQUIREMENT...
#
# REQUIREMENT is what pip takes: git+https://HOST/LAB/scaling, or a folder that every worker sees.
set -euo pipefail

if (($# < 3)); then
    echo "usage: launch/tpu_vm/install.sh TPU ZONE REQUIREMENT..." >&2
    exit 2
fi
tpu="$1" zone="$2"
shift 2

printf -v wanted '%q ' "$@" # one word stays one word in the shell of the workers
# shellcheck disable=SC2016  # $HOME is the workers'
printf -v command '%s && %s %s' \
    'python3 -m venv "$HOME/scaling-venv"' '"$HOME/scaling-venv/bin/pip" install --upgrade "jax[tpu]"' "$wanted"
exec gcloud compute tpus tpu-vm ssh "$tpu" --zone="$zone" --worker=all --command="$command"
