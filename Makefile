# Two commands do everything on a fresh Debian 12 with Rust: `make run` and `make test`.
SHELL := /bin/bash
CARGO ?= cargo
LODE := target/release/lode

.PHONY: run test lint bench fuzz test262 setup build js-test sdk-test queue-test chaos-test bench-http bench-queue soak api-fuzz deploy-check attack attack-test attack-soak

# A server with an example app, deployed anew whenever one of its files is saved.
APP ?= examples/bookings
run: setup build
	@echo "Try also, in another terminal:"
	@echo "  $(LODE) run examples/kinvey --hook orders/onPreSave --request examples/order.json"
	@echo "  $(LODE) init my-app && $(LODE) test my-app && $(LODE) dev my-app"
	@echo "  $(LODE) logs --app kid_dev --follow"
	@echo "  $(LODE) doctor"
	@echo
	$(LODE) dev $(APP)

setup:
	@scripts/setup.sh

# TARGETS: what to build. Tests' dependencies have features of their own, and with them a third of all crates a second
# build: `make test` goes on with what its tests have built.
TARGETS ?=
build:
	$(CARGO) build --release --locked --workspace $(TARGETS)

test: setup lint js-test
	$(CARGO) nextest run --release --locked --workspace
	$(CARGO) test --release --locked --workspace --doc
	$(MAKE) sdk-test queue-test chaos-test attack-test TARGETS='--bins --tests'

# Kinvey's own clients, an app for Kinvey, and hostile ones against `lode serve`, on both stores.
sdk-test: build
	cd tests/sdk && npm ci --no-audit --no-fund --silent
	node --test --test-concurrency=1 tests/sdk/*.test.mjs
	node --test tests/hooks/*.test.mjs
	node --test tests/api/*.test.mjs

# Many hosts, with a Redis of their own between them.
queue-test: build
	node --test --test-concurrency=1 tests/queue/*.test.mjs

# Hosts that die, are cut off and join while requests go on; as root, for its network namespaces.
chaos-test: build
	node --test tests/chaos/*.test.mjs

# All of docs/attacks.md over HTTP, into docs/attack-report.md and bench/results/attacks.json.
attack: build
	node tests/attack/attack.mjs --write

# Each attack once and a minute of them mixed, writing no report.
attack-test: build
	node --test tests/attack/*.test.mjs
	node tests/attack/attack.mjs
	node tests/attack/soak.mjs --minutes 1 --out target/attack-soak.json

# Attacks mixed at random for MINUTES, into bench/results/attack-soak.json.
MINUTES ?= 60
attack-soak: build
	node tests/attack/soak.mjs --minutes $(MINUTES)

# Saves with hooks beside Parse Server, an endpoint beside workerd and Deno.
bench-http:
	scripts/bench.sh saves endpoint

# Tasks through Redis and back, beside background-task; what Redis costs beside the embedded queue; a second worker.
bench-queue:
	scripts/bench.sh queue hosts

# An hour of nothing but hostile apps: what they leave in memory, descriptors and children must be nothing.
MINUTES ?= 60
soak: build
	$(LODE) bench load --app examples/kinvey --hostile 100 --concurrency 4 --duration $$(($(MINUTES) * 60))

# deploy/ by the tools that read it, as far as they are installed.
deploy-check:
	deploy/check.sh

# The admin API against its own description, by schemathesis.
api-fuzz: build
	tests/api/schemathesis.sh

js-test:
	node --test crates/guest/js/test/*.test.mjs
	node --test bench/capacity/*.test.mjs bench/lib/*.test.mjs bench/plots/*.test.mjs

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	$(CARGO) deny --locked check bans licenses sources

# Lode and its peers, all of it: bench/results/*.json and docs/benchmarks. BENCH_QUICK=1: only to see that it works.
bench: setup
	scripts/bench.sh

# Each target for FUZZ_SECONDS; needs a nightly toolchain.
FUZZ_SECONDS ?= 120
fuzz: setup
	scripts/fuzz.sh $(FUZZ_SECONDS)

# TEST262=DIR: a checkout of test262, whose sources are not part of this project.
test262: setup
	@test -n "$(TEST262)" || { echo "make test262 TEST262=DIR: the path of a test262 checkout"; exit 2; }
	$(CARGO) run --release --locked -p lode-test262 -- --suite "$(TEST262)" --jobs 2

# Known vulnerabilities of dependencies: needs the network, so it is a daily job and no part of `test`.
.PHONY: audit
audit: setup
	$(CARGO) deny --locked check advisories
	cd crates/guest/libraries && npm audit --audit-level=low
