#!/usr/bin/env bash
# tests/bench/run.sh [BINARY] - the figures of docs/performance.md, on this machine, as a table.
#
# Runs a server with its node in a data directory of its own (root, containerd, kubectl needed).
# IDLE is how many seconds the idle figures are taken over (120).
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=${1:-target/release/skiff}
idle=${IDLE:-120}
dir=$(mktemp -d /tmp/skiff-bench-XXXXXX)
data=$dir/data
kubeconfig=$dir/kubeconfig
server=
image=skiff.test/busybox:1
export KUBECONFIG=$kubeconfig

stop() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; }
  SKIFF_DATA_DIR=$data sh install.sh print-killall | sh || true
  rm -rf "$dir"
}
trap stop EXIT

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
row() { printf '| %-52s | %14s | %10s |\n' "$1" "$2" "$3"; }
# CPU seconds (user + system) and bytes sent to disk by the server.
cpu() { awk -v t="$(getconf CLK_TCK)" '{ print ($14 + $15) / t }' "/proc/$server/stat"; }
written() { awk '/^write_bytes/ { print $2 }' "/proc/$server/io"; }
rss() { awk '/^VmRSS/ { printf "%.1f MiB", $2 / 1024 }' "/proc/$server/status"; }

start() {
  "$binary" server --data-dir "$data" --write-kubeconfig "$kubeconfig" --https-listen-port 26443 --kubelet-port 21250 --node-name bench >>"$dir/log" 2>&1 &
  server=$!
}
until_ready() { until curl -sk --max-time 1 https://127.0.0.1:26443/readyz 2>/dev/null | grep -q '^ok'; do sleep 0.01; done; }
until_node() { until kubectl get node bench -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null | grep -q True; do sleep 0.05; done; }

row what measured budget
row ---- -------- ------
row "release binary, stripped" "$(awk -v b="$(stat -c %s "$binary")" 'BEGIN { printf "%.1f MB", b / 1e6 }')" "30 MB"

start; until_ready; until_node
kill "$server"; wait "$server" 2>/dev/null || true
begin=$(now); start; until_ready
row "process start to /readyz, containerd running" "$(since "$begin") s" "0.5 s"
until_node
row "process start to node Ready, containerd running" "$(since "$begin") s" "2 s"

sleep 10
cpu_before=$(cpu) written_before=$(written)
sleep "$idle"
row "idle RSS, server with its node" "$(rss)" "64 MiB"
row "idle CPU" "$(awk -v a="$cpu_before" -v b="$(cpu)" -v s="$idle" 'BEGIN { printf "%.2f %%", (b - a) / s * 100 }')" "2 %"
row "idle bytes written to disk, an hour" "$(awk -v a="$written_before" -v b="$(written)" -v s="$idle" 'BEGIN { printf "%.2f MB", (b - a) / s * 3600 / 1e6 }')" "5 MB"

archive=$dir/busybox.tar
python3 tests/bench/image.py "$archive" "$image"
run=$(printf %s "$data" | sha256sum | cut -c1-8)
ctr -a "/run/skiff-$run/containerd/containerd.sock" -n k8s.io images import "$archive" >/dev/null
begin=$(now)
kubectl create deployment quick --image="$image" -- sleep 3600 >/dev/null
until kubectl get pods -l app=quick -o 'jsonpath={.items[*].status.phase}' | grep -q Running; do sleep 0.02; done
row "create deployment, image present, to Running" "$(since "$begin") s" "1.5 s"

container=$(kubectl get pods -l app=quick -o 'jsonpath={.items[0].status.containerStatuses[0].containerID}')
kill -9 "$server"; wait "$server" 2>/dev/null || true
begin=$(now); start; until_ready
kubectl get pods -l app=quick >/dev/null
row "kill -9 to answering again" "$(since "$begin") s" ""
until_node
[ "$container" = "$(kubectl get pods -l app=quick -o 'jsonpath={.items[0].status.containerStatuses[0].containerID}')" ] &&
  row "the same container carries on after kill -9" yes yes
