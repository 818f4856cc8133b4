"""The hand model `mano` of the tests is a stand-in of the same shapes."""

import pytest

import mano_standin
from twohands.hands.mano import FOLDER_VARIABLE, mano_hand


@pytest.fixture(scope="session", autouse=True)
def mano_folder(tmp_path_factory):
    """The folder of the stand-in's files, which the environment names as well."""
    folder = mano_standin.write(tmp_path_factory.mktemp("mano"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        mano_hand.cache_clear()
        yield folder
