"""Right and wrong answers to problem set 4: whole answers, or (old, new) to replace in the solution."""

RIGHT = {
    "td_walk": {
        "loops and lists": """
def td_walk(X, rewards, X2, terminated, alpha, gamma):
    F, w = len(X[0]), [0.0] * len(X[0])
    for t in range(len(X)):
        now = sum(w[j] * X[t][j] for j in range(F))
        after = sum(w[j] * X2[t][j] for j in range(F))
        error = rewards[t] - now + (1 - terminated[t]) * gamma * after
        for j in range(F):
            w[j] += alpha * error * X[t][j]
    return w
""",
        "torch": """
def td_walk(X, rewards, X2, terminated, alpha, gamma):
    import torch
    w = torch.zeros(len(X[0]), dtype=torch.float64, requires_grad=True)
    for x, r, x2, end in zip(torch.as_tensor(X), rewards, torch.as_tensor(X2), terminated):
        target = r + gamma * (0.0 if end else (w @ x2).detach())
        (g,) = torch.autograd.grad(0.5 * (target - w @ x) ** 2, w)
        w = (w - alpha * g).detach().requires_grad_(True)
    return w
""",
    },
    "three_errors": {
        "matrices": """
def three_errors(P, r, gamma, X, w, mu):
    D = np.diag(mu)
    V = np.linalg.inv(np.eye(len(r)) - gamma * P) @ r
    error = r + gamma * P @ X @ w - X @ w
    Pi = X @ np.linalg.inv(X.T @ D @ X) @ X.T @ D
    return [v @ D @ v for v in (X @ w - V, error, Pi @ error)]
""",
        "least squares with roots": (
            "np.linalg.solve(X.T @ (mu[:, None] * X), X.T @ (mu * delta))",
            "np.linalg.pinv(np.sqrt(mu)[:, None] * X) @ (np.sqrt(mu) * delta)",
        ),
    },
    "targets": {
        "from the back": """
def targets(rewards, terminated, Q_net, Q_old, gamma):
    out = []
    for r, ends, new, old in zip(rewards, terminated, Q_net, Q_old):
        G = old[np.argmax(new)]
        for k in reversed(range(len(r))):
            G = r[k] + gamma * (0.0 if ends[k] else G)
        out.append(G)
    return out
""",
    },
    "entropy_slope": {
        "torch": """
def entropy_slope(theta, d):
    import torch
    x = torch.tensor(np.asarray(theta), requires_grad=True)
    log_pi = torch.log_softmax(x, dim=1)
    bonus = -(torch.as_tensor(d)[:, None] * log_pi.exp() * log_pi).sum()
    return torch.autograd.grad(bonus, x)[0]
""",
        "row by row": """
def entropy_slope(theta, d):
    rows = []
    for row, weight in zip(theta, d):
        e = [np.exp(x - max(row)) for x in row]
        pi = [x / sum(e) for x in e]
        log = [np.log(max(p, 1e-300)) for p in pi]
        H = -sum(p * l for p, l in zip(pi, log))
        rows.append([-weight * p * (l + H) for p, l in zip(pi, log)])
    return rows
""",
    },
}

