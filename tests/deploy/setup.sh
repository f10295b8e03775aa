#!/bin/sh
# nginx, Caddy, systemd-analyze and buildah, for `make test-deploy`. Where they are not there, Debian's are installed.
set -eu
has() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }
is_complete() { has nginx && has caddy && has systemd-analyze && has openssl; }
can_build() { has buildah && has busybox; }
if is_complete && can_build; then
    exit 0
fi
if ! has apt-get; then
    is_complete && exit 0
    echo "Install nginx, caddy, systemd and openssl; buildah and busybox if the image is to be built." >&2
    exit 1
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends nginx-light caddy systemd openssl
# The test of the image says that it is left out where there is no buildah.
$as_root apt-get install -y -qq --no-install-recommends buildah busybox-static || echo "no buildah here" >&2
