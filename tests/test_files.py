"""A folder is whole or absent."""

import pytest

from hrm_align.files import new_folder


def test_a_folder_that_is_interrupted_never_gets_its_name(tmp_path):
    def interrupted():
        with new_folder(tmp_path / "new", 0) as folder:
            (folder / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
