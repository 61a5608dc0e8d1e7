#!/bin/sh
# Unpack Debian's kernels for the tests, without installing them: fetch_kernels.sh [DIRECTORY]
# The directory is what IMGTOOLS_KERNELS names, /var/lib/imgtools-tests/kernels otherwise.
# apt works in folders of its own, so that the host does not become one of two architectures.
set -eu
target=${1:-${IMGTOOLS_KERNELS:-/var/lib/imgtools-tests/kernels}}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$target"

use() { # ARCHITECTURE: that of the packages from here on
    mkdir -p "$work/$1/lists/partial" "$work/$1/archives/partial"
    cd "$work/$1"
    options="-qq -o APT::Architecture=$1 -o APT::Architectures=$1 -o Dir::State::status=/dev/null
        -o Dir::State::lists=$work/$1/lists -o Dir::Cache=$work/$1 -o APT::Sandbox::User=root"
    updated=
}

unpack() { # PACKAGE FOLDER
    # shellcheck disable=SC2086
    apt-get $options download "$1"
    dpkg-deb -x "$1"_*.deb "$2"
}

update() {
    # shellcheck disable=SC2086
    [ "$updated" ] || apt-get $options update || true # one list that fails is no harm
    updated=yes
}

kernel() { # KIND
    [ ! -e "$target/$1" ] || return 0
    update
    rm -rf "$target/$1.new"
    # shellcheck disable=SC2086
    package=$(apt-cache $options show --no-all-versions "linux-image-$1" |
        sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p')
    unpack "$package" "$target/$1.new"
    (cd "$target/$1.new" && ln -s boot/vmlinuz-* vmlinuz && ln -s lib/modules/*/kernel modules)
    mv "$target/$1.new" "$target/$1"
}

use amd64
kernel cloud-amd64
kernel amd64
use i386
kernel 686-pae
if [ ! -e "$target/busybox-i386" ]; then
    update
    unpack busybox-static "$work/busybox"
    cp "$work/busybox/bin/busybox" "$target/busybox-i386"
fi
