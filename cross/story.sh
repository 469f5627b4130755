#!/bin/bash
# A short story between two builds of the agent for two instruction sets: what one writes, the other reads and goes on with.
#
#   cross/story.sh NATIVE FOREIGN
#
# FOREIGN must run here as it is: cross/emulated.sh sees to that. The simulated instruments are heard by NATIVE, because
# the emulator does not know the system calls that set up a serial port; FOREIGN has its own readings to write.
# Cryptography is machine code of its own for each target: FOREIGN proves it against mosquitto's, which is OpenSSL's.
set -euo pipefail
native=$(realpath "$1") foreign=$(realpath "$2")
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
agent='' broker=''
checks=0
# An emulated agent is up in two seconds; a machine that builds beside it takes longer.
readonly patience_seconds=60
readonly new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
export NO_COLOR=1

on_exit() {
    local code=$?
    [ -z "$agent" ] || kill -KILL "$agent" 2>/dev/null || true
    [ -z "$broker" ] || kill "$broker" 2>/dev/null || true
    [ $code -eq 0 ] || tail -n 20 "$dir"/*.log "$dir"/*.out >&2
    rm -rf "$dir"
}

claim() { checks=$((checks + 1)) && printf 'ok %2d - %s\n' $checks "$1"; }

fail() { echo "not ok - $*" >&2; exit 1; }

# Both binaries say the same bytes to the same question, and end with this code.
same_with_code() {
    local wanted=$1 what=$2 code
    shift 2
    code=0; "$native" "$@" >"$dir/native.out" || code=$?
    [ $code -eq "$wanted" ] || fail "$what: the native one ended with $code"
    code=0; "$foreign" "$@" >"$dir/foreign.out" || code=$?
    [ $code -eq "$wanted" ] || fail "$what: the foreign one ended with $code"
    cmp "$dir/native.out" "$dir/foreign.out" || fail "$what: they differ"
    [ -s "$dir/native.out" ] || fail "$what: they said nothing"
    claim "$what"
}

same() { same_with_code 0 "$@"; }

# An agent without instruments: its own health is what it reads. A sink takes everything from the journal's first on.
configure() {
    local name=$1
    mkdir -p "$dir/$name"
    cat >"$dir/$name/agent.toml" <<END
[device]
id           = "demo"
site         = "workbench"
health_every = "1s"
[journal]
path            = "$dir/$name/journal"
commit_interval = "100ms"
[clock]
hold_untrusted = "0s"
[local]
socket = "$dir/$name/agent.sock"
[sink.parquet]
type   = "file"
path   = "$dir/$name/parquet"
format = "parquet"
batch  = { max_age = "1s" }
[sink.ndjson]
type   = "file"
path   = "$dir/$name/ndjson"
format = "ndjson"
batch  = { max_age = "1s" }
END
}

# A broker that wants to know who we are, and an authority that vouches for both: for a year, because the agent is not well
# with a certificate that ends soon.
start_broker() {
    local who port
    port=$(python3 -c 'import socket; one = socket.socket(); one.bind(("127.0.0.1", 0)); print(one.getsockname()[1])')
    mkdir "$dir/tls"
    (
        cd "$dir/tls"
        openssl req -x509 "${new_key[@]}" -keyout ca.key -out ca.pem -days 365 -subj /CN=ca -addext basicConstraints=critical,CA:TRUE
        echo subjectAltName=DNS:localhost >names
        for who in broker device; do
            openssl req "${new_key[@]}" -keyout $who.key -out $who.csr -subj /CN=$who
            openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile names -out $who.pem
        done
    ) 2>/dev/null
    cat >"$dir/tls/broker.conf" <<END
listener $port 127.0.0.1
cafile $dir/tls/ca.pem
certfile $dir/tls/broker.pem
keyfile $dir/tls/broker.key
require_certificate true
use_identity_as_username true
user root
END
    PATH=$PATH:/usr/sbin mosquitto -c "$dir/tls/broker.conf" >"$dir/broker.log" 2>&1 &
    broker=$!
    cat >>"$dir/$1/agent.toml" <<END
[sink.broker]
type  = "mqtt"
url   = "mqtts://localhost:$port"
batch = { max_age = "1s" }
[sink.broker.tls]
ca   = "$dir/tls/ca.pem"
cert = "$dir/tls/device.pem"
key  = "$dir/tls/device.key"
END
}

start() {
    local binary=$1 name=$2
    "$binary" --config "$dir/$name/agent.toml" run >>"$dir/$name.log" 2>&1 &
    agent=$!
}

# Waits until the agent has read its own health a few times, and both sinks have all but the newest.
wait_delivered() {
    local name=$1 until=$((SECONDS + patience_seconds))
    until "$native" --config "$dir/$name/agent.toml" --json status 2>/dev/null | is_delivered; do
        [ $SECONDS -lt $until ] || fail "$name: nothing was delivered in $patience_seconds s"
        sleep 0.2
    done
}

is_delivered() {
    python3 -c 'import json, sys
status = json.load(sys.stdin)
sinks = status["sinks"]
uptime = status["uptime_s"]
sys.exit(not (uptime >= 3 and len(sinks) >= 2 and all(sink["lag_readings"] < 20 for sink in sinks)))' 2>/dev/null
}

stop() {
    kill "-$1" "$agent"
    { wait "$agent" && code=0 || code=$?; } 2>/dev/null
    agent=''
    [ "$1" = KILL ] || [ "$code" -eq 0 ] || fail "the agent ended with $code"
}

# What both say of a journal that no agent has open, and of the lakes that were made from it.
same_everywhere() {
    local name=$1 lake
    same "$name: every block, cursor and sealed batch verifies" --config "$dir/$name/agent.toml" journal verify
    same "$name: the folder holds the same" --config "$dir/$name/agent.toml" --json journal stat
    same "$name: the journal reads the same" --config "$dir/$name/agent.toml" journal export
    cp "$dir/native.out" "$dir/$name.ndjson"
    for lake in parquet ndjson; do
        same "$name: its lake ($lake) verifies" --config "$dir/$name/agent.toml" lake verify "$lake"
        same "$name: its lake ($lake) reads the same" --config "$dir/$name/agent.toml" lake get "$lake"
    done
}

# What the first export said, the second begins with.
continues() { head -c "$(stat -c %s "$1")" "$2" | cmp - "$1" || fail "$3"; claim "$3"; }

# 1: some lines of the capture are damaged, which is no emulator's doing.
commands_agree() {
    same "the profiles are the same" profiles
    same "a configuration is read the same" check "$dir/demo/tidegate.toml"
    same_with_code 1 "captured sentences are decoded the same" --json \
        probe --profile nmea-gps --input "$root/tests/data/nmea/signalk-gofree-merrimac.log"
    same_with_code 1 "captured numbers are decoded the same" --json \
        probe --profile aanderaa-optode-4831 --input "$root/tests/data/ooi/aanderaa_optode/20150330.dosta1.log"
}

trap on_exit EXIT

printf '# a journal that is begun by the native agent\n'
"$native" demo --seconds 6 --dir "$dir/demo" >"$dir/demo.log" 2>&1
configure shared
mv "$dir/demo/journal" "$dir/shared/journal"
"$native" --config "$dir/shared/agent.toml" journal export >"$dir/heard.ndjson"
same "the simulated instruments' journal reads the same" --config "$dir/shared/agent.toml" journal export
same "and so does their lake" --config "$dir/demo/tidegate.toml" lake get "$dir/demo/lake"

printf '# commands\n'
commands_agree

printf '# the foreign agent goes on with it, dies, and comes back\n'
start "$foreign" shared
wait_delivered shared
stop KILL
start "$foreign" shared
wait_delivered shared
stop TERM
same_everywhere shared
continues "$dir/heard.ndjson" "$dir/shared.ndjson" "nothing that was heard is changed"

printf '# the foreign agent and a broker that both want certificates\n'
configure secret
start_broker secret
start "$foreign" secret
wait_delivered secret
stop TERM
claim "what it read is delivered over TLS"

printf '# a journal that is begun by the foreign agent\n'
configure own
start "$foreign" own
wait_delivered own
stop KILL
same_everywhere own
mv "$dir/own.ndjson" "$dir/begun.ndjson"
start "$native" own
wait_delivered own
stop TERM
same_everywhere own
continues "$dir/begun.ndjson" "$dir/own.ndjson" "the native agent went on where the foreign one was killed"

printf '%d checks passed\n' $checks
