"""TensorBoard's files hold each epoch once, at its global step, also of a continued stage."""

import struct

import pytest

pytest.importorskip("tensorboardX", reason="event files need tensorboardX")

from tensorboardX.proto.event_pb2 import Event, SessionLog

from enhancer.training.event_log import EventLog


def row(epoch: int, loss: float = 0.1) -> dict:
    return {
        "epoch": epoch,
        "step": 7 * epoch,
        "train_loss": loss / 2 if epoch else None,
        "validation_loss": loss,
        "gap": loss / 2 if epoch else None,
        "learning_rate": 1e-4,
        "skipped_steps": 0,
        "images_per_second": 12.5,
        "seconds": 3.0,
    }


def events_in(file) -> list[Event]:
    content, events, start = file.read_bytes(), [], 0
    while start < len(content):  # length, its checksum, the event, its checksum
        (length,) = struct.unpack_from("<Q", content, start)
        events.append(Event.FromString(content[start + 12 : start + 12 + length]))
        start += 16 + length
    return events


def curves_in(folder) -> dict[str, dict[int, float]]:
    """What TensorBoard shows: a session's start voids this and later steps read before."""
    shown: list[tuple[int, str, float]] = []
    for file in sorted(folder.iterdir()):
        for event in events_in(file):
            if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                shown = [point for point in shown if point[0] < event.step]
            shown += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
    steps = [(step, tag) for step, tag, _ in shown]
    assert len(set(steps)) == len(steps), "a step is shown twice"
    return {tag: {s: v for s, t, v in shown if t == tag} for _, tag, _ in shown}


def test_each_epoch_is_a_point_at_its_global_step(tmp_path):
    with EventLog(tmp_path / "events") as log:
        for epoch in range(3):
            log.epoch(row(epoch, 0.2 / (epoch + 1)))
    curves = curves_in(tmp_path / "events")
    assert curves["loss/validation"] == pytest.approx({0: 0.2, 7: 0.1, 14: 0.2 / 3})
    assert set(curves) == {
        *("loss/train", "loss/validation", "loss/gap"),
        *("learning_rate", "images_per_second", "skipped_steps"),
    }


def test_epoch_0_has_a_validation_loss_only(tmp_path):
    with EventLog(tmp_path) as log:
        log.epoch(row(0))
    assert set(curves_in(tmp_path)) == {"loss/validation"}


def test_an_epoch_is_on_the_disk_before_the_log_is_closed(tmp_path):
    log = EventLog(tmp_path)
    log.epoch(row(0))
    assert 0 in curves_in(tmp_path)["loss/validation"]
    log.close()


def test_a_continued_stage_shows_no_step_twice(tmp_path):
    for epochs, loss in ((range(4), 0.4), (range(2, 6), 0.2), (range(5, 7), 0.1)):
        with EventLog(tmp_path) as log:
            for epoch in epochs:
                log.epoch(row(epoch, loss))
    assert len(list(tmp_path.iterdir())) == 3
    losses = curves_in(tmp_path)["loss/validation"]
    assert losses == pytest.approx({0: 0.4, 7: 0.4, 14: 0.2, 21: 0.2, 28: 0.2, 35: 0.1, 42: 0.1})


def test_a_finished_stage_that_starts_again_adds_no_file(tmp_path):
    with EventLog(tmp_path / "events"):
        pass
    assert not (tmp_path / "events").exists()
