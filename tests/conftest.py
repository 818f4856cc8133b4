"""The hand model `mano` of the tests is a stand-in of the same shapes."""

import pytest

import mano_standin
from twohands.hands.mano import FOLDER_VARIABLE, mano_hand
from twohands.hands.mano_files import read_mano


@pytest.fixture(scope="session", autouse=True)
def mano_folder(tmp_path_factory):
    """The folder of the stand-in's files, which the environment names as well."""
    folder = mano_standin.write(tmp_path_factory.mktemp("mano"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        mano_hand.cache_clear()
        yield folder


@pytest.fixture(scope="session")
def mano(mano_folder):
    """What those files hold."""
    return read_mano(mano_folder)
