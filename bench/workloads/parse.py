"""Parses and compiles files of the standard library: many small objects from deep recursion in C."""
import ast
import glob
import os
import sys

count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
nodes = 0
for name in sorted(glob.glob(os.path.dirname(os.__file__) + "/*.py"))[:count]:
    with open(name, encoding="utf-8") as file:
        source = file.read()
    tree = ast.parse(source)
    for _ in ast.walk(tree):
        nodes += 1
    compile(tree, name, "exec")
print(nodes)
