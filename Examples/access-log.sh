#!/usr/bin/env bash
# A rotated access log, day by day: each request is kept once, however often the log is shipped.
#
#   Examples/access-log.sh STATE OUTPUT/ LOG...
#
# Client, time and request line are the key; the rest of the line may differ. Run it again with the
# same files and nothing is emitted; run it with the next day's files and it goes on. Kill it at any
# moment and run it again: OUTPUT/ holds each request once.
set -euo pipefail

if [[ $# -lt 3 ]]; then
  echo "usage: $0 STATE OUTPUT/ LOG..." >&2
  exit 2
fi
state="$1"
output="$2"
shift 2

sediment="$(command -v sediment || echo "$(dirname "${BASH_SOURCE[0]}")/../.build/release/sediment")"
if [[ ! -x "$sediment" ]]; then
  echo "$0: sediment is neither on the PATH nor built: swift build -c release --product sediment" >&2
  exit 1
fi

exec "$sediment" dedup "$@" \
  --format lines --key-regex '^(\S+) \S+ \S+ \[([^]]+)\] "([^"]*)"' --ttl forever \
  --state "$state" --output "$output" --rejects "${state%/}.rejects.ndjson"
