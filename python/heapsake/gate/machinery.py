"""
What in a test's region is not the test's: what the test framework itself allocates around the test's function.

Between the function that opens the region (the boundary) and the test's code lie frames of the framework. A block whose stack has
nothing but those behind the boundary was allocated by the framework; one of another thread, whose stack has no
boundary, was not. Frames of native code decide nothing.
"""

import os


class Machinery:
    def __init__(self, boundary, modules):
        """`boundary`: (function, without what it is in, and the end of its file's name). `modules`: whose files, or folders, are the framework's."""
        self.boundary = boundary
        self.places = []
        for module in modules:
            file = getattr(module, "__file__", None)
            if file:
                is_package = os.path.basename(file).startswith("__init__.")
                self.places.append(os.path.dirname(file) + os.sep if is_package else file)
        self.places = tuple(self.places)

    def allocated(self, stack):
        """Was that stack (innermost first) the framework's own?"""
        for frame in stack:
            if frame.language == "native":
                continue
            # before 3.11 frames have no qualified names
            if (frame.function or "").rpartition(".")[2] == self.boundary[0] and (frame.file or "").endswith(self.boundary[1]):
                return True
            if not (frame.file or "").startswith(self.places):
                return False
        return False
