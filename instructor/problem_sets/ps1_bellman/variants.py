"""Right and wrong answers to problem set 1: whole answers, or (old, new) to replace in the solution."""

RIGHT = {
    "steps_to_end": {
        "sweeps until nothing changes": """
def steps_to_end(P, pi, terminal):
    steps = np.zeros(len(P))
    for _ in range(3000):
        steps = np.where(terminal, 0.0, 1 + (pi * (P @ steps)).sum(axis=1))
    return steps
""",
        "loops and lists, in place": """
def steps_to_end(P, pi, terminal):
    S, A = len(P), len(P[0])
    steps = [0.0] * S
    for _ in range(2000):
        for s in reversed(range(S)):
            if not terminal[s]:
                steps[s] = 1 + sum(pi[s][a] * P[s][a][t] * steps[t] for a in range(A) for t in range(S))
    return steps
""",
        "the terminal rows emptied": """
def steps_to_end(P, pi, terminal):
    alive = 1.0 - np.asarray(terminal, dtype=float)
    walk = alive[:, None] * (pi[:, :, None] * P).sum(axis=1)
    return np.linalg.inv(np.eye(len(P)) - walk) @ alive
""",
    },
    "best_actions": {
        "loops": """
def best_actions(P, R, gamma, V):
    table = []
    for s in range(len(R)):
        q = [R[s][a] + gamma * sum(p * v for p, v in zip(P[s][a], V)) for a in range(len(R[s]))]
        table.append([abs(x - max(q)) < 1e-6 for x in q])
    return table
""",
        "isclose": (
            "Q >= Q.max(axis=1, keepdims=True) - 1e-6",
            "np.isclose(Q, Q.max(axis=1)[:, None], rtol=0, atol=1e-6)",
        ),
        "ones and zeros": (
            "return Q >= Q.max(axis=1, keepdims=True) - 1e-6",
            "return (Q.max(1)[:, None] - Q < 1e-6) * 1.0",
        ),
    },
    "best_plan": {
        "the last of the best": ("Q.argmax(axis=1)", "Q.shape[1] - 1 - Q[:, ::-1].argmax(axis=1)"),
        "tuples of lists": ("return np.array(V), act", "return tuple(v.tolist() for v in V), act.tolist()"),
        "a list of two": ("return np.array(V), act", "return [V, act.astype(float)]"),
        "by recursion": """
def best_plan(P, R, H):
    if H == 0:
        return np.zeros((1, len(R))), np.zeros((0, len(R)), dtype=int)
    V, act = best_plan(P, R, H - 1)
    Q = R + P @ V[-1]
    return np.vstack([V, Q.max(axis=1)]), np.vstack([act, Q.argmax(axis=1)])
""",
    },
    "spread": {
        "the variance's own equation": """
def spread(P, R, gamma, pi):
    P_pi = (pi[:, :, None] * P).sum(axis=1)
    V = np.linalg.solve(np.eye(len(R)) - gamma * P_pi, (pi * R).sum(axis=1))
    jump = R[:, :, None] + gamma * V - V[:, None, None]
    now = (pi[:, :, None] * P * jump**2).sum(axis=(1, 2))
    return np.linalg.solve(np.eye(len(R)) - gamma**2 * P_pi, now) ** 0.5
""",
        "sweeps": """
def spread(P, R, gamma, pi):
    V, M = np.zeros(len(R)), np.zeros(len(R))
    for _ in range(600):
        M = (pi * (R**2 + 2 * gamma * R * (P @ V) + gamma**2 * (P @ M))).sum(axis=1)
        V = (pi * (R + gamma * (P @ V))).sum(axis=1)
    return [max(m - v * v, 0) ** 0.5 for m, v in zip(M, V)]
""",
    },
}

