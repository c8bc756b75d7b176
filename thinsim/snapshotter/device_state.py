"""A device has one of fourteen states: what was tried last, and whether it succeeded.

An -ing state is the intent, written before the act; the state after it is the result. A record found
in an -ing state therefore means that the act was cut short and its outcome is not known. containerd
``plugins/snapshots/devmapper/device_info.go``.
"""

from enum import StrEnum


class DeviceState(StrEnum):
    """containerd's words."""

    UNKNOWN = "Unknown"
    """A thin id is allocated, nothing was done with it yet."""
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
    """The thin id is deleted, or (``async_remove``) its snapshot is and cleanup deletes the thin id."""
    FAULTY = "Faulty"
    """Its making failed and could not be undone; its thin id is not used again."""
