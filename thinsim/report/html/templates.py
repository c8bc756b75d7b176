"""`environment` loads the templates of HTML pages, with the filters for sizes and dates."""

from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from thinsim.units import format_size


def environment() -> Environment:
    """Return the environment for the templates beside this module."""
    found = Environment(
        loader=PackageLoader("thinsim.report.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["size"] = format_size
    found.filters["date"] = _date
    return found


def _date(seconds: float) -> str:
    """Return the date and time in UTC, since readers of the page may live in another time zone."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
