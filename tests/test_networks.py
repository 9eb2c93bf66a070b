"""Networks as functions of their parameters, Adam, and training that goes on after a kill."""

import pytest
import torch

from course_lib.agents.networks import (
    adam,
    adam_init,
    clip_norm,
    gradients,
    gru_cell,
    gru_init,
    mlp,
    mlp_init,
    per_task,
    require_grad,
)
from course_lib.agents.training import generator_from, train


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_mlp_equals_torchs_own_layers():
    params = mlp_init([3, 5, 2], seeded(0))
    layers = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    with torch.no_grad():
        for k, layer in enumerate((layers[0], layers[2])):
            layer.weight.copy_(params[f"W{k}"].T)
            layer.bias.copy_(params[f"b{k}"])
    x = torch.randn(7, 3, generator=seeded(1))
    assert torch.allclose(mlp(params, x), layers(x), atol=1e-6)


def test_a_task_axis_gives_each_task_its_own_weights():
    each = [mlp_init([3, 4, 2], seeded(k)) for k in range(5)]
    together = {name: torch.stack([p[name] for p in each]) for name in each[0]}
    x = torch.randn(5, 6, 3, generator=seeded(9))
    apart = torch.stack([mlp(p, x[m]) for m, p in enumerate(each)])
    assert torch.allclose(mlp(together, x), apart, atol=1e-6)


def test_gradients_flow_from_all_tasks_back_to_the_shared_parameters():
    params = require_grad(mlp_init([2, 3, 1], seeded(0), dtype=torch.float64))
    x = torch.randn(4, 5, 2, generator=seeded(1), dtype=torch.float64)
    shared = gradients((mlp(params, x.reshape(20, 2)) ** 2).sum(), params)
    spread = gradients((mlp(per_task(params, 4), x) ** 2).sum(), params)
    assert all(torch.allclose(shared[k], spread[k]) for k in params)


def test_the_gru_equals_torchs_own_cell():
    params, cell = gru_init(3, 4, seeded(0)), torch.nn.GRUCell(3, 4)
    with torch.no_grad():
        cell.weight_ih.copy_(params["Wx"].T)
        cell.weight_hh.copy_(params["Wh"].T)
        cell.bias_ih.zero_()
        cell.bias_hh.zero_()
    x, h = torch.randn(6, 3, generator=seeded(1)), torch.randn(6, 4, generator=seeded(2))
    assert torch.allclose(gru_cell(params, x, h), cell(x, h), atol=1e-6)


def test_adam_equals_torchs_own_over_many_steps():
    ours = require_grad(mlp_init([3, 4, 1], seeded(0)))
    theirs = {k: p.detach().clone().requires_grad_(True) for k, p in ours.items()}
    optimiser, memory = torch.optim.Adam(list(theirs.values()), lr=0.01), adam_init(ours)
    x = torch.randn(10, 3, generator=seeded(1))
    for _ in range(50):
        ours, memory = adam(ours, gradients((mlp(ours, x) - 1).pow(2).mean(), ours), memory, 0.01)
        optimiser.zero_grad()
        (mlp(theirs, x) - 1).pow(2).mean().backward()
        optimiser.step()
    assert all(torch.allclose(ours[k], theirs[k], atol=1e-5) for k in ours)


def test_clipping_keeps_the_direction_and_short_gradients():
    grads = {"a": torch.tensor([3.0]), "b": torch.tensor([4.0])}
    clipped = clip_norm(grads, 1.0)
    assert torch.allclose(clipped["a"], torch.tensor([0.6])) and torch.allclose(
        clipped["b"], torch.tensor([0.8])
    )
    assert torch.equal(clip_norm(grads, 6.0)["b"], grads["b"])


@pytest.mark.parametrize("sizes", [[3], [], [3, 0, 1]])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="at least two"):
        mlp_init(sizes, seeded(0))


