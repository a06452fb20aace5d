#!/usr/bin/env bash
# Whether what the users of users.acl do not need is refused to them, in a Redis of its own. That they may do all that
# the queue does is tested by the queue's own tests, which run as these users (crates/queue/tests/redis).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
socket=$folder/redis.sock
redis-server --port 0 --unixsocket "$socket" --dir "$folder" --save "" --maxmemory 64mb \
  --maxmemory-policy noeviction --aclfile "$here/users.acl" >"$folder/log" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null; rm -rf "$folder"' EXIT
for _ in $(seq 50); do [[ -S $socket ]] && break; sleep 0.1; done
[[ -S $socket ]] || { cat "$folder/log"; exit 1; }

as() { redis-cli -s "$socket" --user "$1" --pass "$2" --no-auth-warning "${@:3}" 2>&1; }
lode() {
  local answer
  answer=$(as lode CHANGE-ME "$@")
  if [[ $answer == *NOPERM* || $answer == *ERR* || $answer == *permission* ]]; then
    echo "lode: $1: $answer" >&2
    exit 1
  fi
  echo "$answer"
}
refused() {
  local answer
  answer=$(as "$@")
  [[ $answer == *NOPERM* || $answer == *"can't run this command"* || $answer == *permission* ]] ||
    { echo "not refused: ${*:1:1} ${*:3}: $answer" >&2; exit 1; }
}

lode SET '{lode}:lease:w' '' PX 60000 >/dev/null
lode XGROUP CREATE '{lode}:tasks:0' workers 0 MKSTREAM >/dev/null
script=$(lode SCRIPT LOAD "return redis.call('GET', KEYS[1])")
lode EVALSHA "$script" 1 '{lode}:lease:w' >/dev/null
lode PUBLISH '{lode}:replies:w' x >/dev/null

refused lode CHANGE-ME GET other
refused lode CHANGE-ME PUBLISH other x
refused lode CHANGE-ME SUBSCRIBE other
refused keda CHANGE-ME-TOO SUBSCRIBE '{lode}:replies:w'
refused lode CHANGE-ME FLUSHALL
refused lode CHANGE-ME CONFIG GET '*'
refused lode CHANGE-ME KEYS '*'
refused lode CHANGE-ME EVALSHA "$script" 1 other
as keda CHANGE-ME-TOO XLEN '{lode}:tasks:0' | grep -qx 0
as keda CHANGE-ME-TOO XINFO GROUPS '{lode}:tasks:0' | grep -q lag
refused keda CHANGE-ME-TOO XADD '{lode}:tasks:0' '*' a b
refused keda CHANGE-ME-TOO HGETALL '{lode}:hosts'
[[ $(redis-cli -s "$socket" ping 2>&1) == *NOAUTH* ]]
echo "what the users do not need is refused to them"
