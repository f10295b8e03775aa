#!/bin/sh
# schemathesis in target/openapi-venv, for `make test-openapi`; then runs what it is given, which finds
# it first in PATH.
set -eu
cd "$(dirname "$0")/../.."
venv=target/openapi-venv
if ! "$venv/bin/schemathesis" --version 2>/dev/null | grep -q ' 4\.'; then
    command -v python3 >/dev/null || { echo "Install Python 3: schemathesis needs it." >&2; exit 1; }
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'schemathesis==4.32.5'
fi
PATH="$PWD/$venv/bin:$PATH"
export PATH
exec "$@"
