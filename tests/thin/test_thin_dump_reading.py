"""The output of each version of thin_dump is read: mappings that devices share are once in that of 1.0."""

import pytest

from tests.thin.recorded_history import HISTORIES, records
from thinsim.dm.clients.kernel_metadata import parse_dump
from thinsim.errors import ProgramFailedError
from thinsim.thin.mapping import Run
from thinsim.thin.metadata.dump_reading import lines_of_0_9

SIZES = 'version="2" data_block_size="128" nr_data_blocks="64"'
OF_1_1 = f"""<superblock uuid="" time="2" transaction="7" {SIZES}>
  <def name="5">
    <range_mapping origin_begin="0" data_begin="10" length="3" time="0"/>
  </def>
  <def name="8">
    <ref name="5"/>
    <range_mapping origin_begin="3" data_begin="13" length="2" time="0"/>
  </def>
  <device dev_id="1" mapped_blocks="7" transaction="0" creation_time="0" snap_time="1">
    <ref name="8"/>
    <single_mapping origin_block="5" data_block="15" time="0"/>
    <single_mapping origin_block="6" data_block="16" time="1"/>
  </device>
  <device dev_id="2" mapped_blocks="5" transaction="6" creation_time="1" snap_time="1">
    <ref name="8"/>
  </device>
  <device dev_id="3" mapped_blocks="0" transaction="7" creation_time="2" snap_time="2">
  </device>
</superblock>"""
OF_0_9 = f"""<superblock uuid="" time="2" transaction="7" flags="0" {SIZES}>
  <device dev_id="1" mapped_blocks="7" transaction="0" creation_time="0" snap_time="1">
    <range_mapping origin_begin="0" data_begin="10" length="6" time="0"/>
    <single_mapping origin_block="6" data_block="16" time="1"/>
  </device>
  <device dev_id="2" mapped_blocks="5" transaction="6" creation_time="1" snap_time="1">
    <range_mapping origin_begin="0" data_begin="10" length="5" time="0"/>
  </device>
  <device dev_id="3" mapped_blocks="0" transaction="7" creation_time="2" snap_time="2">
  </device>
</superblock>
"""


def test_a_dump_with_shared_mappings_is_read_as_one_without() -> None:
    assert lines_of_0_9(OF_1_1) == OF_0_9
    assert parse_dump(OF_1_1) == parse_dump(OF_0_9)
    assert parse_dump(OF_1_1)[2] == [Run(0, 10, 5, 0)]


@pytest.mark.parametrize("seed", HISTORIES)
def test_a_dump_of_the_kernel_s_metadata_by_0_9_is_written_as_it_was_read(seed: int) -> None:
    recorded = next(record for record in records(seed) if record["op"] == "thin_dump")
    assert lines_of_0_9(recorded["xml"]) == recorded["xml"]


def test_flags_are_kept() -> None:
    assert ' flags="1" ' in lines_of_0_9(OF_1_1.replace(' version="2"', ' flags="1" version="2"'))


@pytest.mark.parametrize("text", ["", "no XML", OF_1_1[:400], OF_1_1.replace('name="5"', 'name="6"', 1)])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ProgramFailedError, match="no output of thin_dump"):
        parse_dump(text)
