#!/bin/sh
# A server on a directory of its own, and schemathesis against it. SEED=... tries other requests.
set -eu
cd "$(dirname "$0")/../.."
place=$(mktemp -d)
server=
relay=
end() {
    for it in $server $relay; do kill "$it" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$place"
}
trap end EXIT
trap 'exit 1' INT TERM
key=only-for-the-tests-of-openapi
# No run waits for anybody or goes on for long, so that every event stream ends.
env -i PATH="$PATH" HOME="$place" target/debug/runwire serve --port 0 --key "$key" \
    --state "$place/state" --workspace "$place/work" --approve never --run-timeout 5s \
    --max-runs 16 2>"$place/log" &
server=$!
until grep -q 'curl -sN' "$place/log"; do
    kill -0 "$server" 2>/dev/null || { cat "$place/log" >&2; exit 1; }
    sleep 0.1
done
url=$(sed -n 's|.*listens on \(http://[^ ]*\).*|\1|p' "$place/log" | head -n 1)
python3 -B tests/openapi/relay.py "${url##*:}" >"$place/relay" &
relay=$!
until [ -s "$place/relay" ]; do
    kill -0 "$relay" || exit 1
    sleep 0.1
done
url=$(cat "$place/relay")
cd "$place"
OPENAPI_KEY=$key schemathesis --config-file "$OLDPWD/tests/openapi/schemathesis.toml" \
    run "$url/openapi.json" --seed "${SEED:-20261122}" --no-color
