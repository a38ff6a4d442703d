"""Threads that allocate, hand over and end; locals, locks and a pool."""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor


def producer(items, count):
    for number in range(count):
        items.put({"number": number, "text": str(number) * 20})
    items.put(None)


def consumer(items, result):
    total = 0
    while (item := items.get()) is not None:
        total += len(item["text"])
    result.append(total)


def main():
    items, result = queue.Queue(100), []
    pairs = [threading.Thread(target=producer, args=(items, 20000)), threading.Thread(target=consumer, args=(items, result))]
    for thread in pairs:
        thread.start()
    for thread in pairs:
        thread.join()
    local = threading.local()

    def brief(number):
        local.value = [number] * 100
        return sum(local.value)

    sums = []
    for number in range(200):
        thread = threading.Thread(target=lambda: sums.append(brief(number)))
        thread.start()
        thread.join()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: len(str(n) * 1000), range(2000)))
    daemon = threading.Thread(target=threading.Event().wait, daemon=True)
    daemon.start()
    print(result, sum(sums), sum(answers))


main()
