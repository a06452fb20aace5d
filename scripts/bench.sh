#!/usr/bin/env bash
# Measures Lode and its peers on the same workloads in one go, and prints one table.
set -euo pipefail
cd "$(dirname "$0")/.."
out=bench/results
mkdir -p "$out"

# Peers come from npm. isolated-vm builds against Node's own headers where it finds no prebuilt binary.
(cd bench/peers && npm_config_nodedir=${npm_config_nodedir:-/usr} npm ci --no-audit --no-fund --silent)

LODE_BENCH_OUT=$PWD/$out/lode.json cargo bench --locked -p lode-sandbox --bench workloads -- --noplot
cargo build --release --locked -p lode
LODE_BENCH_OUT=$PWD/$out/processes.json node bench/processes.mjs target/release/lode
node bench/peers/run.mjs --out "$out/peers.json"
node bench/table.mjs "$out"
