#!/usr/bin/env bash
# Measures Lode and its peers in one go, each comparison into a file of bench/results, and makes the page and the plots
# of docs/benchmarks. `scripts/bench.sh NAME…` makes only some; BENCH_QUICK=1 only shows that all of it works.
# What fails ends by itself: the others go on, and the exit code says that something did.
set -uo pipefail
cd "$(dirname "$0")/.."
quick=0
[[ ${BENCH_QUICK:-0} == 0 ]] || quick=1
out=$PWD/bench/results
# Figures that say little must not take the place of those that do.
if ((quick)); then
  out=$PWD/target/bench-quick
  export BENCH_PAGE=$out/page
fi
mkdir -p "$out"
export BENCH_RESULTS=$out BENCH_QUICK=$quick
only=("$@")
failed=()
skipped=()
# The program is named by what reads it, so that a comparison can be repeated with another one.
lode=${LODE_BIN:-target/release/lode}

# Peers come from npm, once for every change of the lock file: isolated-vm is compiled, which takes minutes.
# It builds against Node's own headers where it finds no prebuilt binary.
install() {
  local lock=bench/$1/package-lock.json installed=bench/$1/node_modules/.installed-lock.json
  cmp -s "$lock" "$installed" && return
  (cd "bench/$1" && npm_config_nodedir=${npm_config_nodedir:-/usr} npm ci --no-audit --no-fund --silent) && cp "$lock" "$installed"
}

# step NAME FOLDERS COMMAND…: runs it when it is asked for and its folders' packages are there.
step() {
  local name=$1 folders=$2 folder began=$SECONDS
  shift 2
  if ((${#only[@]})) && [[ " ${only[*]} " != *" $name "* ]]; then return; fi
  for folder in $folders; do
    if ! install "$folder"; then
      echo "skipped $name: the packages of bench/$folder cannot be installed" >&2
      skipped+=("$name")
      return
    fi
  done
  echo "== $name" >&2
  "$@" || failed+=("$name")
  echo "== $name took $((SECONDS - began)) s" >&2
}

workloads() {
  local more=()
  ((quick)) && more=(--warm-up-time 0.1 --measurement-time 0.2 --sample-size 10)
  # `--workspace`: the dependencies as `make build` and `make test` have them, not a second set.
  local before
  before=$(</proc/loadavg)
  LODE_BENCH_OUT=$out/lode.json cargo bench --locked --workspace --bench workloads -- --noplot "${more[@]}" &&
    node bench/lib/annotate.mjs "$out/lode.json" "$before"
}

two_processes() { LODE_BENCH_OUT=$out/processes.json node bench/processes.mjs "$lode"; }

[[ -n ${LODE_BIN:-} ]] || cargo build --release --locked --workspace || exit 1

# presave-lodash takes its library from the peers' folder.
step workloads peers workloads
step processes "" two_processes
step peers peers node bench/peers/run.mjs --out "$out/peers.json"
step sandboxes "" node bench/table.mjs "$out"
step saves http node bench/http/saves.mjs
step endpoint http node bench/http/endpoint.mjs
step queue queue node bench/queue/queue.mjs
step hosts http node bench/queue/hosts.mjs
step capacity http node bench/capacity/check.mjs
step memory "http peers" node bench/scale/memory.mjs
step coldstart "http peers" node bench/scale/coldstart.mjs
step hostile "http peers" node bench/scale/hostile.mjs
step growth http node bench/scale/growth.mjs
step plots plots node bench/plots/render.mjs

((${#skipped[@]} == 0)) || echo "skipped: ${skipped[*]}" >&2
if ((${#failed[@]})); then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
