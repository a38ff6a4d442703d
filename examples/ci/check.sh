#!/bin/sh
# check.sh - what .github/workflows/memory.yml runs: builds the extension, runs the tests traced, checks the trace.
#
# The exit status is 0 when the tests pass and all limits are kept; memory.xml and memory.sarif say more. PYTHON and
# HEAPSAKE name other programs than python3 and heapsake.
set -eu
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3} HEAPSAKE=${HEAPSAKE:-heapsake}
export HEAPSAKE PYTHONHASHSEED=0 # the same hashes make the same allocations in every run

rm -f memory.hsk memory.xml memory.sarif
make -s PYTHON="$PYTHON"

# Tests with a marker are held to its limits; the others run as ever. Native stacks name the lines of C.
status=0
"$PYTHON" -m pytest -q --heapsake --heapsake-native --heapsake-exit-snapshot \
    --heapsake-output memory.hsk tests || status=$?

"$HEAPSAKE" check --limits heapsake.limits --baseline heapsake.baseline --junit memory.xml --sarif memory.sarif memory.hsk ||
    status=$?
exit $status
