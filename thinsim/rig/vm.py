"""The rig ``vm`` is the kernel rig in a throw-away guest, which ``thinsim.guests`` boots."""

from thinsim.rig.kernel import KERNEL
from thinsim.rig.record import Need, RigRecord
from thinsim.vm.probe import probe_guest, probe_kvm

VM = RigRecord(
    name="vm",
    needs=(
        Need(lambda directory: probe_guest()),
        Need(lambda directory: [probe_kvm()], required=False),
    ),
    running=None,
    inside=KERNEL.name,
    # Only --rig vm boots a guest: without KVM a guest takes minutes.
    chosen_by_auto=False,
    takes_set_ups=True,
    pool="the `kernel` rig in a throw-away guest",
    best_for="measuring what a kernel's dm-thin does on a machine without it; takes minutes without KVM",
)
