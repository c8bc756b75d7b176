"""A `DeviceState` records the last act on a device and whether it succeeded.

An -ing state is the intent, written before the act; the state after it is the result. A record in an
-ing state therefore shows that the act was interrupted and its outcome is unknown. The states are those
of containerd ``plugins/snapshots/devmapper/device_info.go``.
"""

from enum import StrEnum


class DeviceState(StrEnum):
    """A `DeviceState` is one of the fourteen states of a device in containerd."""

    UNKNOWN = "Unknown"
    """A thin id is allocated and has not been used yet."""
    CREATING = "Creating"
    CREATED = "Created"
    ACTIVATING = "Activating"
    ACTIVATED = "Activated"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    RESUMING = "Resuming"
    RESUMED = "Resumed"
    DEACTIVATING = "Deactivating"
    DEACTIVATED = "Deactivated"
    REMOVING = "Removing"
    REMOVED = "Removed"
    """The thin id is deleted, or (``async_remove``) its snapshot is and cleanup will delete the thin id."""
    FAULTY = "Faulty"
    """Its creation failed and could not be undone; its thin id is not used again."""
