from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hepda.adversarial import History, Trainer
from hepda.adversarial.tail import Tail
from hepda.adversarial.workers import alone, count, join
from tests.adversarial.data import network, shifted

SCRIPT = """
import sys
sys.path.insert(0, {root!r})
import numpy as np, torch
torch.set_num_threads(1)
from tests.adversarial.test_workers import TRAINER
from tests.adversarial.data import network, shifted
from hepda.adversarial.tail import Tail
source, target = shifted(1000)
net = network(tail={tail})
import os
rank = os.environ["RANK"]
# the first worker's checkpoint is read by all
history = TRAINER.fit(net, source, target, checkpoint={file!r} + ".checkpoint" + rank, resume={resume})
import torch.distributed as d
found = np.append(net.predict(source.features, raw=True), history["class_loss"])
np.save({file!r} + f".{{rank}}.npy", found)
d.destroy_process_group()
"""

TRAINER = Trainer(epochs=3, batch_size=250, optimizer="sgd", learning_rate=0.05, seed=1, device="cpu")


class StopError(Exception):
    """Ends a training in its middle."""


def test_alone_there_is_nothing_to_join() -> None:
    assert join() == (0, 1)
    assert alone()
    assert count() == 1


@pytest.mark.slow
@pytest.mark.parametrize(("tail", "resume"), [(None, False), (Tail(0.3), False), (None, True)])
def test_two_processes_are_one_with_the_same_batch(tmp_path: Path, tail: Tail | None, resume: bool) -> None:
    source, target = shifted(1000)
    if resume:

        def stop(so_far: History) -> None:
            if so_far.epochs == 2:
                raise StopError

        with pytest.raises(StopError):
            TRAINER.fit(network(), source, target, checkpoint=tmp_path / "score.checkpoint0", on_epoch=stop)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file, root = str(tmp_path / "score"), str(Path(__file__).parents[2])
    workers = []
    for rank in range(2):
        said = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        script = SCRIPT.format(root=root, file=file, tail=tail, resume=resume)
        workers.append(subprocess.Popen([sys.executable, "-c", script], env={**os.environ, **said}))
    assert [worker.wait(timeout=240) for worker in workers] == [0, 0]
    net = network(tail=tail)
    history = TRAINER.fit(net, source, target)
    expected = np.append(net.predict(source.features, raw=True), history["class_loss"])
    for rank in range(2):
        assert np.abs(np.load(f"{file}.{rank}.npy") - expected).max() < 1e-5
