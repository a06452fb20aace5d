#!/usr/bin/env bash
# Measures Lode and its peers on the same workloads in one go, and prints one table.
set -euo pipefail
cd "$(dirname "$0")/.."
out=bench/results
mkdir -p "$out"

# Peers come from npm, once for every change of the lock file: isolated-vm is compiled, which takes minutes.
# It builds against Node's own headers where it finds no prebuilt binary.
lock=bench/peers/package-lock.json
installed=bench/peers/node_modules/.installed-lock.json
if ! cmp -s "$lock" "$installed"; then
  (cd bench/peers && npm_config_nodedir=${npm_config_nodedir:-/usr} npm ci --no-audit --no-fund --silent)
  cp "$lock" "$installed"
fi

# `--workspace`: the dependencies as `make build` and `make test` have them, not a second set.
LODE_BENCH_OUT=$PWD/$out/lode.json \
  cargo bench --locked --workspace --bench workloads -- --noplot
cargo build --release --locked --workspace
LODE_BENCH_OUT=$PWD/$out/processes.json node bench/processes.mjs target/release/lode
node bench/peers/run.mjs --out "$out/peers.json"
node bench/table.mjs "$out"
