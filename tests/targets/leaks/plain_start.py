"""An interpreter that imports a hundred modules of the standard library, runs a unittest and ends: no leak at all."""

import importlib
import io
import unittest

from leak_workload import tell

MODULES = """
abc argparse array ast asyncio base64 bdb binascii bisect calendar cmath cmd code codecs codeop collections colorsys
compileall concurrent.futures configparser contextlib contextvars copy copyreg csv ctypes dataclasses datetime dbm decimal difflib
dis doctest email email.message email.mime.text enum errno fcntl filecmp fileinput fnmatch fractions ftplib functools getopt getpass
gettext glob graphlib gzip hashlib heapq hmac html html.parser http http.client http.cookies http.server importlib.metadata
inspect io ipaddress itertools json keyword linecache locale logging logging.config logging.handlers lzma mailbox
marshal math mimetypes mmap multiprocessing netrc numbers operator optparse pathlib pdb pickle pickletools pkgutil
platform plistlib poplib pprint profile pstats py_compile pyclbr queue quopri random re reprlib resource runpy sched secrets
select selectors shelve shlex shutil signal smtplib socket socketserver sqlite3 ssl stat statistics string stringprep
struct subprocess symtable sysconfig tarfile tempfile textwrap threading timeit token tokenize trace traceback tracemalloc
types typing unicodedata unittest unittest.mock urllib.parse urllib.request uuid wave weakref xml.dom.minidom
xml.etree.ElementTree xml.sax zipapp zipfile zlib zoneinfo
""".split()


class Sums(unittest.TestCase):
    def test_sum(self):
        self.assertEqual(sum(range(100)), 4950)

    def test_mock(self):
        from unittest import mock
        with mock.patch("json.dumps", return_value="x"):
            import json
            self.assertEqual(json.dumps({}), "x")

    def test_failure(self):
        with self.assertRaises(ZeroDivisionError):
            1 // 0

    def test_subtests(self):
        for number in range(50):
            with self.subTest(number=number):
                self.assertEqual(number, number)


def main():
    imported = 0
    for name in MODULES:
        if imported == 100:
            break
        try:
            importlib.import_module(name)
        except ImportError:  # builds leave some out
            continue
        imported += 1
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Sums)
    outcome = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    assert outcome.wasSuccessful() and imported == 100
    tell(modules=imported, tests=outcome.testsRun)


main()
