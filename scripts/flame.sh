#!/usr/bin/env bash
# A flame graph of all that saves with two hooks take, over HTTP, on this machine: server, children, store, load
# generator, kernel. Usage: scripts/flame.sh OUT.svg TITLE (LODE_BIN: another program than the built one).
# Needs perf, and inferno (cargo install inferno); run as root. Code of the sandbox is one frame, [guest]: a sealed
# child cannot tell perf its names. `LODE_PERF_MAP=1 lode bench load` of a build with `--features
# lode-sandbox/profiling` names them.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1 title=$2
data=$(mktemp)
results=$(mktemp -d)
trap 'rm -rf "$data" "$results"' EXIT
BENCH_RESULTS=$results node bench/http/saves.mjs --only SQLite --rounds 1 >/dev/null 2>&1 &
# After its start and its warm-up, within the five seconds at 64 connections.
sleep 5
perf record -o "$data" -a -F 299 -e cpu-clock --call-graph dwarf,8192 -- sleep 3 >/dev/null 2>&1
wait
perf script -i "$data" --no-inline 2>/dev/null | inferno-collapse-perf |
  sed -E 's/^(lode[0-9a-z]*|memfd:sealed-[^;]*);/child;/; /^child;/s/\[JIT\] tid [0-9]+|\[perf-[0-9]+\.map\]/[guest]/g' |
  grep -v '^swapper' | inferno-flamegraph --title "$title" --minwidth 0.3 >"$out"
