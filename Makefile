# Two commands do everything on a fresh Debian 12 with Rust: `make run` and `make test`.
SHELL := /bin/bash
CARGO ?= cargo
LODE := target/release/lode

.PHONY: run test lint bench fuzz test262 setup build js-test

run: setup build
	@echo; echo "== a Kinvey hook on a real order =="
	$(LODE) run examples/kinvey --hook orders/onPreSave --request examples/order.json
	@echo; echo "== a modern hook in TypeScript, 1,000 fresh sandboxes =="
	$(LODE) run examples/modern --hook onPreSave --request examples/order.json --repeat 1000
	@echo; echo "Try next:"
	@echo "  $(LODE) run examples/kinvey --hook loop || echo exit \$$?        # ended by its CPU limit"
	@echo "  $(LODE) run examples/modern --hook onPreSave --request examples/order.json --json"
	@echo "  $(LODE) run examples/kinvey --hook quote --record /tmp/quote.json && $(LODE) run examples/kinvey --replay /tmp/quote.json"
	@echo "  $(LODE) doctor"

setup:
	@scripts/setup.sh

build:
	$(CARGO) build --release --locked --workspace

test: setup lint js-test
	$(CARGO) nextest run --release --locked --workspace
	$(CARGO) test --release --locked --workspace --doc

js-test:
	node --test crates/guest/js/test/*.test.mjs

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	$(CARGO) deny --locked check bans licenses sources

# Every figure of bench/README.md, into bench/results/*.json.
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