WRONG = {
    "td_walk": {
        "the whole gradient": ("* x\n    return", "* (x - gamma * np.asarray(x2) * (not ended))\n    return"),
        "the end has a value": ("0.0 if ended else ", ""),
        "with the features after": ("- w @ x) * x\n", "- w @ x) * x2\n"),
        "without gamma": ("gamma * after", "after"),
        "without the step size": ("alpha * (", "("),
        "the sign": ("w = w + alpha", "w = w - alpha"),
        "no features in the step": ("- w @ x) * x\n", "- w @ x)\n"),
        "no bootstrap": ("gamma * after", "0.0"),
        "starts with ones": ("np.zeros(len(X[0]))", "np.ones(len(X[0]))"),
        "the guess forgotten": (" - w @ x)", ")"),
        "all steps with the first weights": (
            "w = w + alpha * (r + gamma * after - w @ x) * x\n    return w",
            "w0 = w\n    return alpha * sum(r * np.asarray(x) for x, r in zip(X, rewards))",
        ),
        "features made unit length": ("after = 0.0", "x = x / np.linalg.norm(x)\n        after = 0.0"),
        "backwards": ("zip(X, rewards, X2, terminated)", "list(zip(X, rewards, X2, terminated))[::-1]"),
        "gamma on the guess of now": ("r + gamma * after - w @ x", "r + gamma * (after - w @ x)"),
        "a sum for the next guess": ("w @ x2", "np.sum(x2)"),
    },
    "three_errors": {
        "unweighted projection": ("X.T @ (mu[:, None] * X), X.T @ (mu * delta)", "X.T @ X, X.T @ delta"),
        "half weighted": ("X.T @ (mu * delta)", "X.T @ delta"),
        "no weights in 1": ("mu @ (guess - V) ** 2,", "np.mean((guess - V) ** 2),"),
        "no weights in 2": ("mu @ delta**2", "np.mean(delta**2)"),
        "no weights in 3": ("mu @ (X @ theta) ** 2", "np.mean((X @ theta) ** 2)"),
        "theta itself": ("mu @ (X @ theta) ** 2", "theta @ theta"),
        "roots": ("return mu @ (guess - V) ** 2", "return (mu @ (guess - V) ** 2) ** 0.5"),
        "mean error, squared": ("mu @ delta**2", "(mu @ delta) ** 2"),
        "the rest of the projection": ("(X @ theta) ** 2", "(delta - X @ theta) ** 2"),
        "the guess as its own target": (
            "delta = r + gamma * P @ guess - guess",
            "delta = r + gamma * P @ V - guess",
        ),
        "without gamma": ("delta = r + gamma * P", "delta = r + P"),
        "transposed": ("gamma * P, r", "gamma * P.T, r"),
        "projected value error": ("X.T @ (mu * delta)", "X.T @ (mu * (V - guess))"),
        "sums instead of means": ("mu @ delta**2", "np.sum(delta**2)"),
        "1 and 2 swapped": ("mu @ (guess - V) ** 2, mu @ delta**2", "mu @ delta**2, mu @ (guess - V) ** 2"),
        "weights squared": ("mu @ delta**2", "mu**2 @ delta**2"),
    },
    "targets": {
        "what stands behind the end counts": ("ended[:, :-1] == 0", "ended[:, :-1] >= 0"),
        "the reward at the end is lost": (
            "np.hstack([np.ones((len(ended), 1)), ended[:, :-1] == 0])",
            "ended == 0",
        ),
        "the end has a value": (" * (ended[:, -1] == 0)", ""),
        "only an end at the last step counts": ("(ended[:, -1] == 0)", "~np.asarray(terminated)[:, -1]"),
        "plain DQN": (
            "np.asarray(Q_old)[np.arange(len(ended)), np.argmax(Q_net, axis=1)]",
            "np.max(Q_old, axis=1)",
        ),
        "the network judges itself": (
            "np.asarray(Q_old)[np.arange(len(ended)), np.argmax(Q_net, axis=1)]",
            "np.max(Q_net, axis=1)",
        ),
        "roles swapped": (
            "np.asarray(Q_old)[np.arange(len(ended)), np.argmax(Q_net, axis=1)]",
            "np.asarray(Q_net)[np.arange(len(ended)), np.argmax(Q_old, axis=1)]",
        ),
        "gamma once": ("gamma**n * value", "gamma * value"),
        "one gamma too few": ("gamma**n * value", "gamma ** (n - 1) * value"),
        "rewards undiscounted": (" * gamma ** np.arange(n)", ""),
        "discounted from the first": ("gamma ** np.arange(n)", "gamma ** np.arange(1, n + 1)"),
        "the first reward only": (
            "(counts * rewards * gamma ** np.arange(n)).sum(axis=1)",
            "np.asarray(rewards)[:, 0]",
        ),
        "the mean of the old copy": (
            "np.asarray(Q_old)[np.arange(len(ended)), np.argmax(Q_net, axis=1)]",
            "np.mean(Q_old, axis=1)",
        ),
        "no value at all": ("+ gamma**n * value * (ended[:, -1] == 0)", ""),
        "the smaller of both": (
            "np.asarray(Q_old)[np.arange(len(ended)), np.argmax(Q_net, axis=1)]",
            "np.minimum(Q_net, Q_old).max(axis=1)",
        ),
    },
    "entropy_slope": {
        "overflows": ("theta - theta.max(axis=1, keepdims=True)", "theta * 1.0"),
        "the sign": ("return -np", "return np"),
        "without the mean": ("(log_pi + entropy)", "log_pi"),
        "the score of the log": ("(log_pi + entropy)", "(log_pi + 1)"),
        "without the probability": ("[:, None] * pi * (log_pi", "[:, None] * (log_pi"),
        "unweighted": ("np.asarray(d)[:, None] * ", ""),
        "weights made to sum to 1": ("np.asarray(d)[:, None]", "(np.asarray(d) / np.sum(d))[:, None]"),
        "weights squared": ("np.asarray(d)[:, None]", "np.asarray(d)[:, None] ** 2"),
        "minus the entropy": ("(log_pi + entropy)", "(log_pi - entropy)"),
        "by probability, not by logit": ("pi * (log_pi + entropy)", "(log_pi + 1)"),
        "one softmax over the whole table": (
            "np.exp(shifted).sum(axis=1, keepdims=True)",
            "np.exp(shifted).sum()",
        ),
        "base two": ("np.log(np.exp(shifted)", "np.log2(np.exp(shifted)"),
        "the bonus itself": (
            "return -np.asarray(d)[:, None] * pi * (log_pi + entropy)",
            "return -np.asarray(d)[:, None] * pi * log_pi",
        ),
        "averaged over states": ("return -np.asarray(d)[:, None]", "return -np.asarray(d)[:, None] / len(d)"),
        "log of a clipped probability": ("pi = np.exp(log_pi)", "pi = np.maximum(np.exp(log_pi), 0.05)"),
    },
}
