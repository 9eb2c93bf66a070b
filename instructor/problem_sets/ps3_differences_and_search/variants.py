"""Right and wrong answers to problem set 3: whole answers, or (old, new) to replace in the solution."""

RIGHT = {
    "n_step_targets": {
        "from the back, one step at a time": """
def n_step_targets(rewards, values, gamma, n):
    T, out = len(rewards), []
    for t in range(T):
        G = values[min(t + n, T)]
        for r in rewards[t : t + n][::-1]:
            G = r + gamma * G
        out.append(G)
    return out
""",
        "errors added up": """
def n_step_targets(rewards, values, gamma, n):
    error = rewards + gamma * values[1:] - values[:-1]
    T = len(rewards)
    return np.array([values[t] + sum(gamma ** (k - t) * error[k] for k in range(t, min(t + n, T))) for t in range(T)])
""",
    },
    "expected_sarsa": {
        "loops and lists": """
def expected_sarsa(log, S, A, alpha, gamma, epsilon):
    Q = [[0.0] * A for _ in range(S)]
    for s, a, r, s2, terminated, truncated in log:
        target = r
        if not terminated:
            target += gamma * (epsilon * sum(Q[s2]) / A + (1 - epsilon) * max(Q[s2]))
        Q[s][a] = (1 - alpha) * Q[s][a] + alpha * target
    return Q
""",
        "the first of the best": (
            "best / best.sum()",
            "np.eye(A)[Q[s2].argmax()]",
        ),  # ties are worth the same
    },
    "lambda_weights": {
        "what is left": ("weights[-1] = float(lam) ** (T - 1)", "weights[-1] = 1 - weights[:-1].sum()"),
        "a list": ("return weights", "return list(weights)"),
    },
    "game_value": {
        "numpy": """
def game_value(tree):
    if np.isscalar(tree):
        return tree
    if tree[0] == "chance":
        return np.dot([p for p, _ in tree[1:]], [game_value(t) for _, t in tree[1:]])
    return {"max": np.max, "min": np.min}[tree[0]]([game_value(t) for t in tree[1:]])
""",
        "alpha and beta": """
def game_value(tree, low=-1e9, high=1e9):
    if not isinstance(tree, (list, tuple)):
        return tree
    if tree[0] == "chance":
        return sum(p * game_value(t) for p, t in tree[1:])
    best = -1e9 if tree[0] == "max" else 1e9
    for child in tree[1:]:
        if tree[0] == "max":
            best = max(best, game_value(child, low, high))
            low = max(low, best)
        else:
            best = min(best, game_value(child, low, high))
            high = min(high, best)
        if low >= high:
            break
    return best
""",
    },
}

