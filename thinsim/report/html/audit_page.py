"""`render_audit` fills ``audit.html.j2`` with the results of an audit."""

import time
from collections.abc import Sequence

from thinsim import __version__
from thinsim.node.audit.audited import AuditedPool
from thinsim.report.html.templates import environment


def render_audit(pools: Sequence[AuditedPool]) -> str:
    """Return the HTML page of *pools*, which needs no other file."""
    template = environment().get_template("audit.html.j2")
    return template.render(pools=pools, time=time.time(), version=__version__)
