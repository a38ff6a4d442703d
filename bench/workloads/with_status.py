"""Runs a workload, then says on standard error how much memory the process took: with_status.py WORKLOAD [ARGUMENT...]"""
import runpy
import sys

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
with open("/proc/self/status", encoding="ascii") as status:
    sys.stderr.write(status.read())
