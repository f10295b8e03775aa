#!/bin/sh
# What `make test-clients` needs beside curl, Python and Node: packages in target/clients, and the
# TypeScript clients checked strictly and compiled there.
set -eu
cd "$(dirname "$0")/../.."
for program in curl python3 node npm; do
    command -v $program >/dev/null || { echo "Install $program: a client is tested in it." >&2; exit 1; }
done
mkdir -p target/clients
cp tests/clients/package.json tests/clients/package-lock.json target/clients/
(cd target/clients && npm ci --silent --no-audit --no-fund)
[ -x target/clients/venv/bin/python ] || python3 -m venv target/clients/venv
target/clients/venv/bin/pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
target/clients/node_modules/.bin/tsc --strict --noUncheckedIndexedAccess --target es2022 --module es2022 \
    --lib es2022,dom --outDir target/clients/js examples/clients/*.ts
cp tests/clients/*.mjs target/clients/
