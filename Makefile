# `make test` runs every test; `make ci` is what a submission must pass.
.PHONY: test ci fmt lint core docs

test:
	cargo test --all-features

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
