#!/usr/bin/env bash
# Runs the unit tests of all modules with unsafe code under a checker of memory. No part of .ci/run: the
# tests run some fifty times more slowly, and the second way builds everything anew.
#
#   .ci/sanitize.sh            valgrind's memcheck, on the tests as they are built anyway
#   .ci/sanitize.sh address    AddressSanitizer, in target/address
#
# The first needs valgrind (apt-get install valgrind). The second needs nothing but the stable toolchain,
# which has the sanitizer's library; RUSTC_BOOTSTRAP lets it take the unstable flag. libtorch itself is
# compiled without it: what it does with its own memory is seen where it allocates, copies and frees.
# (Miri cannot run code that calls libtorch.)
set -euo pipefail
cd "$(dirname "$0")/.."

# Every module with unsafe code, by the names of its tests; those that only train are left out.
tests=(
    model::views model::mask model::spill model::buffer model::params model::digest model::elementwise
    learn::data learn::dense learn::perceptron::lines learn::stacked::network
    learn::tape::tests::a_tape_of_an_empty_batch learn::tape::tests::a_second_handle
    learn::tape::tests::the_tape_gives_the_scores
    learn::train::tests::the_loss_of_no_samples
    learn::train::tests::logistic_regression
    learn::host defend::distances snapshot run::lock run::ranks::lent
    run::ranks::frame federation::gossip::mix
)
# A few random cases each are enough here.
export PROPTEST_CASES=${PROPTEST_CASES:-6} OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

case "${1:-memcheck}" in
    memcheck)
        command -v valgrind >/dev/null || {
            echo "valgrind is needed: apt-get install valgrind, or try $0 address" >&2
            exit 1
        }
        binary=$(cargo test --lib --no-run --message-format=json 2>/dev/null |
            sed -n 's/.*"profile":{[^}]*"test":true}.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
        [ -x "$binary" ] || { echo "the tests cannot be built: see cargo test --lib --no-run" >&2; exit 1; }
        # Leaks are not looked for: libtorch keeps what it has registered, and a frame that MPI still reads
        # is leaked on purpose.
        valgrind --quiet --error-exitcode=99 --leak-check=no --fair-sched=yes \
            "$binary" --test-threads=1 "${tests[@]}"
        ;;
    address)
        export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=target/address
        export ASAN_OPTIONS=detect_leaks=0
        cargo test --target "$(rustc -vV | sed -n 's/^host: //p')" --lib -- --test-threads=1 "${tests[@]}"
        ;;
    *)
        sed -n '2,11p' "$0" >&2
        exit 1
        ;;
esac
