"""A directory that can't be created is an error that names the variable for another."""

from pathlib import Path

import pytest

from thinsim.dm.standing.places import Places
from thinsim.errors import EnvironmentLacksError


@pytest.mark.parametrize(("at_fault", "variable"), [("runtime", "RUNTIME"), ("state", "STATE")])
def test_a_directory_that_can_not_be_created_names_the_variable_for_another(
    tmp_path: Path, at_fault: str, variable: str
) -> None:
    (tmp_path / "file").touch()
    places = {"runtime": tmp_path / "runtime", "state": tmp_path / "state"}
    places[at_fault] = tmp_path / "file" / "dm"
    with pytest.raises(EnvironmentLacksError) as caught:
        Places(**places).make()
    assert f"{places[at_fault]}: Not a directory; set THINSIM_{variable}_DIR to" in str(caught.value)
