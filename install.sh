#!/bin/sh
# install.sh - installs skiff as a service on this machine and waits until its node is Ready.
#
#   ./install.sh                     a server with its node: a whole cluster
#   ./install.sh server --tls-san x  with arguments
#   SKIFF_URL=https://first:6443 SKIFF_TOKEN=... ./install.sh     an agent that joins a server
#   ./install.sh build               only builds the static binary and prints its path
#
# Running it again upgrades in place: containers keep running.
#
# Variables:
#   SKIFF_INSTALL_BINARY        a released binary to install; else ./skiff beside this script; else built from source
#   SKIFF_INSTALL_EXEC          arguments for skiff, as on the command line of this script
#   SKIFF_INSTALL_NAME          name of the service (skiff, or skiff-agent)
#   SKIFF_INSTALL_BIN_DIR       where the program goes (/usr/local/bin)
#   SKIFF_INSTALL_SYSTEMD_DIR   where systemd units go (/etc/systemd/system)
#   SKIFF_INSTALL_SKIP_START    "true": install, do not start
#   SKIFF_INSTALL_SKIP_ENABLE   "true": do not start at boot (and do not start now)
#   SKIFF_INSTALL_SKIP_PACKAGES "true": do not install packages of the distribution
#   SKIFF_INSTALL_WAIT_SECS     how long to wait for the node (120)
#   SKIFF_BUILD_UNTRAINED       "true": build once, in half the time, a program that needs half as much CPU again
# Every other SKIFF_* variable goes into the service's environment file, readable by root alone.
set -eu

say() { printf '[skiff] %s\n' "$*"; }
fail() { printf '[skiff] error: %s\n' "$*" >&2; exit 1; }
is_true() { [ "${1:-}" = true ] || [ "${1:-}" = 1 ]; }
have() { command -v "$1" >/dev/null 2>&1; }

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
data_dir=${SKIFF_DATA_DIR:-/var/lib/skiff}
bin_dir=${SKIFF_INSTALL_BIN_DIR:-/usr/local/bin}
systemd_dir=${SKIFF_INSTALL_SYSTEMD_DIR:-/etc/systemd/system}
etc_dir=/etc/skiff
# As the program chooses it.
kubeconfig=$etc_dir/skiff.yaml
[ "$data_dir" = /var/lib/skiff ] || kubeconfig=$data_dir/skiff.yaml
kubeconfig=${SKIFF_WRITE_KUBECONFIG:-$kubeconfig}

