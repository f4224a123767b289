#!/usr/bin/env bash
# tests/run.sh - every test of the project, on a fresh machine as root: installs what they need first.
#
#   tests/run.sh          everything
#   tests/run.sh quick    what needs neither root nor containerd
#
# Closes with the number of tests that passed and failed.
set -uo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

packages=(containerd runc nftables protobuf-compiler busybox-static docker-registry iproute2 iputils-ping curl python3 gcc libc6-dev kubernetes-client etcd-server)
programs=(containerd runc nft protoc busybox docker-registry ip ping curl python3 cc cc kubectl etcd)

install_packages() {
  missing=()
  for i in "${!packages[@]}"; do
    command -v "${programs[$i]}" >/dev/null || missing+=("${packages[$i]}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  [ "$(id -u)" = 0 ] || { echo "run this as root, or install: ${missing[*]}" >&2; exit 1; }
  apt-get update -qq
  # Services that packages would start are not wanted: the tests start their own.
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || exit 1
  rm -f /usr/sbin/policy-rc.d
}

passed=0 failed=0
# Runs a command that prints 'N passed' and, where something fails, 'N failed', and adds them up.
count() {
  local log status
  log=$(mktemp)
  say "$*"
  "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  local p f
  p=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -oE '[0-9]+ passed' | awk '{n += $1} END {print n + 0}')
  f=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -oE '[0-9]+ failed' | awk '{n += $1} END {print n + 0}')
  [ "$status" = 0 ] || [ "$f" -gt 0 ] || f=1
  passed=$((passed + p)) failed=$((failed + f))
  rm -f "$log"
}

run_tests() {
  if command -v cargo-nextest >/dev/null; then cargo nextest run --no-fail-fast "$@"; else cargo test --no-fail-fast "$@"; fi
}

# An S3 server for the tests of backups: moto, the small one that checks every signature.
install_moto() {
  python3 -c 'import moto.server, flask_cors' 2>/dev/null || [ -x target/moto/bin/moto_server ] && return 0
  say "installing moto"
  python3 -c 'import ensurepip' 2>/dev/null || apt-get install -y -qq --no-install-recommends python3-venv >/dev/null || exit 1
  python3 -m venv target/moto && target/moto/bin/pip install --quiet 'moto[s3]==5.2.1' flask flask-cors || exit 1
}

# PyPI's Kubernetes client. Fails where there is no registry to install it from.
install_client() {
  [ -x target/client/bin/python3 ] && target/client/bin/python3 -c 'import kubernetes' 2>/dev/null && return 0
  say "installing the Python client"
  python3 -c 'import ensurepip' 2>/dev/null || apt-get install -y -qq --no-install-recommends python3-venv >/dev/null || return 1
  python3 -m venv target/client && target/client/bin/pip install --quiet 'kubernetes==37.0.2'
}

install_packages
# Two tests compare with upstream's own files, which are not part of the project.
everything=() quick=(--lib --test tidy --test sim --test roundtrip)
if [ ! -d "${SKIFF_REFERENCE:-../shared/k8s-1.36}" ]; then
  say "no reference data (SKIFF_REFERENCE): left out are the tests roundtrip and schemagen"
  everything=(--lib --bins --test tidy --test sim --test it --test node --test power) quick=(--lib --test tidy --test sim)
fi
count cargo fmt --check
[ "${1:-}" = quick ] && { count run_tests "${quick[@]}"; echo; echo "$passed passed, $failed failed"; exit $((failed > 0)); }

install_moto
count run_tests "${everything[@]}"

# The walk of a new user with kubectl and real containers, on the build that is installed.
# Untrained, which takes half the time: it is the same program, slower.
say "release build"
if SKIFF_BINARY=$(SKIFF_BUILD_UNTRAINED=${SKIFF_BUILD_UNTRAINED:-true} ./install.sh build); then
  export SKIFF_BINARY
  count cargo test --quiet --test e2e
  if curl --version 2>/dev/null | grep -q HTTP2; then
    say "what trains a release"
    sh tests/bench/train.sh "$SKIFF_BINARY" || failed=$((failed + 1))
  else
    say "left out: tests/bench/train.sh, for there is no curl with HTTP/2"
  fi
  if install_client; then
    count target/client/bin/python3 tests/clients/python.py
  else
    say "left out: tests/clients, for the Python client cannot be installed"
  fi
else
  failed=$((failed + 1))
fi

echo
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
