# SPDX-License-Identifier: Apache-2.0
# For sourcing: what the build needs from the system, and what to do where it is missing.
# shellcheck shell=bash

# kind:name:Debian package. A program is looked for in PATH, a module by pkg-config (the names are those
# of cmake/packages.cmake), a header by the compiler, a Python module by import.
PACKAGES_BUILD=(
    program:gcc:gcc
    header:stdlib.h:libc6-dev
    program:cmake:cmake
    program:ninja:ninja-build
    program:pkg-config:pkg-config
    module:libmongoc-1.0:libmongoc-dev
    module:rdkafka:librdkafka-dev
    module:libcurl:libcurl4-openssl-dev
    module:libcjson:libcjson-dev
    module:libcrypto:libssl-dev
    module:yaml-0.1:libyaml-dev
    module:libutf8proc:libutf8proc-dev
    module:libmicrohttpd:libmicrohttpd-dev
    module:gnutls:libgnutls28-dev
)
# Of the Dockerfile's first stage, where scripts/lib/small-icu is run, too.
PACKAGES_IMAGE_BUILD=("${PACKAGES_BUILD[@]}" program:icupkg:icu-devtools)
# Of scripts/image, where no Docker engine answers.
PACKAGES_IMAGE=(program:buildah:buildah program:debootstrap:debootstrap)
PACKAGES_TEST=(module:cmocka:libcmocka-dev program:faketime:faketime program:spin:spin
    program:chromium:chromium)
# Tests run the pods of the chart with these.
PACKAGES_PODS=(program:bwrap:bubblewrap program:nsenter:util-linux)
# scripts/servers would install the rest by itself; here it is one call of apt-get instead of many.
PACKAGES_SERVERS=(program:python3:python3 python:ensurepip:python3-venv program:setpriv:util-linux)
PACKAGES_KAFKA=(program:java:default-jre-headless program:mvn:maven)

packages_has() { # kind name
    case $1 in
    program) command -v "$2" >/dev/null ;;
    module) pkg-config --exists "$2" 2>/dev/null ;;
    python) python3 -c "import $2" 2>/dev/null ;;
    header) printf '#include <%s>\n' "$2" | gcc -fsyntax-only -xc - 2>/dev/null ;;
    esac
}

# packages_need ENTRY...: installs what is missing with apt-get. Returns 1 after saying why it cannot.
packages_need() {
    local entry kind name package missing=()
    for entry in "$@"; do
        IFS=: read -r kind name package <<<"$entry"
        packages_has "$kind" "$name" || missing+=("$package")
    done
    ((${#missing[@]} == 0)) || packages_install "${missing[@]}"
}

packages_install() { # PACKAGE...
    local prefix=() log code=0
    if [[ $(id -u) != 0 ]]; then
        if ! command -v sudo >/dev/null || { [[ ! -t 0 ]] && ! sudo -n true 2>/dev/null; }; then
            prefix=(none)
        else
            prefix=(sudo)
        fi
    fi
    if [[ ${prefix[*]-} == none ]] || ! command -v apt-get >/dev/null; then
        echo "missing on this system, by their Debian names: $*" >&2
        echo "Install them first (this can only be done here with apt-get, as root or by sudo)." >&2
        return 1
    fi
    echo "installing with apt-get: $*"
    log=$(mktemp)
    packages_apt "$@" >"$log" 2>&1 || code=1
    if ((code != 0)); then
        tail -n 6 "$log" | cut -c1-300 >&2
        echo "apt-get could not install: $*" >&2
        echo "Check that the mirrors in /etc/apt are reachable from here, or install them by hand." >&2
    fi
    rm -f "$log"
    return "$code"
}

packages_apt() {
    local root=(env DEBIAN_FRONTEND=noninteractive)
    local install=(apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300)
    [[ ${#prefix[@]} == 0 ]] || root=("${prefix[@]}" "${root[@]}")
    # Lists that are missing or old name files that the mirrors no longer have: then once more.
    if compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null && "${root[@]}" "${install[@]}" "$@"
    then
        return 0
    fi
    "${root[@]}" apt-get update -q && "${root[@]}" "${install[@]}" "$@"
}
