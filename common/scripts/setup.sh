# shellcheck shell=bash
# Finds what the machine lacks, installs it, and builds. Sourced by chapters/run and tests/run, which set `top`, the root of
# the checkout. Says nothing where there is nothing to do.

# Debian's names: what a server or a demo needs, what the tests need besides, and what some of the tests can do without.
build_packages=(
  g++ meson ninja-build pkg-config python3
  libevent-dev libxxhash-dev libyaml-cpp-dev libmd-dev zlib1g-dev
)
test_packages=(doctest-dev universal-ctags git)
client_packages=(
  memcached nutcracker redis-server libmemcached-tools redis-tools
  python3-redis python3-pymemcache python3-pylibmc python3-memcache
  libcache-memcached-perl libcache-memcached-fast-perl
  php-cli php-memcached
  ruby ruby-dalli
)
fault_packages=(strace)
fuzz_packages=(clang libclang-rt-dev)
lint_packages=(clang-format clang-tidy shellcheck pyflakes3)

say() { printf '%s\n' "$*" >&2; }

# Prints those of the packages that are not here. A compiler counts whoever made it.
missing_packages() {
  local package installed
  if command -v dpkg-query >/dev/null; then
    # It fails when it knows nothing at all of one of them; what it prints of the others stands.
    # shellcheck disable=SC2016 # the ${…} is dpkg-query's
    installed=$(dpkg-query -W -f '|${Package}|${db:Status-Status}|\n' "$@" 2>/dev/null || true)
  fi
  for package in "$@"; do
    [[ ${installed-} == *"|$package|installed|"* ]] || present_without_dpkg "$package" || printf '%s\n' "$package"
  done
}

# Whether the thing that a package brings is here all the same.
present_without_dpkg() {
  case $1 in
    g++) command -v c++ || command -v g++ || command -v clang++ ;;
    clang-format | clang-tidy | shellcheck | pyflakes3 | meson | pkg-config | python3 | git | memcached | nutcracker | redis-server | strace) command -v "$1" ;;
    ninja-build) command -v ninja ;;
    clang) command -v clang++ ;;
    libclang-rt-dev) echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
      clang++ -x c++ -fsanitize=fuzzer -o /dev/null - ;;
    universal-ctags) ctags --version 2>/dev/null | grep -q 'Universal Ctags' ;;
    libmemcached-tools) command -v memccapable ;;
    redis-tools) command -v redis-cli && command -v redis-benchmark ;;
    doctest-dev) [[ -e /usr/include/doctest/doctest.h || -e /usr/local/include/doctest/doctest.h ]] ;;
    lib*-dev | zlib1g-dev) ! command -v dpkg-query && pkg-config --exists "$(pkg_config_name "$1")" ;;
    libcache-memcached-perl) ! command -v dpkg-query && perl -MCache::Memcached -e 1 ;;
    libcache-memcached-fast-perl) ! command -v dpkg-query && perl -MCache::Memcached::Fast -e 1 ;;
    php-cli | ruby) ! command -v dpkg-query && command -v "${1%-cli}" ;;
    php-memcached) ! command -v dpkg-query && php -r 'exit(extension_loaded("memcached") ? 0 : 1);' ;;
    ruby-dalli) ! command -v dpkg-query && ruby -e 'require "dalli"' ;;
    python3-*) ! command -v dpkg-query && "$(client_python)" -c "import ${1#python3-}" ;;
    *) false ;;
  esac >/dev/null 2>&1
}

pkg_config_name() {
  case $1 in
    libevent-dev) echo libevent ;;
    libxxhash-dev) echo libxxhash ;;
    libyaml-cpp-dev) echo yaml-cpp ;;
    libmd-dev) echo libmd ;;
    zlib1g-dev) echo zlib ;;
    *) local name=${1%-dev} && echo "${name#lib}" ;;
  esac
}

# Where Debian's Python packages can be imported: not in a Python that comes earlier in PATH.
client_python() { if [[ -x /usr/bin/python3 ]]; then echo /usr/bin/python3; else command -v python3; fi; }

# The command that gives a root's rights: nothing, sudo, or status 1. Asks for a password only where somebody can type one.
root_command() {
  [[ $(id -u) != 0 ]] || return 0
  command -v sudo >/dev/null || return 1
  if sudo -n true 2>/dev/null || [[ -t 0 && -t 2 ]]; then echo sudo; else return 1; fi
}

apt_install() {
  local as_root log package failed=0 had_services
  as_root=$(root_command) || return 1
  log=$(mktemp)
  trap 'rm -f "$log"; exit 130' INT # apt-get has a status of its own for Ctrl-C, after which we would try again
  had_services=$(missing_packages memcached nutcracker redis-server)
  # shellcheck disable=SC2086 # empty for root
  apt() { $as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -y "$@" >>"$log" 2>&1 </dev/null; }
  if ! apt install --no-install-recommends "$@" && ! { apt update && apt install --no-install-recommends "$@"; }; then
    # One by one, so that one which cannot be had takes no other with it.
    for package in "$@"; do apt install --no-install-recommends "$package" || failed=1; done
  fi
  # A package brings a daemon on the port that a reader will want. The tests start their own.
  if [[ -d /run/systemd/system ]]; then
    for package in $had_services; do
      # shellcheck disable=SC2086
      [[ " $* " != *" $package "* ]] || $as_root systemctl disable --now "$package" >>"$log" 2>&1 || true
    done
  fi
  [[ $failed == 0 ]] || grep -E '^E: ' "$log" >&2 || true
  rm -f "$log"
  trap - INT
  return $failed
}

# Installs those of the packages that are missing. Status 1: some still are.
#   install_missing REASON PACKAGE…
install_missing() {
  local reason=$1 missing
  shift
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} != 0 ]] || return 0
  command -v apt-get >/dev/null && root_command >/dev/null || return 1
  say "Installing ${missing[*]} with apt-get, needed to $reason."
  apt_install "${missing[@]}"
}

# As install_missing, but does not come back without them.
require_packages() {
  local reason=$1 missing
  install_missing "$@" && return
  shift
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} != 0 ]] || return 0
  say "Cannot $reason before these are installed, and cannot install them from here:"
  say "  Debian, Ubuntu:  sudo apt-get install ${missing[*]}"
  say "Elsewhere all that builds and tests needs this:"
  say "  Fedora:          sudo dnf install gcc-c++ meson ninja-build pkgconf python3 libevent-devel xxhash-devel yaml-cpp-devel \\"
  say "                     libmd-devel zlib-devel doctest-devel ctags git"
  say "  Arch:            sudo pacman -S gcc meson pkgconf python libevent xxhash yaml-cpp libmd zlib doctest ctags git"
  exit 69
}

# Brings targets of build/ up to date (all of them, if none is named). Quiet unless something is compiled.
build() {
  local log directory=$top/build
  if [[ ! -e $directory/build.ninja ]]; then
    say "Setting up build/ …"
    log=$(meson setup "$directory" "$top" 2>&1) || { say "$log"; return 1; }
  fi
  # First what Meson makes of a changed table; it has much to say that nobody wants to read.
  log=$(ninja -C "$directory" build.ninja 2>&1) || { say "$log"; return 1; }
  [[ $(ninja -C "$directory" -n "$@" 2>&1) != *"no work to do"* ]] || return 0
  say "Compiling ${*:-everything} …"
  (cd "$directory" && NINJA_STATUS='  [%f/%t, %es] ' ninja "$@" >&2)
}
