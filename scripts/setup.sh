#!/usr/bin/env bash
# Installs what the build and the tests need and this machine lacks. Debian and Ubuntu only; elsewhere it
# says what to install.
set -euo pipefail

missing=()
command -v clang >/dev/null || missing+=(clang)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v cc >/dev/null || missing+=(gcc)
# The store's tests start a server of their own. Debian keeps its programs outside of PATH.
command -v initdb >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || missing+=(postgresql)
# The queue's tests start a Redis of their own, and hosts that are network namespaces.
command -v redis-server >/dev/null || missing+=(redis-server)
command -v ip >/dev/null || missing+=(iproute2)
command -v openssl >/dev/null || missing+=(openssl)

if ((${#missing[@]})); then
  if command -v apt-get >/dev/null; then
    sudo=()
    ((EUID == 0)) || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
  else
    echo "error: missing: ${missing[*]}. Install them with this system's packages" \
      "(clang 14 or later that can target wasm32; Node.js 18 or later, with npm; PostgreSQL 15 or later, Redis 7 or later, iproute2 and openssl for the tests)." >&2
    exit 1
  fi
fi

if ! command -v cargo >/dev/null; then
  echo "error: cargo is missing: install Rust with rustup (the version is in rust-toolchain.toml)." >&2
  exit 1
fi
cargo nextest --version >/dev/null 2>&1 || cargo install --locked cargo-nextest
cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
