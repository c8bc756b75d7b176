"""Each test of SnapshotterSuite and of the devmapper plugin in containerd has a test here, by name.

The spellings on the left are containerd's (``core/snapshots/testsuite/testsuite.go``,
``plugins/snapshots/devmapper/*_test.go``).
"""

import ast

import pytest

from tests.repository import REPOSITORY, TESTS

DOCUMENT = REPOSITORY / "docs" / "explanation" / "snapshotter.md"

CONTRACT = "snapshotter/test_snapshotter_contract.py"  # every rig, and over gRPC
MOUNTED = "snapshotter/test_snapshotter_mounted.py"  # every rig whose devices can be mounted
DEVMAPPER = "snapshotter/test_devmapper_suite.py"  # every rig
CONFIG = "snapshotter/test_snapshotter_config.py"
METADATA = "snapshotter/test_snapshotter_device_store.py"
HOST = "snapshotter/test_snapshotter_host.py"

SUITE = {
    "Basic": (CONTRACT, "test_basic"),
    "StatActive": (CONTRACT, "test_stat_active"),
    "StatComitted": (CONTRACT, "test_stat_committed"),
    "TransitivityTest": (CONTRACT, "test_transitivity"),
    "PreareViewFailingtest": (CONTRACT, "test_prepare_view_failing"),
    "Update": (CONTRACT, "test_update"),
    "Remove": (CONTRACT, "test_remove_frees_the_key"),
    "Walk": (CONTRACT, "test_walk"),
    "LayerFileupdate": (MOUNTED, "test_layer_file_update"),
    "RemoveDirectoryInLowerLayer": (MOUNTED, "test_remove_directory_in_lower_layer"),
    "Chown": (MOUNTED, "test_chown"),
    "DirectoryPermissionOnCommit": (MOUNTED, "test_directory_permission_on_commit"),
    "RemoveIntermediateSnapshot": (CONTRACT, "test_remove_intermediate_snapshot"),
    "DeletedFilesInChildSnapshot": (MOUNTED, "test_deleted_files_in_child_snapshot"),
    "MoveFileFromLowerLayer": (MOUNTED, "test_move_file_from_lower_layer"),
    "ViewReadonly": (MOUNTED, "test_view_readonly"),
    "StatInWalk": (CONTRACT, "test_stat_in_walk"),
    "CloseTwice": (CONTRACT, "test_close_twice"),
    "RootPermission": (MOUNTED, "test_root_permission"),
    "Rename": (MOUNTED, "test_rename"),
    "128LayersMount": (MOUNTED, "test_128_layers_mount"),
}
PLUGIN = {
    "TestLoadConfig": (CONFIG, "test_round_trip"),
    "TestLoadConfigInvalidPath": (CONFIG, "test_unreadable_files_are_named"),
    "TestParseInvalidData": (CONFIG, "test_loading_lists_unknown_mistyped_and_missing_together"),
    "TestFieldValidation": (CONFIG, "test_four_errors_at_once"),
    "TestExistingPoolFieldValidation": (CONFIG, "test_containerd_plugin_table"),
    "TestPoolMetadata_AddDevice": (METADATA, "test_a_new_device_is_unknown_and_has_id_1"),
    "TestPoolMetadata_AddDeviceRollback": (METADATA, "test_an_empty_name_is_refused_and_takes_no_id"),
    "TestPoolMetadata_AddDeviceDuplicate": (METADATA, "test_a_duplicate_is_refused_and_takes_no_id"),
    "TestPoolMetadata_ReuseDeviceID": (METADATA, "test_freed_ids_come_back_in_the_order_of_their_text"),
    "TestPoolMetadata_RemoveDevice": (METADATA, "test_freed_ids_come_back_in_the_order_of_their_text"),
    "TestPoolMetadata_UpdateDevice": (METADATA, "test_states_and_errors"),
    "TestPoolMetadata_MarkFaulty": (METADATA, "test_a_faulty_name_gets_another_id_and_the_old_one_is_lost"),
    "TestPoolMetadata_WalkDevices": (METADATA, "test_all_survives_reopening"),
    "TestPoolMetadata_GetDeviceNames": (METADATA, "test_all_survives_reopening"),
    "TestDMSetup/CreatePool": ("dm/test_dm_contract.py", "test_table_lines"),
    "TestDMSetup/ReloadPool": ("dm/test_dm_reload.py", "test_resuming_a_live_pool_swaps_its_table"),
    "TestDMSetup/CreateDevice": (DEVMAPPER, "test_create_device_a_second_time"),
    "TestDMSetup/CreateSnapshot": (DEVMAPPER, "test_create_snapshot_a_second_time"),
    "TestDMSetup/DeleteSnapshot": (DEVMAPPER, "test_delete_snapshot_a_second_time"),
    "TestDMSetup/ActivateDevice": (DEVMAPPER, "test_activate_device_a_second_time"),
    "TestDMSetup/DeviceStatus": (DEVMAPPER, "test_device_status_suspend_resume_and_removal"),
    "TestDMSetup/SuspendResumeDevice": (DEVMAPPER, "test_device_status_suspend_resume_and_removal"),
    "TestDMSetup/DiscardBlocks": (DEVMAPPER, "test_device_status_suspend_resume_and_removal"),
    "TestDMSetup/RemoveDevice": (DEVMAPPER, "test_device_status_suspend_resume_and_removal"),
    "TestDMSetup/RemovePool": ("dm/test_dm_contract.py", "test_devices_are_listed_sorted_until_removed"),
    "TestDMSetup/Version": (
        "dm/test_drop_in_dmsetup.py",
        "test_sixteen_first_callers_start_one_daemon",
    ),
    "TestPoolDevice/CreateThinDevice": (DEVMAPPER, "test_create_thin_device_duplicate_and_usage"),
    "TestPoolDevice/MakeFileSystem": (DEVMAPPER, "test_make_filesystem_has_usage"),
    "TestPoolDevice/CreateSnapshotDevice": (
        DEVMAPPER,
        "test_snapshots_are_apart_and_a_deactivated_device_can_be_removed",
    ),
    "TestPoolDevice/DeactivateDevice": (
        DEVMAPPER,
        "test_snapshots_are_apart_and_a_deactivated_device_can_be_removed",
    ),
    "TestPoolDevice/RemoveDevice": (
        DEVMAPPER,
        "test_snapshots_are_apart_and_a_deactivated_device_can_be_removed",
    ),
    "TestPoolDevice/rollbackActivate": (
        "snapshotter/test_snapshotter_devices.py",
        "test_a_failed_activation_is_undone",
    ),
    "TestPoolDeviceMarkFaulty": ("snapshotter/test_snapshotter_startup.py", "test_every_state_is_settled"),
    "TestSnapshotterSuite/DevMapperUsage": (MOUNTED, "test_usage_of_a_mebibyte"),
    "TestMkfsExt4": (HOST, "test_command_lines_are_containerds"),
    "TestMkfsExt4NonDefault": (HOST, "test_command_lines_are_containerds"),
    "TestMkfsXfs": (HOST, "test_command_lines_are_containerds"),
    "TestMkfsXfsNonDefault": (HOST, "test_a_failure_has_the_error_text_of_the_command"),
    "TestMultipleXfsMounts": (MOUNTED, "test_snapshots_of_one_parent_are_mounted_side_by_side_and_apart"),
}


@pytest.mark.parametrize("name", [*SUITE, *PLUGIN])
def test_a_containerd_test_has_a_test_here(name: str) -> None:
    file, test = (SUITE | PLUGIN)[name]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse((TESTS / file).read_text())
    assert test in {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_the_suite_has_21_behaviours_and_the_document_names_each() -> None:
    assert len(SUITE) == 21
    text = DOCUMENT.read_text()
    assert [name for name in SUITE if f"`{name}`" not in text] == []
