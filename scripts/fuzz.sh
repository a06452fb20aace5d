#!/usr/bin/env bash
# Runs every fuzz target for the given number of seconds.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
seconds=${1:-120}
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
for target in $(cargo +nightly fuzz list); do
  cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -rss_limit_mb=8192
done
