#!/bin/sh
# check.sh - what .github/workflows/memory.yml runs: builds the extension, runs the tests under heapsake, checks the trace.
#
# The exit status is 0 when the tests pass and all limits are kept; memory.xml and memory.sarif say more. PYTHON and
# HEAPSAKE name other programs than python3 and heapsake.
set -eu
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3} HEAPSAKE=${HEAPSAKE:-heapsake}

rm -f memory.hsk memory.xml memory.sarif
make -s PYTHON="$PYTHON"

# The same hashes make the same allocations in every run. --native names the lines of C, too.
PYTHONHASHSEED=0 "$HEAPSAKE" run --native --children=none -o memory.hsk -- "$PYTHON" -m pytest -q tests
"$HEAPSAKE" check --limits heapsake.limits --baseline heapsake.baseline --junit memory.xml --sarif memory.sarif memory.hsk
