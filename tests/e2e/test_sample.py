"""examples/ci: its workflow passes, and fails with the line when a leak is planted."""

import json
import re
import shutil
import xml.etree.ElementTree as xml

import pytest

from support import building, interpreters, pytest_modules, running, traces

SAMPLE = building.ROOT / "examples" / "ci"
SOURCE = "accesslog/_fields.c"


@pytest.fixture(params=[(3, 11), (3, 13)], ids=["3.11", "3.13"])
def workflow(request, tmp_path):
    """workflow(script, ...) runs a script of the sample, in a copy of it, as a workflow does; in `workflow.folder`."""
    fit = [one for one in interpreters.traced_interpreters() if one.version[:2] == request.param and one.include_folder]
    if not fit or not shutil.which("make"):
        pytest.skip("no such CPython with headers, or no make")
    python = next((one for one in fit if one.has("pytest")), fit[0])
    folder = tmp_path / "sample"
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("*.so", "__pycache__", ".pytest_cache", "memory.*"))
    environment = running.clean_environment(PYTHON=python.path, HEAPSAKE=traces.heapsake_binary(), GITHUB_ACTIONS="true",
                                            **pytest_modules.environment(python, tmp_path, plugin=True))

    def go(script, *words, workspace=folder):
        return running.run([folder / script, *words], env={**environment, "GITHUB_WORKSPACE": str(workspace)})
    go.folder = folder
    return go


def results(folder):
    """Of both documents: the SARIF's results, and {test case: its failure} of JUnit's."""
    sarif = json.loads((folder / "memory.sarif").read_text())
    junit = xml.parse(folder / "memory.xml").getroot()
    return sarif["runs"][0]["results"], {case.get("name"): case.find("failure") for case in junit.iter("testcase")}


def test_clean(workflow):
    done = workflow("check.sh")
    assert done.status == 0, done
    assert "Passed: 4 limits" in done.out and "::error" not in done.out
    assert "baseline" not in done.out, "the committed baseline has leaks that are gone"
    found, cases = results(workflow.folder)
    assert found == [] and len(cases) == 4 and not any(cases.values())


def test_planted(workflow, tmp_path):
    planted = tmp_path / "planted"
    done = workflow("plant.sh", planted, workspace=planted)
    assert done.status == 1, done
    text = (planted / SOURCE).read_text().splitlines()
    line = next(number for number, words in enumerate(text, 1) if "PyObject_CallObject(make" in words)
    assert "-        Py_DECREF(request);" in done.out
    assert re.search(rf"suspect parse  \S*/{SOURCE}:{line}\n", done.out), done
    # one or another may seem to be referred to by an old word on a stack
    assert re.search(r"leak: over-referenced, .* in (49\d|500) accesslog\.Request\n", done.out), done
    assert f"::error file={SOURCE},line={line},title=heapsake no-new-leaks::not in the baseline: leak: over-refer" in done.out
    # the test whose marker allows no leak fails, and the others pass
    assert "1 failed, " in done.out and "test_broken_off" in done.out
    found, cases = results(planted)
    leaks = [one for one in found if one["ruleId"] == "no-new-leaks"]
    assert leaks and {one["ruleId"] for one in found} == {"no-new-leaks", "max-peak"}
    for one in leaks:
        assert one["locations"][0]["physicalLocation"] == {"artifactLocation": {"uri": SOURCE}, "region": {"startLine": line}}
    failures = {name: failure.text for name, failure in cases.items() if failure is not None}
    assert len(failures) == len(found) and "tests/test_accesslog.py::test_totals:max-peak 256 kB" in failures
    assert all(f"{SOURCE}:{line}" in text for name, text in failures.items() if name.startswith("no-new-leaks"))
    assert not list(workflow.folder.glob("memory.*")), "plant.sh works on a copy"


@pytest.mark.parametrize("workflow", [(3, 11)], ids=["3.11"], indirect=True)
def test_failing_test(workflow):
    """A test that fails is no less a failure when the memory is right."""
    with open(workflow.folder / "tests" / "test_accesslog.py", "a", encoding="utf-8") as file:
        file.write("\n\ndef test_wrong():\n    assert False\n")
    done = workflow("check.sh")
    assert done.status == 1 and "1 failed" in done.out, done
    assert "Passed: 4 limits" in done.out


def test_workflow_runs_the_script():
    text = (SAMPLE / ".github" / "workflows" / "memory.yml").read_text()
    script = (SAMPLE / "check.sh").read_text()
    assert re.search(r"^ +- run: \./check\.sh$", text, re.M)
    assert "sarif_file: memory.sarif" in text and "--sarif memory.sarif" in script
