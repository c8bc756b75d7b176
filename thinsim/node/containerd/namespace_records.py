"""`read_metadata` reads meta.db: the images, containers, leases and snapshots of each namespace.

The layout is that of containerd's core/metadata/buckets.go (1.x: metadata/buckets.go): a bucket per
namespace in ``v1``. Its versions 1 to 4 (core/metadata/migrations.go) differ in the children of
snapshots, which thinsim reads if they are there, in ingests, which it does not read, and in sandboxes:
containerd 1.7, with version 3, keeps them beside ``v1``, and containerd 2 in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from thinsim.node.containerd.bolt import BoltDatabase, read_database
from thinsim.node.containerd.bucket_fields import BucketFields
from thinsim.node.containerd.errors import DatabasePlace, UnknownSchemaError

NEWEST_VERSION = 4
"""The version of containerd 2; that of 1.6 and 1.7 is 3."""

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An `ImageRecord` names the content that an image begins with: *target*, a digest."""

    name: str
    target: str
    media_type: str
    labels: Labels
    created: datetime | None
    updated: datetime | None


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """A `ContainerRecord` names the image and the snapshot of a container; each may be empty."""

    id: str
    image: str
    snapshotter: str
    snapshot_key: str
    labels: Labels
    created: datetime | None
    updated: datetime | None


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A `LeaseRecord` names the resources that a lease keeps from the garbage collector."""

    id: str
    snapshots: Mapping[str, tuple[str, ...]]
    """The keys of snapshots by snapshotter."""
    contents: tuple[str, ...]
    images: tuple[str, ...]
    """The names of images, which leases of containerd's main branch of August 2026 may have."""
    labels: Labels
    created: datetime | None


@dataclass(frozen=True, slots=True)
class ClientSnapshot:
    """A `ClientSnapshot` has the key for clients of a namespace, and the key that the snapshotter has."""

    key: str
    backend_key: str
    """The key that the snapshotter has it under."""
    parent: str
    """The key of the parent in the same namespace, or empty."""
    children: tuple[str, ...]
    labels: Labels
    created: datetime | None
    updated: datetime | None


@dataclass(frozen=True, slots=True)
class NamespaceRecord:
    """A `NamespaceRecord` has the records of a namespace, each by its name, id, digest or key."""

    name: str
    labels: Labels
    images: Mapping[str, ImageRecord]
    contents: Mapping[str, Labels]
    """The labels of each blob, by its digest."""
    containers: Mapping[str, ContainerRecord]
    leases: Mapping[str, LeaseRecord]
    snapshots: Mapping[str, Mapping[str, ClientSnapshot]]
    """The snapshots of each snapshotter."""
    sandboxes: Mapping[str, Labels]
    """The labels of each sandbox, by its id."""


@dataclass(frozen=True, slots=True)
class ContainerdMetadata:
    """A `ContainerdMetadata` has the namespaces of a containerd by name, and the version of their layout."""

    version: int
    """The version within schema v1; 0 for a database without one, as containerd 1.0 wrote it."""
    namespaces: Mapping[str, NamespaceRecord]


def read_metadata(path: Path) -> ContainerdMetadata:
    """Return the records in the meta.db *path*.

    Raise what `read_database` raises, and UnknownSchemaError for a database of something else or of a newer
    containerd.
    """
    return metadata_of(read_database(path))


def metadata_of(database: BoltDatabase) -> ContainerdMetadata:
    """Return the records in *database*. Errors as for `read_metadata`."""
    root = BucketFields(database.root, DatabasePlace(database.path))
    schema = root.inner(b"v1")
    if schema is None:
        if database.root.buckets or database.root.values:
            raise UnknownSchemaError(database.path, "it has no bucket v1, so it is not containerd's meta.db")
        return ContainerdMetadata(0, {})
    version = schema.varint(b"version")
    if not 0 <= version <= NEWEST_VERSION:
        raise UnknownSchemaError(
            database.path,
            f"its records have version {version}, and thinsim reads versions 0 to {NEWEST_VERSION}",
        )
    return ContainerdMetadata(
        version, {name: _namespace(name, fields, root) for name, fields in schema.each()}
    )


def _namespace(name: str, fields: BucketFields, root: BucketFields) -> NamespaceRecord:
    sandboxes = [
        *root.each(name.encode(), b"sandboxes"),
        *fields.each(b"sandboxes"),
    ]
    return NamespaceRecord(
        name,
        fields.labels(),
        {each: _image(each, inner) for each, inner in fields.each(b"images")},
        {each: inner.labels() for each, inner in fields.each(b"content", b"blob")},
        {each: _container(each, inner) for each, inner in fields.each(b"containers")},
        {each: _lease(each, inner) for each, inner in fields.each(b"leases")},
        {
            snapshotter: {key: _snapshot(key, inner) for key, inner in snapshots.each()}
            for snapshotter, snapshots in fields.each(b"snapshots")
        },
        {each: inner.labels() for each, inner in sandboxes},
    )


def _image(name: str, fields: BucketFields) -> ImageRecord:
    target = fields.inner(b"target")
    return ImageRecord(
        name,
        target.text(b"digest") if target is not None else "",
        target.text(b"mediatype") if target is not None else "",
        fields.labels(),
        fields.time(b"createdat"),
        fields.time(b"updatedat"),
    )


def _container(name: str, fields: BucketFields) -> ContainerRecord:
    return ContainerRecord(
        name,
        fields.text(b"image"),
        fields.text(b"snapshotter"),
        fields.text(b"snapshotKey"),
        fields.labels(),
        fields.time(b"createdat"),
        fields.time(b"updatedat"),
    )


def _lease(name: str, fields: BucketFields) -> LeaseRecord:
    return LeaseRecord(
        name,
        {snapshotter: inner.names() for snapshotter, inner in fields.each(b"snapshots")},
        fields.names(b"content"),
        fields.names(b"images"),
        fields.labels(),
        fields.time(b"createdat"),
    )


def _snapshot(key: str, fields: BucketFields) -> ClientSnapshot:
    return ClientSnapshot(
        key,
        fields.text(b"name"),
        fields.text(b"parent"),
        fields.names(b"children"),
        fields.labels(),
        fields.time(b"createdat"),
        fields.time(b"updatedat"),
    )
