#!/usr/bin/env bash
#
# Start this machine's part of a Ray cluster by hand: first the head, then each worker with the head's address.
#
#   launch/ray/start.sh head 10.0.0.1:6379 [OPTIONS OF ray start]
#   launch/ray/start.sh worker 10.0.0.1:6379 [OPTIONS OF ray start]
#
# Every node takes the same token, without which nobody may join. The head makes one where there is none; copy the file
# to each worker before its start. RAY_AUTH_TOKEN_PATH names another file than ~/.ray/auth_token.
# A study then has engine: {kind: ray, ray: {address: "10.0.0.1:6379"}}, and runs with the same two variables.
set -euo pipefail

usage() {
    echo "usage: launch/ray/start.sh head|worker HOST:PORT [OPTIONS OF ray start]" >&2
    exit 2
}
(($# >= 2)) || usage
role="$1" address="$2"
shift 2
host="${address%:*}" port="${address##*:}"
[[ "$address" == *:* && -n "$host" && "$port" =~ ^[0-9]+$ ]] || usage

export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}"
unset RAY_AUTH_TOKEN # it would come before the file

case "$role" in
head)
    if [[ ! -s "$RAY_AUTH_TOKEN_PATH" ]]; then
        mkdir -p "$(dirname "$RAY_AUTH_TOKEN_PATH")"
        (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH")
        echo "new token: $RAY_AUTH_TOKEN_PATH; copy the file to every worker" >&2
    fi
    exec ray start --head --node-ip-address="$host" --port="$port" "$@"
    ;;
worker)
    if [[ ! -s "$RAY_AUTH_TOKEN_PATH" ]]; then
        echo "$RAY_AUTH_TOKEN_PATH is missing or empty; copy the head's there first" >&2
        exit 1
    fi
    exec ray start --address="$address" "$@"
    ;;
*) usage ;;
esac
