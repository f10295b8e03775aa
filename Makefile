# `make test` runs every test; `make ci` is what a submission must pass.
.PHONY: test kills soak soak-short test-model test-browser test-clients test-deploy test-openapi \
	test-shells page openapi mutants fuzz fmt lint core docs static size bench-build bench figures \
	figures-check ci

test:
	cargo test --all-features

# Kills servers at any moment, more often than `make test` does, and looks whether anything is lost
# that a client was shown. RUNWIRE_SEED=... repeats what a failure has printed.
KILLS = 1000

kills:
	RUNWIRE_KILLS=$(KILLS) cargo test --all-features --test kills -- --nocapture

# Everything at once against the program in its release build, for so long, through stops and kills:
# nothing may be left over, and nothing lost. SEED=... draws what a failure has printed.
MINUTES = 10
SEED =

soak:
	RUNWIRE_MINUTES=$(MINUTES) RUNWIRE_SEED=$(SEED) \
		cargo test --release --all-features --test soak -- --ignored --nocapture

soak-short:
	$(MAKE) soak MINUTES=0.5 SEED=1
	$(MAKE) soak MINUTES=0.5

# A conversation with a real language model, which it fetches once.
test-model:
	tests/model/setup.sh run cargo test --all-features --test real_model -- --ignored --nocapture

# The page at `/` in a real Chromium, which it installs where there is none. Screenshots of what was
# seen are left in target/browser.
test-browser:
	tests/browser/setup.sh
	cargo build
	python3 -B tests/browser/test_page.py

# The examples of clients, each in its own language, against a server that is cut off and killed; the
# one for browsers in a real Chromium, too.
test-clients:
	tests/clients/setup.sh
	tests/browser/setup.sh
	cargo build
	python3 -B tests/clients/test_clients.py
	python3 -B tests/clients/test_in_browser.py

# The static binary as docs/deploy has it run: behind nginx and Caddy, which it installs where they
# are not there, alone in a root folder of its own, in the image that the Dockerfile builds (where
# there is buildah), and what systemd says to the unit.
test-deploy: static
	tests/deploy/setup.sh
	RUNWIRE_BINARY=$(abspath $(STATIC)) python3 -B tests/deploy/test_deploy.py

# What the shells make of the completions, and groff of the manual page: `make test` leaves out those
# that are not installed, this installs them.
test-shells:
	tests/shells/setup.sh
	CI=true cargo test --all-features --test cli_completions

# Writes the page as the program holds it, with its digests, after the page was changed.
page:
	RUNWIRE_BLESS=1 cargo test --test page what_the_program_holds

# Requests that the description at `/openapi.json` allows, and others that it does not, to a real
# server: schemathesis, which it installs into target/, finds no answer that is not described.
test-openapi:
	cargo build
	tests/openapi/setup.sh tests/openapi/run.sh

# Writes the description as the program holds it, after openapi.json was changed.
openapi:
	RUNWIRE_BLESS=1 cargo test --test openapi the_program_holds

# Breaks the program on purpose in many small ways; every one must be caught by a test.
mutants:
	tests/mutants.sh

# Builds every fuzz target and runs each for FUZZ_SECONDS. What it finds lies in fuzz/artifacts.
FUZZ_SECONDS = 10
FUZZ_TARGETS = head body sse submit steer approval machine

fuzz:
	@rustup run nightly rustc --version >/dev/null 2>&1 || { \
		echo "fuzzing needs a nightly toolchain: rustup toolchain install nightly"; exit 1; }
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	cargo +nightly fuzz build
	for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus/$$target && \
		cargo +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -print_final_stats=0 -verbosity=0 || exit 1; \
	done

fmt:
	cargo fmt --check
	cargo fmt --all --check --manifest-path benches/Cargo.toml

lint:
	cargo clippy --all-targets --all-features -- -D warnings
	cargo clippy --all-targets --no-default-features -- -D warnings
	cargo clippy --all-targets --no-default-features --features cli -- -D warnings
	cargo clippy --all-targets --locked --manifest-path benches/Cargo.toml \
		--target-dir target/benches -- -D warnings

# The core library stands on these packages and no others.
CORE_PACKAGES = crossbeam-channel getrandom httparse mio serde serde_json

core:
	cargo build --no-default-features
	@found=$$(cargo tree --no-default-features --edges normal --depth 1 --prefix none \
		| sed 1d | cut -d' ' -f1 | sort | xargs); \
	test "$$found" = "$(CORE_PACKAGES)" || { echo "the core depends on: $$found"; exit 1; }

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features

