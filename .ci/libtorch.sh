#!/usr/bin/env bash
# Brings libtorch 2.11.0 to .libtorch/torch, where .cargo/config.toml looks for it.
#
# In this order: a LIBTORCH of your own, what an earlier run brought, a PyTorch that python3 has,
# and last a download from PyPI into .libtorch (ignored by git): the wheel `torch` (530 MB) and the
# two small wheels it needs to load, `nvidia-cuda-runtime` and `nvidia-cuda-cupti` (30 MB), without
# their other dependencies. 1.2 GB on disk. No GPU is needed.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=2.11.0
home=.libtorch
place=$home/torch

fail() {
    echo "libtorch: $*" >&2
    exit 1
}

# The version of a libtorch folder: from PyTorch's version.py, or from a zip's build-version.
version_of() {
    if [ -f "$1/version.py" ]; then
        sed -n "s/^__version__ = '\([^']*\)'.*/\1/p" "$1/version.py" | head -n 1
    elif [ -f "$1/build-version" ]; then
        head -n 1 "$1/build-version"
    fi
}

is_wanted() {
    case "$(version_of "$1")" in
        "$wanted" | "$wanted"+*) [ -f "$1/lib/libtorch_cpu.so" ] ;;
        *) return 1 ;;
    esac
}

link() {
    mkdir -p "$home"
    rm -rf "$place"
    ln -s "$(cd "$1" && pwd -P)" "$place"
    echo "libtorch: using $(version_of "$place") in $1"
}

if [ -n "${LIBTORCH:-}" ] && ! [ "$LIBTORCH" -ef "$place" ]; then
    [ -d "$LIBTORCH" ] || fail "LIBTORCH is set to $LIBTORCH, which is no folder; unset it or correct it"
    is_wanted "$LIBTORCH" ||
        fail "LIBTORCH ($LIBTORCH) is version '$(version_of "$LIBTORCH")', Shoal needs $wanted; unset LIBTORCH to have it fetched"
    link "$LIBTORCH"
    exit 0
fi

if [ -e "$place" ]; then
    is_wanted "$place" && exit 0
    fail "$place is version '$(version_of "$place")', Shoal needs $wanted; remove $home and try again"
fi

command -v python3 >/dev/null || fail "python3 is needed to fetch PyTorch's wheel; install it, or set LIBTORCH"

own=$(python3 -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")' 2>/dev/null || true)
if [ -n "$own" ]; then
    if is_wanted "$own"; then
        link "$own"
        exit 0
    fi
    echo "libtorch: the installed PyTorch is '$(version_of "$own")', not $wanted: fetching the right one" >&2
fi

python3 -m pip --version >/dev/null 2>&1 || fail "pip is needed to fetch PyTorch's wheel; install it, or set LIBTORCH"
echo "libtorch: fetching PyTorch $wanted from PyPI into $home (560 MB, 1.2 GB on disk)"
partial=$home.partial
rm -rf "$partial"
trap 'rm -rf "$partial"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target "$partial" \
    "torch==$wanted" 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cupti==13.0.*' ||
    fail "pip could not fetch the wheels; try again, or set LIBTORCH to a libtorch $wanted of your own"
is_wanted "$partial/torch" || fail "the wheel is not what was asked for: version '$(version_of "$partial/torch")'"
rm -rf "$home"
mv "$partial" "$home"
echo "libtorch: $(version_of "$place") is in $place"
