"""Networks that denoise: shapes, conditions, and small trainings with a known answer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hepda.adversarial import seeded
from hepda.adversarial.diffusion.denoising import denoising_loss, drop_labels, noise_of_velocity
from hepda.adversarial.diffusion.guidance import guided
from hepda.adversarial.diffusion.networks import Denoiser, ImageDenoiser, TableDenoiser
from hepda.adversarial.diffusion.ode import Field
from hepda.adversarial.diffusion.samplers import denoised
from hepda.adversarial.diffusion.schedules import find_schedule
from hepda.errors import ConfigError, DataError

COSINE = find_schedule("cosine")


def with_output(network: Denoiser) -> Denoiser:
    """A network whose last layer is not 0."""
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(0.0, 0.1, generator=torch.Generator().manual_seed(1))
    return network.eval()


@pytest.mark.parametrize("size", [(1, 8, 8), (3, 16, 16), (1, 28, 28), (2, 9, 11)])
def test_images_keep_their_shape(size: tuple[int, int, int]) -> None:
    with seeded(1):
        network = ImageDenoiser(size[0], (10, 2), width=8)
    x = torch.randn(2, *size, generator=torch.Generator().manual_seed(2))
    label = torch.tensor([[3, 1], [10, 2]])
    assert not network(x, torch.tensor([0.1, 0.9]), label).any()
    assert with_output(network)(x, torch.tensor([0.1, 0.9]), label).shape == x.shape


@pytest.mark.parametrize("kind", ["table", "image"])
def test_the_output_depends_on_time_and_on_each_label_and_rows_are_apart(kind: str) -> None:
    with seeded(2):
        made: Denoiser = TableDenoiser(5, (3, 2), 16, 2) if kind == "table" else ImageDenoiser(1, (3, 2), 8)
    network = with_output(made)
    x = torch.randn(1, *((5,) if kind == "table" else (1, 8, 8)), generator=torch.Generator().manual_seed(3))
    rows, time = x.expand(4, *x.shape[1:]), torch.tensor([0.2, 0.7, 0.2, 0.2])
    label = torch.tensor([[0, 0], [0, 0], [1, 0], [0, 1]])
    out = network(rows, time, label).detach()
    for other in (1, 2, 3):
        assert float((out[other] - out[0]).abs().max()) > 1e-4
    torch.testing.assert_close(network(rows[2:3], time[2:3], label[2:3]), out[2:3], atol=1e-5, rtol=1e-4)
    silent = network(rows, time, torch.tensor([[3, 2]]).expand(4, 2))
    torch.testing.assert_close(network(rows, time), silent)


def trained(network: Denoiser, data: Tensor, label: Tensor, weight: Tensor, steps: int, batch: int) -> Denoiser:
    random = torch.Generator().manual_seed(4)
    rate = 5e-3
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for step in range(steps):
        chosen = torch.randint(len(data), (batch,), generator=random)
        rows = data[chosen]
        noise = torch.randn(rows.shape, generator=random)
        said = drop_labels(label[chosen], network.conditions.classes, 0.2, random)

        def predicted(x: Tensor, time: Tensor, said: Tensor = said) -> Tensor:
            result: Tensor = network(x, time, said)
            return result

        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        optimizer.zero_grad()
        model, time = noise_of_velocity(predicted, COSINE), COSINE.draw(batch, random)
        loss = denoising_loss(model, COSINE, rows, noise, time, weight[chosen], COSINE.inverse_signal)
        loss.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


def of_class(network: Denoiser, number: int) -> Field:
    return noise_of_velocity(lambda x, time: network(x, time, torch.full((len(x), 1), number)), COSINE)


def test_a_table_is_learned_with_its_labels_and_signed_weights() -> None:
    """Class 0 around -1 and class 1 around 1; a fifth of the events has negative weight, anywhere."""
    random = torch.Generator().manual_seed(5)
    number = torch.randint(2, (4000, 1), generator=random)
    data = (2.0 * number - 1.0) + 0.3 * torch.randn(4000, 1, generator=random)
    weight = torch.where(torch.rand(4000, generator=random) < 0.2, -1.0, 1.0)
    with seeded(6):
        made = TableDenoiser(1, (2,), 32, 2)
    network = trained(made, data, number, weight, 300, 256)
    start = torch.randn(2000, 1, generator=random)
    for label, centre in ((0, -1.0), (1, 1.0)):
        rows = denoised(of_class(network, label), COSINE, start, 20, fresh=0.0)
        assert float(rows.mean()) == pytest.approx(centre, abs=0.15)
        assert float(rows.std()) == pytest.approx(0.3, abs=0.15)
    silent = denoised(of_class(network, 2), COSINE, start, 20, fresh=0.0)
    assert float((silent > 0).float().mean()) == pytest.approx(0.5, abs=0.1)
    half = denoised(guided(of_class(network, 0), of_class(network, 1), 0.5), COSINE, start, 20, fresh=0.0)
    assert -0.5 < float(half.mean()) < 0.5


@pytest.mark.slow
def test_images_are_learned_with_their_labels() -> None:
    """Bars across and bars upright, on a dark ground: samples with a label are bars of this kind."""
    random = torch.Generator().manual_seed(7)
    number = torch.randint(2, (1000, 1), generator=random)
    place = torch.randint(1, 7, (1000,), generator=random)
    data = torch.full((1000, 1, 8, 8), -1.0)
    for row in range(1000):
        image = data[row, 0] if number[row] == 0 else data[row, 0].T
        image[place[row]] = 1.0
    with seeded(8):
        made = ImageDenoiser(1, (2,), 8)
    network = trained(made, data, number, torch.ones(1000), 250, 64)
    start = torch.randn(100, 1, 8, 8, generator=random)
    across, upright = (
        denoised(of_class(network, label), COSINE, start, 20, random, limits=(-1, 1)) for label in (0, 1)
    )
    for images, along in ((across, 2), (upright, 1)):
        bright = images[:, 0].mean(dim=along).amax(dim=1)
        assert float((bright > 0.6).float().mean()) > 0.8


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ConfigError, match="must be even"):
        TableDenoiser(3, (), 33)
    with pytest.raises(ConfigError, match="multiple of 8"):
        ImageDenoiser(1, (), 12)
    with pytest.raises(DataError, match="3 rows of 1 kinds of labels"):
        TableDenoiser(2, (2,), 8)(torch.zeros(3, 2), torch.zeros(3), torch.zeros(3, dtype=torch.long))