# Static binaries. `everything` is what ships. `core` is the library on its five packages in the
# smallest program that embeds it, `small` the same with the command line, for small hosts: both
# built for size, down to how much is inlined; their time is the kernel's anyway. Where the linker is
# LLD, equal functions are folded, relocations packed, and what idles put apart (src/idle.ld).
# What of glibc lies idle in them is left out (src/glibc.c). With getrandom's direct system call they
# need no /dev either. `TARGET=x86_64-unknown-linux-musl` builds with musl, where that target is
# installed.
TARGET ?= $(shell rustc -vV | sed -n 's/^host: //p')
STATIC_FLAGS = -C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom" $(FOLD_FLAGS)
ifeq ($(TARGET),x86_64-unknown-linux-gnu)
FOLD_FLAGS = -C link-arg=-Wl,--icf=all -C link-arg=-Wl,--pack-dyn-relocs=relr \
	-C link-arg=-Wl,-T,$(CURDIR)/src/idle.ld \
	-L native=$(CURDIR)/target/glibc -l static:-bundle=glibc_parts
PARTS = target/glibc/libglibc_parts.a
endif
SMALL_FLAGS = $(STATIC_FLAGS) -C llvm-args=-inline-threshold=12
SMALL_CONFIG = $(foreach package,"*" crossbeam-channel httparse mio serde_json,\
	--config 'profile.release.package.$(package).opt-level="z"')
BUILD_SMALL = CARGO_PROFILE_RELEASE_OPT_LEVEL=z RUSTFLAGS='$(SMALL_FLAGS)' cargo build --release \
	--target $(TARGET) --target-dir target/static-small --no-default-features $(SMALL_CONFIG)
STATIC_CORE = target/static-small/$(TARGET)/release/examples/embed
STATIC_SMALL = target/static-small/$(TARGET)/release/runwire
STATIC = target/static/$(TARGET)/release/runwire

target/glibc/libglibc_parts.a: src/glibc.c
	mkdir -p $(@D)
	$(CC) -std=gnu11 -Wall -Wextra -Os -fPIC -fno-builtin -ffunction-sections \
		-fno-asynchronous-unwind-tables -c $< -o $(@D)/glibc.o
	$(AR) crs $@ $(@D)/glibc.o

static: $(PARTS)
	$(BUILD_SMALL) --example embed
	$(BUILD_SMALL) --bin runwire --features cli
	RUSTFLAGS='$(STATIC_FLAGS)' cargo build --release --bin runwire \
		--target $(TARGET) --target-dir target/static
	@for binary in $(STATIC_CORE) $(STATIC_SMALL) $(STATIC); do \
		if readelf --program-headers $$binary | grep -q INTERP; then \
			echo "$$binary is not static: it asks for a loader"; exit 1; \
		fi; \
		echo "$$binary: $$(stat -c %s $$binary) bytes, static"; \
	done

# Fails where a static binary has outgrown its bound: 2, 2.5 and 5 MiB.
BOUNDS = $(STATIC_CORE):2097152 $(STATIC_SMALL):2621440 $(STATIC):5242880

size: static
	@for bound in $(BOUNDS); do \
		test $$(stat -c %s $${bound%:*}) -le $${bound#*:} || \
			{ echo "$${bound%:*} is over $${bound#*:} bytes"; exit 1; }; \
	done

# Figures of this server, with its runs in memory and in a file, beside a program that does little but
# send, which none can beat, and an axum server: docs/performance.md tells how to read them. ROUNDS=3
# takes medians, BENCH_ARGS='--only post' narrows.
ROUNDS ?= 1
BENCH_ARGS ?=
BENCH = target/benches/release
AGENT = target/release/examples/bench_agent
BENCH_SERVE = $(STATIC) serve --key {key} --workspace target --state {folder}
BENCH_TOOLS = --max-runs 128 --base-url http://{model}/v1 --model bench --port
LOAD = $(BENCH)/runwire-load --agent $(AGENT) \
	--core $(STATIC_CORE) --small $(STATIC_SMALL) --everything $(STATIC) \
	--serve '$(BENCH_SERVE) --store memory --port'
LOAD_ALL = $(LOAD) --rounds $(ROUNDS) --durable '$(AGENT) --store sqlite:{folder}/runs.db' \
	--limit $(BENCH)/limit --axum $(BENCH)/axum-runs --model $(BENCH)/model \
	--serve-durable '$(BENCH_SERVE) --store sqlite --port' \
	--tools '$(BENCH_SERVE) --store memory $(BENCH_TOOLS)' \
	--tools-durable '$(BENCH_SERVE) --store sqlite $(BENCH_TOOLS)'

bench-build: static
	cargo build --release --example bench_agent
	cargo build --release --locked --manifest-path benches/Cargo.toml --target-dir target/benches

bench: bench-build
	$(LOAD_ALL) $(BENCH_ARGS)

# The same, and docs/figures.json with it: the record every release has. Its `reasons` stay.
figures: bench-build
	$(LOAD_ALL) $(BENCH_ARGS) --record docs/figures.json

# Fails where a static binary, or memory a stream, a run or an idle server, is more than 5 % over
# docs/figures.json.
figures-check: size bench-build
	cargo test --locked --manifest-path benches/Cargo.toml --target-dir target/benches
	$(LOAD) --check docs/figures.json

ci: fmt lint test soak-short test-clients test-openapi test-shells core docs size figures-check \
	test-deploy fuzz test-model test-browser
