#!/usr/bin/env bash
# Breaks the program in small ways, one at a time, on a copy. Each must be caught by a test.
#
# Usage: tests/mutants.sh [WORD]    only the mutants whose description contains WORD
# Prints for each which test caught it; exits with 1 if one survives.
set -u
cd "$(dirname "$0")/.." || exit 1
here=$PWD
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
only=${1:-}
survived=0
count=0

# The copy has a target folder of its own, kept for the next time, so that paths stay the same
# and only this crate is built again.
export CARGO_TARGET_DIR=$here/target/mutants
export RUST_BACKTRACE=0

# mutant DESCRIPTION FILE TESTS OLD NEW: the first OLD in FILE becomes NEW; TESTS are the test
# binaries that are run, the likeliest first.
mutant() {
    local what=$1 file=$2 tests=$3 old=$4 new=$5 test log caught=
    [[ -n $only && $what != *"$only"* ]] && return
    count=$((count + 1))
    rm -rf "$copy/src"
    cp -r src "$copy/src"
    if ! OLD=$old NEW=$new perl -0pi -e '
        my ($old, $new) = ($ENV{OLD}, $ENV{NEW});
        my $at = index($_, $old);
        exit 3 if $at < 0;
        substr($_, $at, length $old) = $new;
    ' "$copy/$file"; then
        echo "GONE      $what: $file no longer contains what it breaks"
        survived=1
        return
    fi
    for test in $tests; do
        # A mutant may loop for ever; that counts as caught.
        log=$(cd "$copy" && timeout 180 cargo test --offline --quiet --no-default-features \
            --test "$test" 2>&1)
        case $? in
        0) continue ;;
        124) caught="$test (does not end)" ;;
        *)
            caught=$(grep -E '^    [a-z_:]+$' <<<"$log" | sort -u | head -n 2 | xargs)
            if [[ -z $caught ]]; then
                echo "BROKEN    $what: does not compile"
                grep -E '^error' -A 6 <<<"$log" | head -n 12
                survived=1
                return
            fi
            ;;
        esac
        break
    done
    if [[ -n $caught ]]; then
        echo "caught    $what: $caught"
    else
        echo "SURVIVED  $what"
        survived=1
    fi
}

for path in Cargo.toml Cargo.lock tests examples benches fuzz/seeds fuzz/fuzz_targets; do
    [[ -e $path ]] && mkdir -p "$copy/$(dirname "$path")" && cp -r "$path" "$copy/$path"
done
