"""Checkers for chapter 15, meta policy gradients."""

import numpy as np
import torch

from course_lib.checks.answer import Wrong, checker, choice, close, expect
from course_lib.meta.meta_gradient import surrogate


@checker
def which_estimator(answer) -> str:
    why = {
        "a": "the naive one leaves out that the start also decides which episodes are drawn.",
        "b": "LVC goes for the exact inner step, with a bias of its own.",
        "c": "DiCE goes for the exact inner step, not for a step from three episodes.",
        "e": "that counts the way through the drawing of D twice.",
    }
    return choice(
        answer, "d", why, "right: E-MAML is unbiased for the finite objective, and pays in scatter."
    )


def _second_derivatives(function, x: torch.Tensor, weight: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Value's gradient and Hessian with respect to two numbers on which the log-probabilities depend."""
    (grad,) = torch.autograd.grad(function(_log_probs(x), weight), x, create_graph=True)
    if not grad.requires_grad:
        return grad.detach().numpy(), np.zeros((2, 2))
    rows = [torch.autograd.grad(g, x, retain_graph=True, allow_unused=True)[0] for g in grad]
    return grad.detach().numpy(), np.array([np.zeros(2) if r is None else r.numpy() for r in rows])


def _log_probs(x: torch.Tensor) -> torch.Tensor:
    """[3, 4]: smooth functions of two numbers."""
    at = torch.arange(12, dtype=torch.float64).reshape(3, 4)
    return torch.sin(x[0] * (1 + at)) - torch.exp(0.1 * x[1] * at) - 0.3 * x[0] * x[1]


@checker
def lvc_surrogate(method) -> str:
    for seed in range(3):
        rng = torch.Generator().manual_seed(seed)
        weight = torch.randn(3, 4, generator=rng, dtype=torch.float64)
        x = torch.rand(2, generator=rng, dtype=torch.float64).requires_grad_(True)
        value = method(_log_probs(x), weight)
        expect(torch.is_tensor(value) and value.ndim == 0, "return one number, as a tensor.")
        expect(
            value.requires_grad, "no derivative gets through: detach only one of the two log-probabilities."
        )
        grad, hessian = _second_derivatives(method, x, weight)
        share = torch.full((1, 3), 1 / 3, dtype=torch.float64)
        wants = {
            kind: _second_derivatives(
                lambda lp, w, k=kind: surrogate(lp[None], w[None], share, k)[0], x, weight
            )
            for kind in ("log", "ratio", "DiCE")
        }
        close(
            grad, wants["ratio"][0], "the first derivative is not ĝ: at this point each step must be 1 · ∇l."
        )
        if np.allclose(hessian, wants["log"][1]):
            raise Wrong("this is the naive one: it has ∇²l, but not ∇l ∇lᵀ.")
        if np.allclose(hessian, wants["DiCE"][1]):
            raise Wrong("this is DiCE: the products with earlier time steps are in it too.")
        close(hessian, wants["ratio"][1], "the second derivative of each step should be ∇²l + ∇l ∇lᵀ.")
    return "right: one box for each step."


@checker
def score_term(method) -> str:
    for M, seed in ((2, 0), (5, 1), (20, 2)):
        rng = torch.Generator().manual_seed(seed)
        raw = torch.randn(M, generator=rng, dtype=torch.float64, requires_grad=True)
        x = torch.randn(M, generator=rng, dtype=torch.float64, requires_grad=True)
        value, log_p = 2 + raw**2, torch.sin(x)
        got = method(value, log_p)
        expect(torch.is_tensor(got), "return a tensor, one number a task.")
        flat = value.detach().numpy()
        others = np.array([np.delete(flat, i).mean() for i in range(M)])
        shown, log_now = got.detach().numpy(), log_p.detach().numpy()
        if shown.shape == (M,) and np.allclose(shown, (flat - flat.mean()) * log_now):
            raise Wrong("the task's own value is in your mean: that baseline depends on its D.")
        if shown.shape == (M,) and np.allclose(shown, flat * log_now):
            raise Wrong("there is no baseline yet.")
        close(shown, (flat - others) * log_now, "each entry is (value − mean of the others) · log_p.")
        grads = torch.autograd.grad(got.sum(), [raw, x], allow_unused=True)
        expect(grads[1] is not None, "no derivative gets through log_p: it is the score.")
        close(
            grads[1].numpy(),
            (flat - others) * np.cos(x.detach().numpy()),
            "the derivative goes through log_p.",
        )
        expect(
            grads[0] is None or not grads[0].abs().max() > 1e-12,
            "a derivative flows through the values: detach them.",
        )
    return "right: the mean stays, the scatter falls."


@checker
def slope_of_alpha(method) -> str:
    rng = np.random.default_rng(0)
    for _ in range(5):
        V, target, G = rng.normal(size=3) * 2
        alpha = rng.uniform(0.05, 0.9)
        got, miss = method(V, alpha, target, G), G - V - alpha * (target - V)
        for mistake, sentence in (
            (miss * (target - V), "the sign is wrong: V′ moves towards G′ where the error falls."),
            (-miss, "∂V′/∂α is missing: how far does V′ move when α grows?"),
            (-(G - V) * (target - V), "the error is that of V′, the value after the update."),
            (-2 * miss * (target - V), "the half in ½ (G′ − V′)² takes the 2 away."),
        ):
            if np.shape(got) == () and np.isclose(float(got), mistake):
                raise Wrong(sentence)
        close(got, -miss * (target - V), "chain rule: −(G′ − V′) · ∂V′/∂α.")
    return "right: the product of two corrections, and nothing else."


def _gradient(theta, plays, alpha: float, keep: bool, by_phi: bool) -> torch.Tensor:
    D = plays(theta)
    (g,) = torch.autograd.grad(_square(theta, D), theta, create_graph=keep)
    phi = theta + alpha * g
    return torch.autograd.grad(_square(phi, plays(phi if by_phi else theta)), theta)[0]


def _square(theta: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    return (torch.sin(theta) * data).sum() - 0.1 * (theta**3).sum()


@checker
def repaired_gradient(method) -> str:
    for seed in range(3):
        rng = torch.Generator().manual_seed(seed)
        theta = torch.randn(3, generator=rng, dtype=torch.float64).requires_grad_(True)
        alpha, asked = (0.3, 0.7, 1.1)[seed], []

        def plays(at, asked=asked):
            asked.append(at.detach().clone())
            return torch.cos(2 * at.detach()) + 0.1 * len(asked)

        got = method(theta, plays, _square, alpha)
        if len(asked) == 1:
            raise Wrong("episodes are played once: step 4 needs new ones, by the adapted policy.")
        expect(len(asked) == 2, f"episodes are played {len(asked)} times: once by θ, once by φ.")
        if torch.allclose(asked[1], asked[0]):
            raise Wrong("the second episodes are still played by θ: φ should play them.")
        wants = {}
        for keep in (True, False):
            count = []

            def again(at, count=count):
                count.append(at)
                return torch.cos(2 * at.detach()) + 0.1 * len(count)

            wants[keep] = _gradient(theta, again, alpha, keep, True).numpy()
        expect(torch.is_tensor(got), "return the gradient with respect to θ, a tensor.")
        if np.allclose(got.detach().numpy(), wants[False]):
            raise Wrong("the inner gradient still counts as a constant: is its graph kept?")
        close(got.detach().numpy(), wants[True], "this is not the gradient of the surrogate at φ, back at θ.")
    return "right: both bugs are gone. Either one alone would have passed for noise."
