"""The best checkpoint of a Hugging Face trainer is found again where the folder is now."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from syne_hypersched.integrations._hf_best import Best, trainer_folder


class State(SimpleNamespace):
    def save_to_json(self, path):
        Path(path).write_text(str(self.best_model_checkpoint))


def state(step, best_step, best=None, metric=0.5):
    return State(global_step=step, best_global_step=best_step, best_model_checkpoint=best, best_metric=metric)


@pytest.fixture
def written(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "model").write_text("weights")
    return folder


def test_the_best_one_is_kept_and_the_one_before_removed(tmp_path, written):
    best = Best(str(tmp_path))
    (tmp_path / "best-model-4").mkdir()
    now = state(8, 8, best="somewhere")
    best.name(now)
    best.keep(now, str(written))
    best.remove_others(now)
    assert now.best_model_checkpoint == str(tmp_path / "best-model-8")
    assert (tmp_path / "best-model-8/model").read_text() == "weights"
    assert (written / "trainer_state.json").read_text() == now.best_model_checkpoint
    assert not (tmp_path / "best-model-4").exists()


def test_one_that_is_not_the_best_is_not_kept(tmp_path, written):
    now = state(8, 4, best=str(tmp_path / "best-model-4"))
    Best(str(tmp_path)).keep(now, str(written))
    assert not list(tmp_path.glob("best-model-*"))
    none = state(8, None)
    Best(str(tmp_path)).name(none)
    assert none.best_model_checkpoint is None


@pytest.mark.parametrize("recorded", [None, "/another/node/best-model-4"])
def test_it_is_found_where_the_folder_is_now(tmp_path, written, recorded):
    (tmp_path / "best-model-4").mkdir()
    now = state(8, 4, best=recorded)
    Best(str(tmp_path)).find_again(now, str(written), is_main=True)
    assert now.best_model_checkpoint == str(tmp_path / "best-model-4")
    assert now.best_metric == 0.5


def test_a_lost_copy_of_the_checkpoint_itself_is_made_again(tmp_path, written):
    now = state(8, 8)
    Best(str(tmp_path)).find_again(now, str(written), is_main=False)
    assert not list(tmp_path.glob("best-model-*"))
    Best(str(tmp_path)).find_again(now, str(written), is_main=True)
    assert (tmp_path / "best-model-8/model").read_text() == "weights"
    assert now.best_model_checkpoint == str(tmp_path / "best-model-8")


def test_a_lost_one_is_replaced_by_the_best_from_now_on(tmp_path, written, caplog):
    now = state(8, 4, best="/another/node/best-model-4")
    Best(str(tmp_path)).find_again(now, str(written), is_main=True)
    assert (now.best_model_checkpoint, now.best_metric, now.best_global_step) == (None, None, None)
    assert "of step 4, no longer exists" in caplog.text


def test_a_run_without_a_best_one_is_left_alone(tmp_path, written):
    now = state(8, None, metric=None)
    Best(str(tmp_path)).find_again(now, str(written), is_main=True)
    assert now == state(8, None, metric=None)


def test_the_folder_of_the_trainer_is_found_in_a_checkpoint(tmp_path):
    assert trainer_folder(str(tmp_path)) == f"{tmp_path}/"
    (tmp_path / "checkpoint-8").mkdir()
    (tmp_path / "manifest.json").touch()
    assert trainer_folder(str(tmp_path)) == str(tmp_path / "checkpoint-8")
