"""JUnit XML has the elements, attributes and totals that its readers expect."""

from tests.report.junit_form import check_junit
from thinsim.report import junit
from thinsim.report.document import Report


def test_a_report_has_the_form_that_readers_of_junit_expect(image_removal: Report) -> None:
    root = check_junit(junit.junit(image_removal, fail_on_leak=0))
    assert root.attrib["tests"] == "15"
    assert float(root.attrib["time"]) > 0
    assert root.attrib["timestamp"] == min(suite.attrib["timestamp"] for suite in root)


def test_a_skipped_case_has_its_reason_and_is_counted() -> None:
    cases = [
        junit.TestCase("ran", seconds=1.25),
        junit.TestCase("leak", skipped="not in the baseline <yet>", seconds=0.5),
        junit.TestCase("speed", failure="slower"),
        junit.TestCase("asserts", error="could not run"),
    ]
    root = check_junit(
        junit.document([("one", 0.0, cases), ("two", 60.0, [junit.TestCase("ran", seconds=2)])])
    )
    (skipped,) = root.iter("skipped")
    assert skipped.attrib["message"] == skipped.text == "not in the baseline <yet>"
    names = ("tests", "failures", "errors", "skipped", "time", "timestamp")
    assert [root.attrib[name] for name in names] == ["5", "1", "1", "1", "3.750", "1970-01-01T00:00:00"]
    assert [suite.attrib["skipped"] for suite in root] == ["1", "0"]


def test_a_document_without_suites_is_still_junit() -> None:
    assert check_junit(junit.document([])).attrib["tests"] == "0"
