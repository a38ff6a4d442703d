"""Writes and reads the same JSON again and again: many small blocks, most of them gone at once."""
import json
import sys


def document():
    users = [{"id": i, "name": "u%d" % i, "tags": ["a", "b", str(i)], "pos": {"x": i * 0.5, "y": i * 0.25}}
             for i in range(500)]
    return {"users": users}


rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
text = json.dumps(document())
total = 0
for _ in range(rounds):
    data = json.loads(text)
    total += len(json.dumps(data))
print(total)
