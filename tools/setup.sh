# What demo.sh and test.sh share: Debian packages, the virtual environment .venv, one installation per extra.
# Sourced by them, from bash; every step says first what it will do.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Some packages of Debian 13 and Ubuntu 24.04 are called libglib2.0-0t64 and so on.
is_installed() {
    local name
    for name in "$1" "$1t64"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" != installed ] || return 0
    done
    return 1
}

is_known() { apt-cache show "$1" >/dev/null 2>&1 || apt-cache show "$1t64" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# install_packages NAME...: those that are missing.
install_packages() {
    local name missing=() known=() bytes
    if ! command -v apt-get >/dev/null; then
        say "There is no apt-get here; where something is missing below, install what Debian calls: $*"
        return
    fi
    for name in "$@"; do
        is_installed "$name" || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    say "Debian packages that are missing: ${missing[*]}"
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        fail "neither root nor sudo; type as root: apt-get install --no-install-recommends ${missing[*]}"
    fi
    as_root apt-get update -qq
    for name in "${missing[@]}"; do
        if is_known "$name"; then
            known+=("$name")
        else
            say "There is no package $name here; what needs it is left out and says so."
        fi
    done
    [ ${#known[@]} -gt 0 ] || return 0
    bytes="$(apt-get install -qq --no-install-recommends --print-uris "${known[@]}" | awk '{ sum += $3 } END { print sum + 0 }')"
    say "Installing ${known[*]} and what they need: $((bytes / 1000000)) MB to download"
    as_root env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -qq -y --no-install-recommends "${known[@]}" >/dev/null
}

# make_venv: .venv with pip, of the python3 on PATH.
make_venv() {
    command -v python3 >/dev/null || fail "there is no python3 here; install Python 3.10 or newer"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
        || fail "Python 3.10 or newer is needed; this is $(python3 --version)"
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        say "Making the virtual environment .venv with $(python3 --version)"
        python3 -m venv --clear .venv
    fi
}

pip_install() { .venv/bin/python -m pip --quiet --disable-pip-version-check install "$@"; }

# install_project TARGET SIZE [COMMAND]: `pip install -e TARGET`, after COMMAND; again where pyproject.toml has changed.
install_project() {
    local target="$1" size="$2" before="${3:-true}" stamp
    stamp=".venv/installed-$(printf %s "$target" | tr -c 'a-z\n' '-')"
    if cmp -s pyproject.toml "$stamp"; then
        return
    fi
    say "Installing Python packages into .venv: $size to download, unless pip has them already"
    "$before"
    pip_install -e "$target"
    cp pyproject.toml "$stamp"
}
