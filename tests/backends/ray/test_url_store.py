"""Checkpoints behind a URL: whole or not there, on file systems of fsspec that work and that fail."""

from __future__ import annotations

import itertools
import json

import pytest

from syne_hypersched.backends.ray._url_store import UrlStore
from syne_hypersched.checkpoints import GenerationStore
from tests.checkpoints.test_moving import begin, take, write

fsspec = pytest.importorskip("fsspec")


class Breaks:
    """A file system that breaks after so many writes, and then never works again."""

    def __init__(self, fs, num_writes):
        self._fs, self._left = fs, num_writes

    def _count(self):
        if self._left == 0:
            raise RuntimeError("the bucket is gone")
        self._left -= 1

    def open(self, path, mode):
        if mode == "wb":
            self._count()
        return self._fs.open(path, mode)

    def pipe_file(self, path, data):
        self._count()
        self._fs.pipe_file(path, data)

    def rm_file(self, path):
        self._count()
        self._fs.rm_file(path)

    def __getattr__(self, name):
        return getattr(self._fs, name)


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path):
    if request.param == "file":
        yield f"file://{tmp_path}/bucket"
    else:
        yield f"memory://{tmp_path.name}"
        fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


@pytest.fixture
def source(tmp_path):
    return tmp_path / "a" / "0" / "checkpoints"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "b" / "0" / "checkpoints"


def put(store, source):
    return store.put("0", source, source.with_name(".uploading"))


def get(store, target):
    return store.get("0", target, target.with_name(".uploading"))


def test_a_launch_elsewhere_goes_on_from_it(url, source, target):
    write(source, model="one", state="1")
    take(source, 1, "moved")
    write(source, state="22")
    take(source, 2, "moved")
    assert put(UrlStore(url, "run"), source) > 0
    assert get(UrlStore(url, "run"), target) == 2
    beginning, is_whole, files = begin(target)
    assert (beginning.generation, beginning.restored, is_whole) == (2, "", True)
    assert files == {"model": "one", "state": "22"}
    assert [found.number for found in GenerationStore(target).generations()] == [1, 2]
    assert [path.name for path in source.parent.iterdir() if path.name == ".uploading"] == []


def test_what_is_there_already_is_not_written_again(url, source, target):
    store = UrlStore(url, "run")
    write(source, state="1")
    take(source, 1)
    assert put(store, source) == 1
    assert put(store, source) == 0
    write(source, state="22")
    take(source, 2)
    assert put(store, source) == 2
    GenerationStore(source).remove(1)
    assert put(store, source) == 0
    assert get(store, target) == 2
    assert [found.number for found in GenerationStore(target).generations()] == [2]
    folders = {path.split("/states/")[1].split("/")[0] for path in store._find("0") if "/states/" in path}
    assert folders == {"00000003"}
    assert len([path for path in store._find("0") if path.endswith("parcel.json")]) == 1


def test_a_folder_that_is_newer_than_its_generations_comes_with_them(url, source, target):
    write(source, state="1")
    take(source, 1)
    write(source, state="22", more="")
    put(UrlStore(url, "run"), source)
    get(UrlStore(url, "run"), target)
    assert (target / "state").read_text() == "22"
    assert (target / "more").read_text() == ""
    assert [found.number for found in GenerationStore(target).generations()] == [1]


def test_nothing_is_there(url, source, target):
    store = UrlStore(url, "run")
    assert put(store, source) == 0
    assert get(store, target) is None
    store.remove("0")
    write(source, state="1")
    take(source, 1)
    put(store, source)
    store.remove("0")
    assert store._find("0") == set()
    assert get(store, target) is None
    assert put(store, source) == 1, "it is written again"


def test_a_state_that_was_not_written_to_its_end_is_not_read(url, source, tmp_path):
    write(source, model="m" * 100, state="1")
    take(source, 1, "moved")
    whole = UrlStore(url, "run")
    put(whole, source)
    write(source, state="22")
    take(source, 2, "moved")
    write(source, state="333")
    for num_writes in itertools.count():
        store = UrlStore(url, "run")
        store._fs = Breaks(store._fs, num_writes)
        failed = None
        try:
            put(store, source)
        except OSError as error:
            failed = str(error)
        target = tmp_path / str(num_writes) / "0" / "checkpoints"
        number = get(whole, target)
        files = {path.name: path.read_text() for path in target.iterdir()}
        assert (number, files) in [(1, {"model": "m" * 100, "state": "1"}), (2, {"model": "m" * 100, "state": "333"})]
        if failed is None:
            assert number == 2
            break
        assert failed == "RuntimeError: the bucket is gone"
    assert num_writes > 5


def test_a_damaged_description_is_not_read(url, source, target):
    store = UrlStore(url, "run")
    write(source, state="1")
    take(source, 1)
    put(store, source)
    (state,) = [path for path in store._find("0") if path.endswith("state.json")]
    store._fs.pipe_file(state, b'{"generations": [')
    assert get(store, target) is None


def test_what_would_leave_the_trials_folder_is_refused(url, source, target):
    store = UrlStore(url, "run")
    write(source, state="1")
    take(source, 1)
    put(store, source)
    (parcel,) = [path for path in store._find("0") if path.endswith("parcel.json")]
    data = json.loads(store._fs.cat_file(parcel))
    data["entries"] = {"../../evil": ["file", 0]}
    store._fs.pipe_file(parcel, json.dumps(data).encode())
    with pytest.raises(ValueError):
        get(store, target)
    assert not list(target.parents[1].rglob("evil"))


def test_a_place_to_which_nothing_can_be_written_is_found_out(url):
    store = UrlStore(url, "run")
    store.check()
    assert store._find(".probe") == set()
    store._fs = Breaks(store._fs, 0)
    with pytest.raises(OSError, match="RuntimeError: the bucket is gone"):
        store.check()


def test_no_such_place():
    with pytest.raises(ValueError, match="checkpoint_path must be a folder, or a URL that fsspec can write to"):
        UrlStore("nosuch://bucket", "run")
