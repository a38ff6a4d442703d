"""Makes 40 objects that a global holds, and ends in the way that it is asked for."""

import atexit
import multiprocessing
import os
import sys


class Marker:
    pass


markers = []


def mark(count=40):
    markers.extend(Marker() for _ in range(count))


def in_child():
    mark(70)


def complain():
    raise RuntimeError("at exit")


def forget():
    markers.clear()


def main(how):
    mark()
    print(f"{len(markers)} markers", flush=True)
    if how == "sys_exit":
        sys.exit(7)
    elif how == "unhandled":
        raise ValueError("unhandled")
    elif how == "os_exit":
        os._exit(9)
    elif how == "atexit_error":
        atexit.register(complain)
    elif how == "atexit_forgets":  # what the program's own functions free at exit is not alive at the end
        atexit.register(forget)
    elif how in ("fork", "spawn"):
        child = multiprocessing.get_context(how).Process(target=in_child)
        child.start()
        child.join()
        print(child.exitcode, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
