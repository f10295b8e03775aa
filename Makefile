# `make test` runs every test; `make ci` is what a submission must pass.
.PHONY: test test-model ci fmt lint core docs

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

ci: fmt lint test core docs
