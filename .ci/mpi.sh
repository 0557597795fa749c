#!/usr/bin/env bash
# Brings what the cargo feature `mpi` is built and tested with, on Debian and its kin: Open MPI and
# libclang. Does nothing where they are. With --there it only says, by its status, whether they are.
set -euo pipefail

libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] ||
        compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null ||
        compgen -G '/usr/lib*/*/libclang*.so*' >/dev/null ||
        compgen -G '/usr/lib*/libclang*.so*' >/dev/null
}

there() {
    command -v mpicc >/dev/null && command -v mpirun >/dev/null && libclang
}

if there; then exit 0; fi
if [ "${1:-}" = --there ]; then exit 1; fi

if ! command -v apt-get >/dev/null; then
    echo "the feature mpi needs an MPI library (mpicc, mpirun) and libclang; this system has no apt-get:" \
        "install them with its own packages" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "the feature mpi needs an MPI library and libclang; as root:" \
        "apt-get install libopenmpi-dev openmpi-bin libclang-dev" >&2
    exit 1
fi
echo "fetching Open MPI and libclang with apt (65 MB to fetch, 450 MB on the disk)"
export DEBIAN_FRONTEND=noninteractive
# Without a network this is to end soon.
timeout 120 apt-get update -qq || true
timeout 300 apt-get install -y -qq --no-install-recommends libopenmpi-dev openmpi-bin libclang-dev >/dev/null
