#!/usr/bin/env bash
# Packs Shoal for machines that have no Rust: target/shoal-VERSION-MACHINE.tar.gz, with the programs
# (stripped), manual pages, completions, scenarios and licence. libtorch (530 MB) is not in it: `shoal` finds
# that of an installed PyTorch 2.11 or of LIBTORCH, and says how to get it where there is none.
set -euo pipefail
cd "$(dirname "$0")/.."

export SHOAL_COMMIT=${SHOAL_COMMIT:-$(git describe --always --dirty 2>/dev/null || true)}
cargo build --profile dist

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=shoal-$version-$(uname -m)-$(uname -s | tr '[:upper:]' '[:lower:]')
into=target/$name
rm -rf "$into"
mkdir -p "$into/bin" "$into/share/man/man1" "$into/share/bash-completion/completions" \
    "$into/share/zsh/site-functions" "$into/share/fish/vendor_completions.d"
cp target/dist/shoal target/dist/shoal-engine "$into/bin/"
shoal=$into/bin/shoal
"$shoal" man --dir "$into/share/man/man1"
"$shoal" completions bash >"$into/share/bash-completion/completions/shoal"
"$shoal" completions zsh >"$into/share/zsh/site-functions/_shoal"
"$shoal" completions fish >"$into/share/fish/vendor_completions.d/shoal.fish"
# What git has of them, and no data that was fetched.
git ls-files README.md LICENSE docs scenarios | tar -cf - -T - | tar -xf - -C "$into"
tar -czf "$into.tar.gz" -C target "$name"
rm -rf "$into"
echo "$into.tar.gz: $(du -h "$into.tar.gz" | cut -f 1)"
