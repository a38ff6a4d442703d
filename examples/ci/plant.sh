#!/bin/sh
# plant.sh [FOLDER] - somebody forgets a Py_DECREF in a copy of this repository: what does check.sh say?
#
# The copy is made in FOLDER, else in a temporary one, which is removed. The exit status is that of check.sh, which should
# be 1; 2 when the copy cannot be made.
set -eu
cd "$(dirname "$0")"
if [ $# -gt 0 ]; then
    copy=$1
    mkdir -p "$copy" || exit 2
else
    copy=$(mktemp -d) || exit 2
    trap 'rm -rf "$copy"' EXIT
fi
cp -R . "$copy/" || exit 2
patch=$PWD/forgotten-decref.patch
cd "$copy"
# It is no part of a repository that it may lie in.
GIT_CEILING_DIRECTORIES=$(dirname "$PWD") git apply "$patch" || exit 2
cat "$patch"
status=0
./check.sh || status=$?
exit $status
