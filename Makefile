# `make test` runs every test; `make ci` is what a submission must pass.
.PHONY: test kills test-model mutants fuzz fmt lint core docs static size bench ci

test:
	cargo test --all-features

# Kills servers at any moment, more often than `make test` does, and looks whether anything is lost
# that a client was shown. RUNWIRE_SEED=... repeats what a failure has printed.
KILLS = 1000

kills:
	RUNWIRE_KILLS=$(KILLS) cargo test --all-features --test kills -- --nocapture

# A conversation with a real language model, which it fetches once.
test-model:
	tests/model/setup.sh run cargo test --all-features --test real_model -- --ignored --nocapture

# Breaks the program on purpose in many small ways; every one must be caught by a test.
mutants:
	tests/mutants.sh

# Builds every fuzz target and runs each for FUZZ_SECONDS. What it finds lies in fuzz/artifacts.
FUZZ_SECONDS = 10
FUZZ_TARGETS = head body sse submit steer machine

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

# The core library stands on these packages and no others.
CORE_PACKAGES = crossbeam-channel getrandom httparse mio serde serde_json

core:
	cargo build --no-default-features
	@found=$$(cargo tree --no-default-features --edges normal --depth 1 --prefix none \
		| sed 1d | cut -d' ' -f1 | sort | xargs); \
	test "$$found" = "$(CORE_PACKAGES)" || { echo "the core depends on: $$found"; exit 1; }

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features

# Static binaries, in target/static (everything) and target/static-core (the core with its command
# line, for small hosts and so built for size, down to how much is inlined: its time is the kernel's
# anyway). Equal functions are folded and relocations packed where the linker is LLD. With getrandom's
# direct system call they need no /dev either. `TARGET=x86_64-unknown-linux-musl` builds with musl,
# where that target is installed.
TARGET ?= $(shell rustc -vV | sed -n 's/^host: //p')
STATIC_FLAGS = -C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom" $(FOLD_FLAGS)
ifeq ($(TARGET),x86_64-unknown-linux-gnu)
FOLD_FLAGS = -C link-arg=-Wl,--icf=all -C link-arg=-Wl,--pack-dyn-relocs=relr
endif
CORE_FLAGS = $(STATIC_FLAGS) -C llvm-args=-inline-threshold=12
CORE_CONFIG = $(foreach package,"*" crossbeam-channel httparse mio serde_json,\
	--config 'profile.release.package.$(package).opt-level="z"')
STATIC = target/static/$(TARGET)/release/runwire
STATIC_CORE = target/static-core/$(TARGET)/release/runwire
# The aim is 2097152; sessions, budgets and the store have taken 4 KiB more.
CORE_BYTES_MAX = 2105344
BYTES_MAX = 5242880

static:
	CARGO_PROFILE_RELEASE_OPT_LEVEL=z RUSTFLAGS='$(CORE_FLAGS)' cargo build --release \
		--bin runwire --target $(TARGET) --target-dir target/static-core \
		--no-default-features --features cli $(CORE_CONFIG)
	CARGO_PROFILE_RELEASE_OPT_LEVEL=2 RUSTFLAGS='$(STATIC_FLAGS)' cargo build --release \
		--bin runwire --target $(TARGET) --target-dir target/static
	@for binary in $(STATIC_CORE) $(STATIC); do \
		if readelf --program-headers $$binary | grep -q INTERP; then \
			echo "$$binary is not static: it asks for a loader"; exit 1; \
		fi; \
		echo "$$binary: $$(stat -c %s $$binary) bytes, static"; \
	done

# Fails where a static binary has outgrown its bound.
size: static
	@test $$(stat -c %s $(STATIC_CORE)) -le $(CORE_BYTES_MAX) || \
		{ echo "$(STATIC_CORE) is over $(CORE_BYTES_MAX) bytes"; exit 1; }
	@test $$(stat -c %s $(STATIC)) -le $(BYTES_MAX) || \
		{ echo "$(STATIC) is over $(BYTES_MAX) bytes"; exit 1; }

# Figures of this server, with its runs in memory and in a file, and of an axum server beside it:
# docs/performance.md tells how to read them. ROUNDS=3 repeats, BENCH_ARGS='--only post' narrows.
ROUNDS ?= 1
BENCH_ARGS ?=
BENCH_SERVE = --key only-for-the-benchmark --workspace target --state {folder}

bench: static
	cargo build --release --example bench_agent
	cargo build --release --locked --manifest-path benches/Cargo.toml --target-dir target/benches
	target/benches/release/runwire-load --rounds $(ROUNDS) \
		--agent target/release/examples/bench_agent \
		--durable 'target/release/examples/bench_agent --store sqlite:{folder}/runs.db' \
		--axum target/benches/release/axum-runs --core $(STATIC_CORE) --everything $(STATIC) \
		--serve '$(STATIC) serve $(BENCH_SERVE) --store memory --port' \
		--serve-durable '$(STATIC) serve $(BENCH_SERVE) --store sqlite --port' $(BENCH_ARGS)

ci: fmt lint test core docs size fuzz test-model
