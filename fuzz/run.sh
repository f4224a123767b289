#!/usr/bin/env bash
# run.sh [SECONDS] [TARGET…] - fuzzes each target for so long (60 s), one at a time, as a stable toolchain can.
# What is found lies in fuzz/artifacts/TARGET; the corpus grows in fuzz/corpus and is not kept.
set -uo pipefail
cd "$(dirname "$0")/.."
export RUSTC_BOOTSTRAP=1
seconds=${1:-60}; shift || true
targets=${*:-$(sed -n 's/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml | tail -n +2)}
failed=0
for target in $targets; do
    mkdir -p "fuzz/corpus/$target"
    echo "== $target"
    cargo fuzz run -s none --codegen-units 16 "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=256 -max_len=16384 \
        -print_final_stats=1 2>&1 | tail -n 12 || failed=1
done
exit $failed
