"""`check_junit` refuses XML that a reader of JUnit reports, Jenkins or the Surefire schema, would refuse."""

from datetime import datetime
from xml.etree import ElementTree

_COUNTS = {"tests", "failures", "errors", "skipped", "time", "timestamp"}
_ATTRIBUTES = {
    "testsuites": {"name", *_COUNTS},
    "testsuite": {"name", *_COUNTS},
    "testcase": {"classname", "name", "time"},
    "failure": {"message"},
    "error": {"message"},
    "skipped": {"message"},
}
"""The attributes that readers need; each of them knows more, which thinsim does not write."""

_CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"failure", "error", "skipped"},
}


def check_junit(text: str) -> ElementTree.Element:
    """Return the root of *text*. AssertionError if an element, an attribute or a count is wrong."""
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.keys()) == _ATTRIBUTES[element.tag], ElementTree.tostring(element)
        assert {child.tag for child in element} <= _CHILDREN.get(element.tag, set())
    for element in [root, *root]:
        cases = list(element.iter("testcase"))
        counted = {kind: len(list(element.iter(kind))) for kind in ("failure", "error", "skipped")}
        assert int(element.attrib["tests"]) == len(cases)
        assert int(element.attrib["failures"]) == counted["failure"]
        assert int(element.attrib["errors"]) == counted["error"]
        assert int(element.attrib["skipped"]) == counted["skipped"]
        spent = sum(float(case.attrib["time"]) for case in cases)
        assert abs(float(element.attrib["time"]) - spent) < 0.001 * (len(cases) + 1)
        datetime.fromisoformat(element.attrib["timestamp"])
    assert all(len(case) <= 1 for case in root.iter("testcase"))
    return root