WRONG = {
    "steps_to_end": {
        "the end takes a step too": ("steps = np.zeros(len(P))", "steps = np.ones(len(P))"),
        "one step too many": ("return steps", "return steps + 1"),
        "one step too few": ("return steps", "return np.maximum(steps - 1, 0)"),
        "the policy is ignored": ('np.einsum("sa,sat->st", pi, P)', "P.mean(axis=1)"),
        "the most likely action only": (
            'np.einsum("sa,sat->st", pi, P)',
            "P[np.arange(len(P)), pi.argmax(axis=1)]",
        ),
        "the first action only": ('np.einsum("sa,sat->st", pi, P)', "P[:, 0]"),
        "transposed": ("P_pi[inner][:, inner]", "P_pi[inner][:, inner].T"),
        "discounted": ("- P_pi[inner][:, inner]", "- 0.99 * P_pi[inner][:, inner]"),
        "the last state is the terminal one": ("~np.asarray(terminal)", "np.arange(len(P)) < len(P) - 1"),
        "negative, like a cost": ("return steps", "return -steps"),
        "too few sweeps": """
def steps_to_end(P, pi, terminal):
    steps = np.zeros(len(P))
    for _ in range(8):
        steps = np.where(terminal, 0.0, 1 + (pi * (P @ steps)).sum(axis=1))
    return steps
""",
        "a simulation": """
def steps_to_end(P, pi, terminal):
    rng, steps = np.random.default_rng(0), np.zeros(len(P))
    for s in range(len(P)):
        for _ in range(200):
            t = s
            while not terminal[t]:
                t = rng.choice(len(P), p=P[t, rng.choice(P.shape[1], p=pi[t])])
                steps[s] += 1 / 200
    return steps
""",
    },
    "best_actions": {
        "the first of the best only": (
            "Q >= Q.max(axis=1, keepdims=True) - 1e-6",
            "np.eye(Q.shape[1])[Q.argmax(axis=1)]",
        ),
        "exact equality": (" - 1e-6", ""),
        "a tolerance far too wide": ("1e-6", "1e-2"),
        "the worst": ("Q >= Q.max(axis=1, keepdims=True) - 1e-6", "Q <= Q.min(axis=1, keepdims=True) + 1e-6"),
        "without gamma": ("gamma * P @ V", "P @ V"),
        "without the future": ("R + gamma * P @ V", "R"),
        "without the reward": ("R + gamma * P @ V", "gamma * P @ V"),
        "the best of all states": ("Q.max(axis=1, keepdims=True)", "Q.max()"),
        "the best over states": ("Q.max(axis=1, keepdims=True)", "Q.max(axis=0, keepdims=True)"),
        "numbers instead of a table": ("Q >= Q.max(axis=1, keepdims=True) - 1e-6", "Q.argmax(axis=1)"),
        "shared probabilities": (
            "return Q >= Q.max(axis=1, keepdims=True) - 1e-6",
            "best = Q >= Q.max(axis=1, keepdims=True) - 1e-6\n    return best / best.sum(axis=1, keepdims=True)",
        ),
        "minus the future": ("+ gamma", "- gamma"),
    },
    "best_plan": {
        "discounted": ("R + P @", "R + 0.9 * P @"),
        "V upside down": ("np.array(V), act", "np.array(V)[::-1], act"),
        "act upside down": ("np.array(V), act", "np.array(V), act[::-1]"),
        "without row 0": ("np.array(V), act", "np.array(V)[1:], act"),
        "the average": ("V.append(Q.max(axis=1))", "V.append(Q.mean(axis=1))"),
        "the worst": ("V.append(Q.max(axis=1))", "V.append(Q.min(axis=1))"),
        "greedy for today": ("act[k] = Q.argmax(axis=1)", "act[k] = R.argmax(axis=1)"),
        "one plan for every day": (
            "return np.array(V), act",
            "act[:] = act[-1:]\n    return np.array(V), act",
        ),
        "one step short": ("for k in range(H):", "for k in range(H - 1):"),
        "starts with a day's pay": ("[np.zeros(len(R))]", "[R.max(axis=1)]"),
        "each day from nothing": ("P @ V[-1]", "P @ V[0]"),
        "values only": ("return np.array(V), act", "return np.array(V)"),
        "act with H + 1 rows": ("np.zeros((H, len(R)), dtype=int)", "np.zeros((H + 1, len(R)), dtype=int)"),
    },
    "spread": {
        "the variance": ("np.sqrt(np.maximum(square - V**2, 0))", "square - V**2"),
        "the square's root only": ("square - V**2", "square"),
        "without the cross term": ("R**2 + 2 * gamma * R * (P @ V)", "R**2"),
        "half of the cross term": ("2 * gamma * R", "gamma * R"),
        "cross term without gamma": ("2 * gamma * R", "2 * R"),
        "gamma instead of its square": ("gamma**2", "gamma"),
        "the policy's mean reward, squared": ("R**2 +", "(pi * R).sum(axis=1, keepdims=True) ** 2 +"),
        "minus V": ("square - V**2", "square - V"),
        "the absolute value": ("np.sqrt(np.maximum(square - V**2, 0))", "np.abs(V)"),
        "today's luck only": (
            "return np.sqrt(np.maximum(square - V**2, 0))",
            "mean = (pi * R).sum(axis=1)\n    return np.sqrt((pi * R**2).sum(axis=1) - mean**2)",
        ),
        "the same spread for all": (
            "return np.sqrt(np.maximum(square - V**2, 0))",
            "return np.full(len(R), V.std())",
        ),
        "transposed": ("here - gamma**2 * P_pi", "here - gamma**2 * P_pi.T"),
        "the policy ignored": ('np.einsum("sa,sat->st", pi, P)', "P.mean(axis=1)"),
    },
}
