#!/bin/sh
# zsh, fish and groff, for `make test-shells`. Where they are not there, Debian's are installed.
set -eu
has() { command -v "$1" >/dev/null; }
if has zsh && has fish && has groff; then
    exit 0
fi
has apt-get || { echo "Install zsh, fish and groff." >&2; exit 1; }
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends zsh fish groff
