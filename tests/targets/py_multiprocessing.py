"""multiprocessing with the start method asked for: a pool, a queue, a process that fails."""

import multiprocessing
import sys


def work(number):
    kept = [bytes(7777) for _ in range(50)]
    return sum(len(block) for block in kept) + number


def fill(queue):
    for number in range(100):
        queue.put([number] * 100)


def fail():
    sys.exit(3)


def main():
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(2) as pool:
        print(sum(pool.map(work, range(20))))
        pool.close()
        pool.join()
    queue = context.Queue()
    process = context.Process(target=fill, args=(queue,))
    process.start()
    print(sum(len(queue.get()) for _ in range(100)))
    process.join()
    failing = context.Process(target=fail)
    failing.start()
    failing.join()
    print(process.exitcode, failing.exitcode)


if __name__ == "__main__":
    main()
