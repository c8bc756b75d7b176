"""The stage of tutorial sets up what the commands of its pages need."""

from tests.docs.stage_kinds import MAIN_JOB, CommandCase, Exempt, PageStage


def _block(number: int) -> str:
    """Return the line of shell that writes the page's TOML block *number* to web.toml."""
    return (
        "awk '/^```/ { inside = 0 } inside && n == " + str(number) + "; /^```toml$/ { inside = 1; n++ }' "
        "$CLONE/docs/tutorial/write-a-scenario.md > web.toml"
    )


_EDITS = f"""case $((RUNS += 1)) in
2) sed -i 's/remov"/remove"/' web.toml;;
3) sed -i 's/discard_blocks = false/discard_blocks = true/' web.toml;;
4) {_block(2)};;
esac"""
"""The reader's edits of web.toml, each before the run that it is for."""

STAGES = {
    "tutorial/write-a-scenario.md": PageStage(
        cases=(
            CommandCase("thinsim scenarios check web.toml", before=_block(1), status=1),
            CommandCase("thinsim run web.toml", before=_EDITS),
        ),
    ),
}

EXEMPT = (
    Exempt("tutorial/reproduce-a-leak.md", "sudo make reproduce", "runs in a clone", MAIN_JOB),
    Exempt("tutorial/reproduce-a-leak.md", "make reproduce", "runs in a clone, without root", MAIN_JOB),
)
