"""The hand model `mano` of the tests is a stand-in of the same shapes; modules and tests are no garbage."""

import gc

import pytest

import mano_standin
from twohands.hands.mano import FOLDER_VARIABLE, mano_hand
from twohands.hands.mano_files import read_mano


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Leave what imports and collection make, which lives to the end, out of all collections of garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def mano_folder(tmp_path_factory):
    """The folder of the stand-in's files, which the environment names as well."""
    folder = mano_standin.write(tmp_path_factory.mktemp("mano"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        mano_hand.cache_clear()
        yield folder


@pytest.fixture
def few_steps(monkeypatch):
    """Steps of training are logged two by two, so that the time of a step is measured over 2 of 4, not 20 of 40."""
    for module in ("training.loop", "experiments.run"):
        monkeypatch.setattr(f"twohands.{module}.LOG_STEPS", 2)


@pytest.fixture(scope="session")
def mano(mano_folder):
    """What those files hold."""
    return read_mano(mano_folder)
