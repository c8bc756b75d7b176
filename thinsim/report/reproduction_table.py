"""`print_to` prints a reproduction: phases against settings, then every leak with its owner and reason."""

from rich.console import Console

from thinsim.report.phase_table import Column, print_runs, times
from thinsim.scenario.container_lifecycle import LifecyclePhase
from thinsim.scenario.reproduce import Reproduction
from thinsim.units import format_size


def print_to(console: Console, result: Reproduction) -> None:
    """Print *result* as ``thinsim reproduce`` does."""
    console.print(
        f"{result.image}: {result.layers} layers; a container that writes "
        f"{format_size(result.container_bytes)}; subject {result.subject}, rig {result.rig}, "
        f"{f'set-up {result.setup}, ' if result.setup else ''}"
        f"Linux {result.kernel}; data blocks of {format_size(result.shape.block_bytes)}\n",
        highlight=False,
    )
    columns = [Column(run.setting.name, run.samples, run.leaks) for run in result.runs]
    print_runs(console, LifecyclePhase.ALL, columns, result.shape.block_bytes, result.freed_bytes)
    if result.config_toml:
        console.print(
            f"\nconfig.toml for this set-up:\n\n{result.config_toml}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    console.print(f"\n{times(result.seconds)}", style="dim", highlight=False, soft_wrap=True)
