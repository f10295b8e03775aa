#!/bin/sh
# Chromium and its driver, for `make test-browser`. Where they are not there, Debian's are installed.
set -eu
if command -v chromedriver >/dev/null && { command -v chromium || command -v google-chrome; } >/dev/null; then
    exit 0
fi
command -v apt-get >/dev/null || {
    echo "Install Chromium and chromedriver: the page is tested in them." >&2
    exit 1
}
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-dejavu-core
