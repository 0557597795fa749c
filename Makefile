# Two commands do everything on a fresh machine: `make demo` and `make test`.

.PHONY: help setup build demo install dist test kernel bench lint clean

# The feature mpi is checked and tested where an MPI library and libclang are; .ci/mpi.sh brings them.
FEATURES = $(shell .ci/mpi.sh --there && echo --features mpi)

help: ## Say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: ## Bring libtorch 2.11.0 into .libtorch (560 MB, once)
	@.ci/libtorch.sh

# With PROFILE=dev, build and demo take what the tests were built with.
PROFILE = release
DEV = $(filter dev,$(PROFILE))

build: setup ## Build the release binary, target/release/shoal
	cargo build --profile $(PROFILE) $(if $(DEV),$(FEATURES))

demo: build ## Set up, build, and run scenarios/quickstart.ron
	target/$(if $(DEV),debug,$(PROFILE))/shoal run scenarios/quickstart.ron

install: setup ## Install shoal into ~/.cargo/bin, fully optimised, to be run from any folder
	SHOAL_COMMIT=$$(git describe --always --dirty) cargo install --path . --locked --profile dist

dist: setup ## Pack target/shoal-VERSION-MACHINE.tar.gz, for machines without Rust
	@.ci/dist.sh

test: setup ## Set up and run every test
	cargo test $(FEATURES)
	cargo test --no-default-features --lib

kernel: ## Test the kernel, network, faults, availability, selection and graphs, without libtorch
	cargo test --no-default-features

bench: setup ## Measure speed and memory, each against its floor (under ten minutes)
	cargo bench

lint: setup ## Formatting, clippy and documentation, warnings denied
	cargo fmt --check
	cargo clippy --all-targets $(FEATURES) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps $(FEATURES)

clean: ## Remove what was built, and the runs
	rm -rf target runs
