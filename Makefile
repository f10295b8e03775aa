# `make test` runs every test; `make ci` is what a submission must pass.
FUZZ_SECONDS = 10
FUZZ_TARGETS = head body sse submit machine

.PHONY: test test-model ci fmt lint core docs fuzz mutants

test:
	cargo test --all-features

# A conversation with a real language model, which it fetches once.
test-model:
	tests/model/setup.sh run cargo test --all-features --test real_model -- --ignored --nocapture

fmt:
	cargo fmt --check

lint:
	cargo clippy --all-targets --all-features -- -D warnings
	cargo clippy --all-targets --no-default-features -- -D warnings

core:
	cargo build --no-default-features

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features

# Builds every fuzz target and runs each for FUZZ_SECONDS. What it finds lies in fuzz/artifacts.
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

# Breaks the program on purpose in many small ways; every one must be caught by a test.
mutants:
	tests/mutants.sh

ci: fmt lint test core docs fuzz