read_arguments() {
    [ $# -gt 0 ] || eval "set -- ${SKIFF_INSTALL_EXEC:-}"
    case "${1:-}" in
    server | agent) role=$1; shift ;;
    "" | -*) if [ -n "${SKIFF_URL:-}" ]; then role=agent; else role=server; fi ;;
    *) fail "expected 'server' or 'agent' or a flag, not '$1'" ;;
    esac
    if [ "$role" = agent ]; then
        [ -n "${SKIFF_TOKEN:-}${SKIFF_TOKEN_FILE:-}" ] || case " $* " in *" --token"*) ;; *) fail "an agent needs SKIFF_TOKEN or SKIFF_TOKEN_FILE" ;; esac
        name=${SKIFF_INSTALL_NAME:-skiff-agent}
    else
        name=${SKIFF_INSTALL_NAME:-skiff}
    fi
    # Each argument quoted for a shell and for systemd alike.
    arguments=$role
    for argument in "$@"; do
        case $argument in
        *[!A-Za-z0-9_./:=,@%+-]*) argument="\"$(printf %s "$argument" | sed 's/[\\"$`]/\\&/g')\"" ;;
        esac
        arguments="$arguments $argument"
    done
}

check_machine() {
    [ "$(id -u)" = 0 ] || fail "run this as root (sudo ./install.sh)"
    [ "$(uname -s)" = Linux ] || fail "skiff runs on Linux"
    case "$(uname -m)" in x86_64 | aarch64) ;; *) fail "no build for $(uname -m); x86_64 and aarch64 are supported" ;; esac
    if [ -d /run/systemd/system ]; then supervisor=systemd
    elif have openrc-run && have rc-service; then supervisor=openrc
    else supervisor=none; fi
}

# Packages by the program that shows they are there: program, Debian, Alpine, Fedora, openSUSE.
packages='
containerd containerd containerd containerd containerd
runc       runc       runc       runc       runc
nft        nftables   nftables   nftables   nftables
ip         iproute2   iproute2   iproute    iproute2
'
build_packages='
protoc     protobuf-compiler protoc    protobuf-compiler protobuf-devel
cc         gcc,libc6-dev build-base gcc   gcc
'

install_packages() {
    if is_true "${SKIFF_INSTALL_SKIP_PACKAGES:-}"; then return; fi
    if have apt-get; then column=2; elif have apk; then column=3; elif have dnf; then column=4; elif have zypper; then column=5; else
        say "no known package manager: containerd, runc and nft must be there"; return
    fi
    missing=$(printf '%s\n' "$1" | while read -r program names; do
        [ -z "$program" ] || have "$program" || printf '%s %s\n' "$program" "$names" | awk -v c="$column" '{ gsub(",", " ", $c); print $c }'
    done)
    [ -n "$missing" ] || return 0
    say "installing packages:" $missing
    case $column in
    2)
        apt-get update -qq
        # The distribution's own containerd service is not needed: skiff runs one with its own state.
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ;;
    3) apk add --quiet $missing ;;
    4) dnf install -y -q $missing ;;
    5) zypper --quiet --non-interactive install $missing ;;
    esac
}

find_binary() {
    if [ -n "${SKIFF_INSTALL_BINARY:-}" ]; then
        [ -f "$SKIFF_INSTALL_BINARY" ] || fail "SKIFF_INSTALL_BINARY: no file $SKIFF_INSTALL_BINARY"
        binary=$SKIFF_INSTALL_BINARY
    elif [ -f "$here/skiff" ]; then
        binary=$here/skiff
    elif [ -f "$here/Cargo.toml" ]; then
        build
    else
        fail "no binary beside this script; name one with SKIFF_INSTALL_BINARY"
    fi
    "$binary" --version >/dev/null 2>&1 || fail "$binary does not run on this machine"
}

build() {
    [ -x "$HOME/.cargo/bin/cargo" ] && PATH=$HOME/.cargo/bin:$PATH
    have cargo || fail "building from source needs Rust (cargo); or name a released binary with SKIFF_INSTALL_BINARY"
    install_packages "$build_packages"
    say "building from source; this takes some minutes"
    # Static, for this machine's own target (proc macros stay dynamic), and with an allocator that gives memory back soon.
    target=$(rustc -vV | sed -n 's/^host: //p')
    (
        cd "$here"
        export RUSTFLAGS="-C target-feature=+crt-static"
        # Where the linker can, equal functions are kept once and relocations packed: a tenth less.
        probe=$(mktemp -d)
        smaller="-C link-arg=-Wl,--icf=all,-z,pack-relative-relocs"
        # shellcheck disable=SC2086 # several words
        if echo 'fn main() {}' | rustc $RUSTFLAGS $smaller -o "$probe/linked" - 2>/dev/null && "$probe/linked"; then
            RUSTFLAGS="$RUSTFLAGS $smaller"
        fi
        rm -rf "$probe"
        # Threads keep few pieces each: those of one that rests hold pages which nobody else can use. Small pieces share two
        # pages and not up to seven, which one of them holds; those of a stored object about sixteen, without a
        # rest, since the books for each group of pages stay.
        malloc="narenas:1,tcache_max:1024,tcache_nslots_small_min:2,tcache_nslots_small_max:8"
        malloc="$malloc,slab_sizes:4097-6144:15|6145-7168:14|7169-8192:16|97-512:2|896-1024:2"
        export JEMALLOC_SYS_WITH_MALLOC_CONF="$malloc,dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true"
        if profile=$(train); then
            # What is hot is known, so only the rest has to be small.
            export CARGO_PROFILE_RELEASE_OPT_LEVEL=2
            RUSTFLAGS="$RUSTFLAGS -C profile-use=$profile"
        fi
        cargo build --release --locked --target "$target" --bin skiff
    ) >&2 || fail "the build failed"
    binary=${CARGO_TARGET_DIR:-$here/target}/$target/release/skiff
}

# Prints the path of a profile of this source under load, made by an instrumented build: the code that requests pass
# through is laid out together then, and a request takes a third less CPU. Fails where the machine lacks the tools.
train() {
    if is_true "${SKIFF_BUILD_UNTRAINED:-}"; then return 1; fi
    have curl && merger=$(profile_merger) || { say "building without training, which needs curl and llvm-profdata (rustup component add llvm-tools)" >&2; return 1; }
    say "building twice: the first one learns what is hot" >&2
    trained=${CARGO_TARGET_DIR:-$here/target}/trained
    rm -rf "$trained/raw"
    (
        export CARGO_PROFILE_RELEASE_OPT_LEVEL=2
        # Not static: code that counts keeps what a static C library does not have.
        RUSTFLAGS="-C profile-generate=$trained/raw" \
            cargo build --release --locked --target "$target" --target-dir "$trained" --bin skiff &&
            LLVM_PROFILE_FILE=$trained/raw/%p.profraw sh tests/bench/train.sh "$trained/$target/release/skiff" &&
            "$merger" merge -o "$trained/new.profdata" "$trained"/raw/*.profraw
    ) >&2 || { say "training failed; building without" >&2; return 1; }
    # By its content, so that what was built with another is built again.
    profile=$trained/$(cksum <"$trained/new.profdata" | cut -d ' ' -f 1).profdata
    mv "$trained/new.profdata" "$profile"
    printf '%s\n' "$profile"
}

# The program that reads what a build of this compiler writes: one of the same LLVM.
profile_merger() {
    llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    for tool in "$(rustc --print sysroot)/lib/rustlib/$target/bin/llvm-profdata" "llvm-profdata-$llvm" llvm-profdata; do
        if have "$tool" && "$tool" --version 2>/dev/null | grep -q "LLVM version $llvm\."; then echo "$tool"; return; fi
    done
    return 1
}

# The new file takes the old one's place at once: a running skiff keeps the old until it is restarted.
install_binary() {
    mkdir -p "$bin_dir"
    cp "$binary" "$bin_dir/.skiff.new"
    chmod 0755 "$bin_dir/.skiff.new"
    mv -f "$bin_dir/.skiff.new" "$bin_dir/skiff"
    if ! have kubectl && [ ! -e "$bin_dir/kubectl" ]; then say "kubectl is not installed; any from 1.27 on works"; fi
}

write_environment() {
    mkdir -p "$etc_dir"
    environment=$etc_dir/$name.env
    (
        umask 077
        env | sort | grep -E '^SKIFF_[A-Z_]+=' | grep -vE '^SKIFF_INSTALL_' >"$environment.new" || true
    )
    chmod 0600 "$environment.new"
    mv -f "$environment.new" "$environment"
}

install_scripts() {
    for script in killall uninstall; do
        write_$script >"$bin_dir/.skiff-$script.new"
        chmod 0755 "$bin_dir/.skiff-$script.new"
        mv -f "$bin_dir/.skiff-$script.new" "$bin_dir/skiff-$script.sh"
    done
}

# The services that this installation may have: the usual ones, and one that got a name of its own.
service_names() {
    case $name in skiff | skiff-agent) echo "skiff skiff-agent" ;; *) echo "$name" ;; esac
}

write_killall() {
    cat <<SCRIPT
#!/bin/sh
# Stops skiff and every container it runs on this machine, and takes down their network. Data stays.
data_dir=$data_dir
supervisor=$supervisor
services="${services-$(service_names)}"
SCRIPT
    cat <<'SCRIPT'
set -u
[ "$(id -u)" = 0 ] || { echo "run this as root" >&2; exit 1; }
# What belongs to a data directory other than the default is named after its digest.
run=/run/skiff bridge=skiff0 table=skiff pods=kubepods
if [ "$data_dir" != /var/lib/skiff ]; then
    digest=$(printf %s "$data_dir" | sha256sum | cut -c1-8)
    run=/run/skiff-$digest bridge=skiff$digest table=skiff-$digest pods=kubepods-$digest
fi

for name in $services; do
    case $supervisor in
    systemd) systemctl stop "$name.service" 2>/dev/null ;;
    openrc) rc-service --ifexists "$name" stop 2>/dev/null ;;
    esac
    pid_file=/run/$name.pid
    if [ -f "$pid_file" ]; then
        pid=$(cat "$pid_file")
        kill "$pid" 2>/dev/null
        for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null
        rm -f "$pid_file"
    fi
done

# Processes whose command line names our containerd's socket or configuration: containerd and its shims.
ours() {
    for dir in /proc/[0-9]*; do
        { tr "\0" " " <"$dir/cmdline"; } 2>/dev/null | grep -qE "^[^ ]*containerd[^ ]* .*($run/containerd|$data_dir/agent/)" && echo "${dir#/proc/}"
    done
}
children() { for pid in "$@"; do cat "/proc/$pid/task/"*/children 2>/dev/null; done; }
namespaces=""
shims=$(ours)
# Everything that runs below a shim, and the network namespaces it runs in.
generation=$(children $shims)
all=""
while [ -n "$(echo $generation)" ]; do all="$all $generation"; generation=$(children $generation); done
for pid in $all; do
    inode=$(stat -L -c %i "/proc/$pid/ns/net" 2>/dev/null) || continue
    for file in /run/netns/cni-* /var/run/netns/cni-*; do
        [ -e "$file" ] && [ "$(stat -c %i "$file")" = "$inode" ] && namespaces="$namespaces $file"
    done
done
for pid in $shims $all; do kill -9 "$pid" 2>/dev/null; done
sleep 0.2

# Deepest mounts first; twice, as mounts may lie on each other.
for _ in 1 2; do
    awk '{print $2}' /proc/self/mounts | sort -r | while read -r mount; do
        case $mount in "$run"/* | "$data_dir"/agent/*) umount -l "$mount" 2>/dev/null ;; esac
    done
done
for file in $namespaces; do umount -l "$file" 2>/dev/null; rm -f "$file"; done

ip link delete "$bridge" 2>/dev/null
nft delete table ip "$table" 2>/dev/null
# What libcni remembers of pods whose network was not taken down by a plugin.
for result in /var/lib/cni/results/"$bridge"-*-eth0; do
    [ -e "$result" ] || continue
    id=${result#/var/lib/cni/results/"$bridge"-}
    rm -f "$result" "/var/lib/cni/results/cni-loopback-${id%-eth0}-lo"
done
rmdir /var/lib/cni/results /var/lib/cni 2>/dev/null
for root in /sys/fs/cgroup/$pods /sys/fs/cgroup/*/$pods; do
    [ -d "$root" ] && find "$root" -depth -type d -exec rmdir {} + 2>/dev/null
done
rm -rf "$run"
exit 0
SCRIPT
}

write_uninstall() {
    cat <<SCRIPT
#!/bin/sh
# Removes skiff from this machine: containers, network, data, configuration and programs.
data_dir=$data_dir
supervisor=$supervisor
services="$(service_names)"
bin_dir=$bin_dir
systemd_dir=$systemd_dir
etc_dir=$etc_dir
kubeconfig=$kubeconfig
SCRIPT
    cat <<'SCRIPT'
set -u
[ "$(id -u)" = 0 ] || { echo "run this as root" >&2; exit 1; }
"$bin_dir/skiff-killall.sh"
for name in $services; do
    case $supervisor in
    systemd) systemctl disable "$name.service" 2>/dev/null; rm -f "$systemd_dir/$name.service" ;;
    openrc) rc-update delete "$name" default 2>/dev/null; rm -f "/etc/init.d/$name" ;;
    esac
    rm -f "/var/log/$name.log" "$etc_dir/$name.env" "$etc_dir/$name.run"
done
[ "$supervisor" = systemd ] && systemctl daemon-reload
rm -rf "$data_dir"
rm -f "$kubeconfig"
if [ "$data_dir" = /var/lib/skiff ]; then rm -rf "$etc_dir" /var/log/pods /var/log/containers; fi
rmdir "$etc_dir" 2>/dev/null
rm -f "$bin_dir/skiff" "$bin_dir/skiff-killall.sh" "$bin_dir/skiff-uninstall.sh"
echo "[skiff] removed"
SCRIPT
}

install_service() {
    case $supervisor in
    systemd)
        unit >"$systemd_dir/$name.service"
        systemctl daemon-reload
        is_true "${SKIFF_INSTALL_SKIP_ENABLE:-}" || systemctl enable --quiet "$name.service" ;;
    openrc)
        openrc_script >"/etc/init.d/$name"
        chmod 0755 "/etc/init.d/$name"
        is_true "${SKIFF_INSTALL_SKIP_ENABLE:-}" || rc-update add "$name" default >/dev/null ;;
    esac
}

unit() {
    template=$here/systemd/skiff.service
    [ "$role" = server ] || template=$here/systemd/skiff-agent.service
    [ -f "$template" ] || fail "missing $template"
    # The arguments may hold anything but a line end.
    BIN_DIR=$bin_dir ENVIRONMENT=$environment ARGUMENTS=$arguments awk '
        /^ExecStart=/ { print "ExecStart=" ENVIRON["BIN_DIR"] "/skiff " ENVIRON["ARGUMENTS"]; next }
        /^EnvironmentFile=/ { print "EnvironmentFile=-" ENVIRON["ENVIRONMENT"]; next }
        { print }' "$template"
}

openrc_script() {
    cat <<SCRIPT
#!/sbin/openrc-run
description="Kubernetes in one binary"
supervisor=supervise-daemon
command="$bin_dir/skiff"
command_args="$(printf %s "$arguments" | sed 's/[\\"]/\\&/g')"
pidfile="/run/$name.pid"
output_log="/var/log/$name.log"
error_log="/var/log/$name.log"
respawn_delay=2
respawn_max=0
set -o allexport
[ ! -f "$environment" ] || . "$environment"
set +o allexport
depend() { need net; use dns; after firewall; }
SCRIPT
}

start_service() {
    if is_true "${SKIFF_INSTALL_SKIP_START:-}" || is_true "${SKIFF_INSTALL_SKIP_ENABLE:-}"; then
        say "installed; not started"; exit 0
    fi
    say "starting $name"
    case $supervisor in
    systemd) systemctl restart "$name.service" ;;
    openrc) rc-service "$name" restart >/dev/null ;;
    none) start_in_background ;;
    esac
}

# Without an init system: a shell of its own session starts skiff again when it ends by itself.
start_in_background() {
    pid_file=/run/$name.pid
    if [ -f "$pid_file" ]; then
        old=$(cat "$pid_file")
        kill "$old" 2>/dev/null || true
        for _ in $(seq 150); do kill -0 "$old" 2>/dev/null || break; sleep 0.1; done
    fi
    log=/var/log/$name.log
    cat >"$etc_dir/$name.run" <<SCRIPT
#!/bin/sh
# Keeps $name running; ending this process ends it.
set -a
[ ! -f "$environment" ] || . "$environment"
set +a
trap 'kill "\$child" 2>/dev/null; wait "\$child"; exit 0' TERM INT
while :; do
    $bin_dir/skiff $arguments &
    child=\$!
    wait "\$child"
    sleep 2
done
SCRIPT
    chmod 0700 "$etc_dir/$name.run"
    setsid "$etc_dir/$name.run" </dev/null >>"$log" 2>&1 &
    printf '%s\n' $! >"$pid_file"
    say "no init system found: running in the background, log in $log"
}

wait_ready() {
    seconds=${SKIFF_INSTALL_WAIT_SECS:-120}
    case " $arguments " in *" --disable-agent "*) say "running without a node"; next_steps; return ;; esac
    [ "$role" = server ] || { say "agent started; see it with kubectl get nodes on the server"; return; }
    say "waiting for the node"
    "$bin_dir/skiff" wait --kubeconfig "$kubeconfig" --timeout-secs "$seconds" || {
        log_hint
        fail "the node is not Ready after $seconds s"
    }
    next_steps
}

log_hint() {
    case $supervisor in
    systemd) say "see: journalctl -u $name -n 50" ;;
    *) say "see: tail -n 50 /var/log/$name.log" ;;
    esac
}

next_steps() {
    say "ready. Next:"
    say "  export KUBECONFIG=$kubeconfig"
    say "  kubectl get nodes"
    say "to remove: $bin_dir/skiff-uninstall.sh"
}

# For tests: the script that stops what a server with this SKIFF_DATA_DIR runs, but no service.
if [ "${1:-}" = print-killall ]; then
    supervisor=none services=''
    write_killall
    exit
fi
# For tests and releases: builds the program and prints where it is.
if [ "${1:-}" = build ]; then
    say() { printf '[skiff] %s\n' "$*" >&2; }
    build
    printf '%s\n' "$binary"
    exit
fi
read_arguments "$@"
check_machine
install_packages "$packages"
find_binary
install_binary
write_environment
install_scripts
install_service
start_service
wait_ready
