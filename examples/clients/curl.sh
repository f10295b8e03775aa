#!/bin/sh
# Starts a run and prints its events, one line of JSON each, over lost connections and restarts of
# the server: RUNWIRE_KEY=$(runwire key) sh curl.sh '{"input": "what is in the workspace?"}'
set -eu
url=${RUNWIRE_URL:-http://127.0.0.1:8642}

# The key goes in through a pipe: what stands in a command line, every user of the machine can see.
ask() {
    printf 'header = "Authorization: Bearer %s"\n' "$RUNWIRE_KEY" | curl -sS -K - "$@"
}

# The idempotency key makes a repeated request give the same run, and never a second one.
once=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
run=
while [ -z "$run" ]; do
    reply=$(ask "$url/v1/runs" -d "$1" -H 'Content-Type: application/json' \
        -H "Idempotency-Key: $once" -w '\n: status %{http_code}' || sleep 1)
    case $reply in *': status 4'??) echo "$reply" >&2 && exit 1 ;; esac
    run=$(printf %s "$reply" | sed -n 's/.*"run_id":"\([^"]*\)".*/\1/p')
done

last=-1
while [ "$last" != end ]; do
    last=$(ask -N -y 30 -w '\n: status %{http_code}\n' -H "Last-Event-ID: $last" \
        "$url/v1/runs/$run/events" 2>/dev/null | { data='' id=$last
        while IFS= read -r line; do
            case $line in
                'id: '*) id=${line#id: } ;;
                'data: '*) data=${line#data: } ;;
                '') # The end of a frame. One that was cut off before it will come again, whole.
                    [ -z "$data" ] || { printf '%s\n' "$data" >&3 && last=$id; }
                    case $data in '{"event":"run.'[cfi]*) last=end ;; esac
                    data='' ;;
                ': status 4'*) echo "The server refuses: ${line#: }" >&2 && last=end ;;
            esac
        done
        echo "$last"
    }) 3>&1
    [ "$last" = end ] || sleep 1
done
