"""
What in a test's region is not the test's: what the test framework itself allocates around the test's function.

Between the function that opens the region (the boundary) and the test's code lie frames of the framework. A block whose stack has
nothing but those behind the boundary was allocated by the framework; one of another thread, whose stack has no
boundary, was not. Frames of native code decide nothing. A test may call the framework to set something up for it (a fixture by its
name): what that allocates is no more the test's than what is set up before.
"""

import os


class Machinery:
    def __init__(self, boundary, modules, setup=None):
        """
        `boundary`, `setup`: (function, without what it is in, and the end of its file's name). `modules`: whose files, or
        folders, are the framework's.
        """
        self.boundary, self.setup = boundary, setup
        self.places = []
        for module in modules:
            file = getattr(module, "__file__", None)
            if file:
                is_package = os.path.basename(file).startswith("__init__.")
                self.places.append(os.path.dirname(file) + os.sep if is_package else file)
        self.places = tuple(self.places)

    def allocated(self, stack):
        """Was that stack (innermost first) the framework's own?"""
        own = True
        for frame in stack:
            if frame.language == "native":
                continue
            if _is(frame, self.boundary):
                return own
            if self.setup and _is(frame, self.setup):
                return True
            own = own and (frame.file or "").startswith(self.places)
        return False


def _is(frame, place):
    # before 3.11 frames have no qualified names
    return (frame.function or "").rpartition(".")[2] == place[0] and (frame.file or "").endswith(place[1])
