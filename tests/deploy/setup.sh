#!/bin/sh
# nginx, Caddy and systemd-analyze, for `make test-deploy`. Where they are not there, Debian's are installed.
set -eu
has() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }
if has nginx && has caddy && has systemd-analyze && has openssl; then
    exit 0
fi
command -v apt-get >/dev/null || { echo "Install nginx, caddy, systemd and openssl." >&2; exit 1; }
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends nginx-light caddy systemd openssl