WRONG = {
    "n_step_targets": {
        "no guess at the end": (" + gamma ** (end - t) * values[end]", ""),
        "the guess is not discounted": ("gamma ** (end - t) * values[end]", "values[end]"),
        "discounted once only": ("gamma ** (end - t) * values[end]", "gamma * values[end]"),
        "discounted by n at the end too": ("gamma ** (end - t) * values[end]", "gamma**n * values[end]"),
        "one step too many": ("t + n, T", "t + n + 1, T"),
        "one step too few": ("t + n, T", "t + n - 1, T"),
        "the guess one step early": ("values[end]", "values[end - 1]"),
        "the guess of now": ("values[end]", "values[t]"),
        "rewards not discounted": ("powers @ np.asarray(rewards)[t:end]", "np.asarray(rewards)[t:end].sum()"),
        "discounted from the first on": ("gamma ** np.arange(end - t)", "gamma ** np.arange(1, end - t + 1)"),
        "discounted by the clock": ("gamma ** np.arange(end - t)", "gamma ** np.arange(t, end)"),
        "powers the wrong way round": ("gamma ** np.arange(end - t)", "gamma ** np.arange(end - t)[::-1]"),
        "the last n steps have no target": ("for t in range(T):", "for t in range(T - n + 1):"),
        "Monte Carlo": ("min(t + n, T)", "T"),
        "TD(0)": ("min(t + n, T)", "t + 1"),
        "the end is worth nothing": ("* values[end]", "* values[end] * (end < T)"),
        "rewards from the next step on": (
            "np.asarray(rewards)[t:end]",
            "np.append(rewards, 0)[t + 1 : end + 1]",
        ),
        "the errors": ("return targets", "return targets - values[:-1]"),
    },
    "expected_sarsa": {
        "Q-learning": ("(pi * Q[s2]).sum()", "Q[s2].max()"),
        "the clock ends it": ("if terminated else", "if terminated or _ else"),
        "the end has a value": ("0.0 if terminated else ", ""),
        "the mean": ("(pi * Q[s2]).sum()", "Q[s2].mean()"),
        "every best one gets it all": ("best / best.sum()", "best"),
        "epsilon for the others only": (
            "epsilon / A + (1 - epsilon) * best / best.sum()",
            "np.where(best, (1 - epsilon) / best.sum(), epsilon / max(A - best.sum(), 1))",
        ),
        "epsilon not shared": ("epsilon / A", "epsilon"),
        "1 - epsilon, and no more": ("epsilon / A + ", ""),
        "without gamma": ("gamma * (pi", "(pi"),
        "gamma on the reward": ("r + ahead", "gamma * r + ahead"),
        "the state it came from": ("(pi * Q[s2]).sum()", "(pi * Q[s]).sum()"),
        "no step size": ("alpha * (", "("),
        "target added": ("r + ahead - Q[s, a]", "r + ahead"),
        "backwards through the diary": ("in log:", "in log[::-1]:"),
        "no looking ahead": ("gamma * (pi * Q[s2]).sum()", "0.0"),
        "the last step twice": ("in log:", "in log + log[-1:]:"),
        "optimistic start": ("np.zeros((S, A))", "np.ones((S, A))"),
        "the action's own next value": ("(pi * Q[s2]).sum()", "Q[s2, a]"),
    },
    "lambda_weights": {
        "the rest is forgotten": ("weights[-1] = float(lam) ** (T - 1)\n", "\n"),
        "made a mean by force": (
            "weights[-1] = float(lam) ** (T - 1)\n    return weights",
            "return weights / max(weights.sum(), 1e-9)",
        ),
        "without 1 − λ": ("(1 - lam) * ", ""),
        "powers from 1": ("np.arange(T)", "np.arange(1, T + 1)"),
        "the last one a power too high": ("** (T - 1)", "** T"),
        "backwards": ("return weights", "return weights[::-1]"),
        "1 − λ in the power": (
            "(1 - lam) * float(lam) ** np.arange(T)",
            "lam * float(1 - lam) ** np.arange(T)",
        ),
        "one too few": ("return weights", "return weights[:-1]"),
        "one too many": ("return weights", "return np.append(weights, 0)"),
        "all alike": ("return weights", "return np.ones(T) / T"),
        "the sum": ("return weights", "return weights.sum()"),
        "the rest on the first": ("weights[-1] =", "weights[0] ="),
        "the rest comes on top": ("weights[-1] =", "weights[-1] +="),
    },
    "game_value": {
        "everybody is nice": ('max(values) if kind == "max" else min(values)', "max(values)"),
        "everybody is nasty": ('max(values) if kind == "max" else min(values)', "min(values)"),
        "max and min swapped": ('kind == "max"', 'kind == "min"'),
        "players take turns": (
            'if kind == "chance":',
            'if kind == "max":\n        return max(-game_value(c) for c in children)\n    if kind == "chance":',
        ),
        "the likeliest side": (
            "sum(p * game_value(child) for p, child in children)",
            "game_value(max(children, key=lambda pair: pair[0])[1])",
        ),
        "all sides alike": (
            "sum(p * game_value(child) for p, child in children)",
            "sum(game_value(child) for p, child in children) / len(children)",
        ),
        "the best side": ("sum(p * game_value(child)", "max(game_value(child)"),
        "p forgotten": ("p * game_value(child)", "game_value(child)"),
        "two children only": ("kind, *children = tree", "kind, *children = tree[:3]"),
        "one level": (
            "values = [game_value(child) for child in children]",
            "values = [c if not isinstance(c, list) else 0.0 for c in children]",
        ),
        "absolute values": ("float(tree)", "abs(float(tree))"),
        "starts at 0": ("max(values) if", "max([0.0, *values]) if"),
        "the opponent throws dice": ("min(values)", "sum(values) / len(values)"),
        "which move instead of its value": ("max(values) if", "values.index(max(values)) if"),
        "the last child is forgotten": (
            "kind, *children = tree",
            "kind, *children = tree[:-1] if len(tree) > 2 else tree",
        ),
    },
}
