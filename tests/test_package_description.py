"""What a package index shows of thinsim."""

import re
from importlib.metadata import metadata


def test_the_description_is_the_readme_without_links_that_lead_nowhere_there() -> None:
    found = metadata("thinsim")
    assert found["Description-Content-Type"] == "text/markdown"
    text = found["Description"] or str(found.get_payload())
    assert text.lstrip().startswith("# thinsim")
    assert "make reproduce" in text
    assert "docs/reference/commands.md" in text
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links
    assert [link for link in links if not link.startswith("https://")] == []
