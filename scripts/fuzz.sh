#!/usr/bin/env bash
# Runs every fuzz target for the given number of seconds. Finds are kept in fuzz/artifacts/, what was
# learned in fuzz/corpus/.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
seconds=${1:-120}
if ! cargo +nightly --version >/dev/null 2>&1; then
  echo "error: fuzzing needs a nightly toolchain: rustup toolchain install nightly" >&2
  exit 1
fi
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
targets=$(cargo +nightly fuzz list)
cargo +nightly fuzz build
for target in $targets; do
  echo "== $target, $seconds s =="
  dictionary=()
  if [[ -f dictionaries/$target.dict ]]; then dictionary=(-dict="dictionaries/$target.dict"); fi
  # A slot reserves 4 GiB of addresses: what is bounded is what is resident. An input that takes longer
  # than its limits allow, the sanitizer's slowness included, is a find too. Leaks are not looked for: the
  # engine keeps slots and instances for the next run, so what is allocated and freed never balances, and
  # libFuzzer would search all memory after nearly every run (4 runs a second instead of 100).
  cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -rss_limit_mb=8192 -timeout=60 \
    -detect_leaks=0 -print_final_stats=1 "${dictionary[@]}"
done
