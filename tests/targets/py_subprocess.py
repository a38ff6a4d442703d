"""Children by subprocess, in all its manners, from the main thread and from others."""

import os
import subprocess
import sys
import threading

run = subprocess.run([sys.executable, "-c", "print('child'); import sys; sys.exit(4)"], capture_output=True, text=True)
print(run.returncode, run.stdout.strip(), repr(run.stderr))
print(subprocess.run("echo shell; exit 5", shell=True, capture_output=True, text=True))
environment = {"ONLY": "this"}
shown = subprocess.run([sys.executable, "-c", "import os; print(sorted(k for k in os.environ if k != 'LC_CTYPE'))"],
                       env=environment, capture_output=True, text=True)
print(shown.stdout.strip(), shown.returncode)
piped = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(len(piped.communicate(b"x" * 300_000)[0]), piped.returncode)
closed = subprocess.run([sys.executable, "-c", "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:3])"],
                        close_fds=True, capture_output=True, text=True)
print(closed.stdout.strip())
try:
    subprocess.run(["no-such-program-anywhere"], check=True)
except FileNotFoundError as error:
    print("missing", error.errno)
killed = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(100)"],
                          stdout=subprocess.PIPE)
killed.stdout.readline()
killed.kill()
print(killed.wait())
statuses = []


def one(number):
    statuses.append(subprocess.call([sys.executable, "-c", f"import sys; sys.exit({number})"]))


threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(statuses))
with os.popen("echo popen") as pipe:
    print(os.waitstatus_to_exitcode(os.system("exit 6")), pipe.read().strip())
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("no more children")