def noisy_descent(kill_at: int | None = None):
    """A run that uses all kinds of state; with `kill_at` it dies there, as if its process were killed."""

    def begin():
        params = require_grad(mlp_init([2, 3, 1], seeded(5)))
        return {"params": params, "adam": adam_init(params), "rng": seeded(6).get_state(), "losses": []}

    def update(state):
        if kill_at is not None and len(state["losses"]) == kill_at:
            raise KeyboardInterrupt
        rng = generator_from(state["rng"])
        params = require_grad(state["params"])
        loss = (mlp(params, torch.randn(8, 2, generator=rng)) - 1).pow(2).mean()
        params, memory = adam(params, gradients(loss, params), state["adam"], 0.01)
        losses = [*state["losses"], loss.item()]
        return {"params": params, "adam": memory, "rng": rng.get_state(), "losses": losses}

    return begin, update


@pytest.mark.parametrize("kill_at", [3, 10, 17])
def test_a_killed_run_ends_with_the_same_bits(tmp_path, kill_at):
    whole = train(*noisy_descent(), 25, about="test", show=False)
    with pytest.raises(KeyboardInterrupt):
        train(*noisy_descent(kill_at), 25, path=tmp_path / "run.pt", every=4, about="test", show=False)
    again = train(*noisy_descent(), 25, path=tmp_path / "run.pt", every=4, about="test", show=False)
    assert again["losses"] == whole["losses"]
    assert all(torch.equal(again["params"][k], whole["params"][k]) for k in whole["params"])


def test_a_finished_run_is_not_run_again(tmp_path):
    first = train(*noisy_descent(), 6, path=tmp_path / "run.pt", about="test", show=False)
    second = train(*noisy_descent(kill_at=0), 6, path=tmp_path / "run.pt", about="test", show=False)
    assert second["losses"] == first["losses"]


def test_a_foreign_file_is_refused_with_the_mend(tmp_path):
    path = tmp_path / "run.pt"
    path.write_bytes(b"my notes")
    with pytest.raises(ValueError, match="delete it to start afresh"):
        train(*noisy_descent(), 5, path=path, about="test", show=False)
    assert path.read_bytes() == b"my notes"
    path.unlink()
    train(*noisy_descent(), 5, path=path, about="test", show=False)
    with pytest.raises(ValueError, match="not 'other'"):
        train(*noisy_descent(), 5, path=path, about="other", show=False)
    with pytest.raises(ValueError, match="with other settings"):
        train(*noisy_descent(), 5, path=path, about="test", settings=0.5, show=False)
    with pytest.raises(ValueError, match="more than the 3"):
        train(*noisy_descent(), 3, path=path, about="test", show=False)


@pytest.mark.parametrize("harm", ["cut", "value", "format"])
def test_a_damaged_file_is_not_trusted_and_the_run_starts_afresh(tmp_path, capsys, monkeypatch, harm):
    path = tmp_path / "run.pt"
    whole = train(*noisy_descent(), 8, path=path, about="test", show=False)
    body = bytearray(path.read_bytes())
    body[-3000] ^= 1  # within the file, one bit is another one
    if harm == "format":
        monkeypatch.setattr("course_lib.agents.training.FORMAT", 99)
    else:
        path.write_bytes(body if harm == "value" else path.read_bytes()[:-40])
    again = train(*noisy_descent(), 8, path=path, about="test", show=False)
    assert capsys.readouterr().out == "run.pt: damaged, or of an older format; starting afresh.\n"
    assert again["losses"] == whole["losses"]
    train(*noisy_descent(kill_at=0), 8, path=path, about="test", show=False)  # stored anew


def test_a_full_disk_is_said_once_and_stops_no_run(tmp_path, capsys, monkeypatch):
    path = tmp_path / "run.pt"
    train(*noisy_descent(), 2, path=path, about="test", show=False)
    old = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    state = train(*noisy_descent(), 8, path=path, every=2, about="test", show=False)
    assert state["losses"] == train(*noisy_descent(), 8, show=False)["losses"]
    said = capsys.readouterr().out
    assert said.startswith("run.pt: could not be stored (No space left on device).") and said.count("\n") == 1
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]
