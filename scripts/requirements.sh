# Sourced by the scripts beside it, in the project's root: sees that what a build needs is there, and what `tools` names besides. On a
# Debian, as root, it installs what is missing and says what; elsewhere it says what to install.

command -v cargo >/dev/null || {
    echo "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or later from https://rustup.rs" >&2
    exit 1
}

missing=()
command -v g++ >/dev/null || missing+=(g++)
for tool in python3 ${tools-}; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
# bindgen, with which RocksDB is bound, needs libclang and clang's own headers.
if [ -z "${LIBCLANG_PATH-}" ]; then
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null ||
        missing+=(libclang-dev)
fi
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
    echo "missing: ${missing[*]}" >&2
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "install them and run this again" >&2
        exit 1
    fi
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >&2
fi

# RocksDB takes most of a first build; a compiler cache makes the next first one short.
if command -v ccache >/dev/null; then
    export CC=${CC-ccache gcc} CXX=${CXX-ccache g++}
fi
