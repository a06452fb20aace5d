#!/usr/bin/env bash
# Whether the users of users.acl may do what they have to, and nothing else: a Redis of its own, the queue's own
# scripts. Ends with 1 if something is refused that should not be.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
scripts=${1:-$here/../../crates/queue/src/lua}
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
run() { lode EVALSHA "${sha[$1]}" "${@:2}"; }

declare -A sha
for file in "$scripts"/*.lua; do sha[$(basename "$file" .lua)]=$(lode SCRIPT LOAD "$(cat "$file")"); done
for lane in 0 1; do lode XGROUP CREATE "{lode}:tasks:$lane" workers 0 MKSTREAM >/dev/null; done
late=$(($(date +%s) * 1000 + 60000))
of_host=('{lode}:hosts' '{lode}:load')
lanes=('{lode}:tasks:0' '{lode}:tasks:1')
put() { run enqueue 4 '{lode}:tasks:0' '{lode}:app:k' '{lode}:rate:k' '{lode}:load' a "$1" k $late text 4 100 10 9 999 | tail -1; }
lode TIME >/dev/null
for host in 'w worker' 'a api'; do
  name=${host% *}
  run heartbeat 7 "{lode}:lease:$name" "${of_host[@]}" '{lode}:reaper' "{lode}:replies:$name" "${lanes[@]}" "$name" "${host#* } {}" 3000 '{lode}:lease:' >/dev/null
done
id=$(put 1)
[[ $(run withdraw 3 '{lode}:tasks:0' '{lode}:app:k' '{lode}:load' "$id" a:1 -4) == 1 ]]
id=$(put 9)
lode XREADGROUP GROUP workers w COUNT 1 BLOCK 10 STREAMS "${lanes[@]}" '>' '>' >/dev/null
[[ $(run hand_back 1 '{lode}:tasks:0' "$id" a 9 k $late text) == 1 ]]
id=$(lode XRANGE '{lode}:tasks:0' - + COUNT 1 | head -1)
[[ $(run withdraw 3 '{lode}:tasks:0' '{lode}:app:k' '{lode}:load' "$id" a:9 -4) == 1 ]]
put 2 >/dev/null
id=$(put 3)
lode XREADGROUP GROUP workers w COUNT 2 BLOCK 10 STREAMS "${lanes[@]}" '>' '>' >/dev/null
[[ $(run settle 4 '{lode}:tasks:0' '{lode}:app:k' '{lode}:load' '{lode}:replies:a' "$id" a:3 -4 3 "done" x) == 1 ]]
lode HGETALL '{lode}:hosts' >/dev/null
lode HGET '{lode}:load' bytes >/dev/null
lode XLEN '{lode}:tasks:0' >/dev/null
lode XPENDING '{lode}:tasks:0' workers >/dev/null
lode XRANGE '{lode}:tasks:0' - + COUNT 1 >/dev/null
lode PTTL '{lode}:lease:w' >/dev/null
lode XACK '{lode}:tasks:0' workers 1-1 >/dev/null
lode DEL '{lode}:lease:w' >/dev/null
[[ $(run reap 6 '{lode}:lease:w' "${of_host[@]}" '{lode}:replies:w' "${lanes[@]}" w '{lode}:replies:' '{lode}:app:') == 1 ]]
run announce 1 '{lode}:hosts' k '{lode}:replies:' >/dev/null
[[ $(lode XREAD COUNT 9 BLOCK 10 STREAMS '{lode}:replies:a' 0-0) == *lost* ]]
lode XDEL '{lode}:replies:a' 1-1 >/dev/null

refused lode CHANGE-ME GET other
refused lode CHANGE-ME FLUSHALL
refused lode CHANGE-ME CONFIG GET '*'
refused lode CHANGE-ME KEYS '*'
refused lode CHANGE-ME EVALSHA "${sha[announce]}" 1 other k '{lode}:replies:'
as keda CHANGE-ME-TOO XLEN '{lode}:tasks:0' | grep -qx 0
as keda CHANGE-ME-TOO XINFO GROUPS '{lode}:tasks:0' | grep -q lag
refused keda CHANGE-ME-TOO XADD '{lode}:tasks:0' '*' a b
refused keda CHANGE-ME-TOO HGETALL '{lode}:hosts'
[[ $(redis-cli -s "$socket" ping 2>&1) == *NOAUTH* ]]
echo "the queue's scripts run as the user lode; what they do not need is refused"
