#!/bin/bash
# What Slurm runs, the same for every sweep: all that differs comes as arguments, none of which is evaluated.
#
#   slurm_job.sh batch SCRIPT SETUP LIST SRUN... -- COMMAND...   one task of an array: its job is a line of LIST
#   slurm_job.sh rank JOB COMMAND...                             one process of a job
#
# SCRIPT: this file, where every node finds it. SETUP: a file to source first, or "-". SRUN: "-" for one process.
# USR1 comes before the time limit: the job checkpoints and is requeued. TERM ends it, after a checkpoint.
# A process that ended leaves JOB's name with .exit-<rank>: "<Slurm's job id> <status>".
set -u

requeue=no
child=
early=no # told to end before there was a child
told=no  # told to end while it ran

# shellcheck disable=SC2317  # called by traps
forward() {
    if [ -z "$child" ]; then
        early=yes
    else
        told=yes
        kill -TERM "$child" 2>/dev/null
    fi
}

run() { # runs its arguments as a child that is told of signals; a trap interrupts wait, so that it is called again
    local ended status=
    "$@" &
    child=$!
    if [ "$early" = yes ]; then forward; fi
    while :; do
        told=no
        wait "$child"
        ended=$?
        # 127: it was waited for already, and the signal came after that.
        if [ "$ended" -ne 127 ] || [ -z "$status" ]; then status="$ended"; fi
        if [ "$told" = no ]; then break; fi
    done
    return "$status"
}

mode="$1"
shift
trap forward TERM

if [ "$mode" = rank ]; then
    job="$1"
    shift
    run "$@" "$job"
    status=$?
    file="${job%.json}.exit-${SLURM_PROCID:-0}"
    printf '%s %s\n' "$SLURM_JOB_ID" "$status" >"$file.tmp" && mv "$file.tmp" "$file"
    exit "$status"
fi

trap 'requeue=yes; forward' USR1
script="$1" setup="$2" list="$3"
shift 3
launch=()
while [ "$1" != -- ]; do
    if [ "$1" != - ]; then launch+=("$1"); fi
    shift
done
shift
job="$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$list")"
exec >>"${job%.json}.log" 2>&1 </dev/null
if [ "$setup" != - ]; then
    # shellcheck source=/dev/null
    . "$setup"
fi
run "${launch[@]}" bash "$script" rank "$job" "$@"
status=$?
if [ "$status" -eq 75 ] && [ "$requeue" = yes ]; then
    for pause in 1 2 4 8 0; do # the controller may be busy, and nobody else may be there to submit the job again
        scontrol requeue "$SLURM_JOB_ID" && break
        sleep "$pause"
    done
fi
exit "$status"
