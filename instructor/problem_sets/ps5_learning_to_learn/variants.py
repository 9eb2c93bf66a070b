"""Right and wrong answers to problem set 5: whole answers, or (old, new) to replace in the solution."""

RIGHT = {
    "sampling_value": {
        "task by task": """
def sampling_value(prior, means, H):
    M, K = means.shape
    def earn(belief, task, n):
        if n == 0:
            return 0.0
        total = 0.0
        for drawn in range(M):
            if belief[drawn] == 0:
                continue
            k = int(means[drawn].argmax())
            p = means[task, k]
            for chance, paid, like in ((p, 1, means[:, k]), (1 - p, 0, 1 - means[:, k])):
                if chance > 0:
                    after = belief * like
                    total += belief[drawn] * chance * (paid + earn(after / after.sum(), task, n - 1))
        return total
    prior = np.asarray(prior, dtype=float)
    return sum(prior[i] * earn(prior, i, H) for i in range(M) if prior[i] > 0)
""",
        "the mean payment first": (
            "total += pull * chance * (paid + sampling_value(after, means, H - 1))",
            "total += pull * chance * paid + pull * chance * sampling_value(after, means, H - 1)",
        ),
    },
    "inputs": {
        "arrays": """
def inputs(actions, rewards, ends, trials, A):
    all_ = np.column_stack([np.eye(A)[actions], rewards, ends])
    fed = np.vstack([np.zeros(A + 2), all_[:-1]])
    fed[1:][np.diff(trials) != 0] = 0
    return fed
""",
        "lists": ("return fed", "return [list(row) for row in fed]"),
    },
    "meta_slope": {
        "torch": """
def meta_slope(theta, H, c, alpha, scales, first_order):
    import torch
    H, c, scales = (torch.as_tensor(np.array(x, dtype=float)) for x in (H, c, scales))
    start = torch.tensor(np.array(theta, dtype=float), requires_grad=True)
    total = 0.0
    for h, m in zip(H, c):
        phi = start
        for S in scales:
            phi = phi - alpha * S @ (h @ (phi - m))
        if first_order:
            phi = start + (phi - start).detach()
        total = total + 0.5 * (phi - m) @ h @ (phi - m) / len(H)
    return torch.autograd.grad(total, start)[0]
""",
        "differences": """
def meta_slope(theta, H, c, alpha, scales, first_order):
    theta = np.array(theta, dtype=float)
    def phis(x):
        out = []
        for h, m in zip(H, c):
            p = x
            for S in scales:
                p = p - alpha * S @ h @ (p - m)
            out.append(p)
        return out
    if first_order:
        return sum(h @ (p - m) for h, m, p in zip(H, c, phis(theta))) / len(H)
    f = lambda x: sum(0.5 * (p - m) @ h @ (p - m) for h, m, p in zip(H, c, phis(x))) / len(H)
    return [(f(theta + e) - f(theta - e)) / 2e-4 for e in 1e-4 * np.eye(len(theta))]
""",
    },
}

WRONG = {
    "sampling_value": {
        "forgets everything": ("after = belief * likelihood / chance", "after = belief"),
        "greedy": (
            "pull = belief[means.argmax(axis=1) == k].sum()",
            "pull = float(k == (belief @ means).argmax())",
        ),
        "knows the task": (
            "for k in range(means.shape[1]):",
            "return H * float(belief @ means.max(axis=1))\n    for k in []:",
        ),
        "arms all alike": ("pull = belief[means.argmax(axis=1) == k].sum()", "pull = 1 / means.shape[1]"),
        "one task for all steps": (
            "for k in range(means.shape[1]):",
            "return H * sum(b * (belief @ means[:, m.argmax()]) for b, m in zip(belief, means))\n    for k in []:",
        ),
        "pays what the drawn task promises": (
            "chance = belief @ likelihood\n            if",
            "chance = belief @ likelihood\n            paid = paid and belief @ means.max(axis=1) / chance\n            if",
        ),
        "not made to sum to 1": ("/ chance\n", "\n"),
        "the last payment only": (
            "paid + sampling_value(after, means, H - 1)",
            "(paid if H == 1 else 0) + sampling_value(after, means, H - 1)",
        ),
        "the mean per step": ("return total\n", "return total / H\n"),
        "learns from wins only": (
            "after = belief * likelihood / chance",
            "after = belief * likelihood / chance if paid else belief",
        ),
        "learns from losses as if wins": (
            "after = belief * likelihood / chance",
            "after = belief * means[:, k] / max(belief @ means[:, k], 1e-9)",
        ),
        "learns the wrong way": (
            "after = belief * likelihood / chance",
            "after = belief * (1 - likelihood) / max(1 - chance, 1e-9)",
        ),
        "the first task's best arm": (
            "means.argmax(axis=1) == k",
            "means[0].argmax() == np.full(len(belief), k)",
        ),
        "the worst arm": ("means.argmax(axis=1)", "means.argmin(axis=1)"),
        "one step only": ("paid + sampling_value(after, means, H - 1)", "paid"),
        "the future at half price": ("H - 1))", "H - 1) * 0.5)"),
        "the best possible": (
            "total += pull * chance * (paid + sampling_value(after, means, H - 1))",
            "total += 0\n    return max(float(belief @ means[:, k]) + sum((belief @ l) * sampling_value(belief * l / (belief @ l), means, H - 1)"
            " for l in (means[:, k], 1 - means[:, k]) if belief @ l > 0) for k in range(means.shape[1]))",
        ),
    },
    "inputs": {
        "of this step": ("actions[t - 1]", "actions[t]"),
        "the reward of this step": ("rewards[t - 1]", "rewards[t]"),
        "the end of this step": ("ends[t - 1]", "ends[t]"),
        "forgets at the end of an episode": (
            "if trials[t] == trials[t - 1]:",
            "if trials[t] == trials[t - 1] and not ends[t - 1]:",
        ),
        "remembers across trials": ("if trials[t] == trials[t - 1]:", "if True:"),
        "end and reward swapped": (
            "fed[t, A] = rewards[t - 1]\n            fed[t, A + 1] = ends[t - 1]",
            "fed[t, A + 1] = rewards[t - 1]\n            fed[t, A] = ends[t - 1]",
        ),
        "the action as a number": ("fed[t, actions[t - 1]] = 1", "fed[t, 0] = actions[t - 1]"),
        "no reward at an end": (
            "fed[t, A] = rewards[t - 1]",
            "fed[t, A] = rewards[t - 1] * (not ends[t - 1])",
        ),
        "no end flag": ("fed[t, A + 1] = ends[t - 1]\n", "\n"),
        "the end flag of a trial": (
            "fed[t, A + 1] = ends[t - 1]",
            "fed[t, A + 1] = t + 1 == len(trials) or trials[t + 1] != trials[t]",
        ),
        "goes on instead of ended": ("fed[t, A + 1] = ends[t - 1]", "fed[t, A + 1] = 1 - ends[t - 1]"),
        "one row short": ("return fed", "return fed[1:]"),
        "two steps late": ("return fed", "return np.roll(fed, 1, axis=0)"),
        "reward at the action's place": (
            "fed[t, actions[t - 1]] = 1",
            "fed[t, actions[t - 1]] = rewards[t - 1]",
        ),
        "rewards added up": ("fed[t, A] = rewards[t - 1]", "fed[t, A] = sum(rewards[:t])"),
        "the sign of the reward": ("fed[t, A] = rewards[t - 1]", "fed[t, A] = np.sign(rewards[t - 1])"),
        "trials must count upwards": ("trials[t] == trials[t - 1]", "trials[t] <= trials[t - 1]"),
    },
    "meta_slope": {
        "always first order": ("outer if first_order else jacobian.T @ outer", "outer"),
        "never first order": ("outer if first_order else jacobian.T @ outer", "jacobian.T @ outer"),
        "not transposed": ("jacobian.T @ outer", "jacobian @ outer"),
        "order of the factors": ("jacobian = step @ jacobian", "jacobian = jacobian @ step"),
        "one step's factor only": ("jacobian = step @ jacobian", "jacobian = step"),
        "without the preconditioner": ("alpha * scale @ h", "alpha * h"),
        "preconditioner on the other side": ("alpha * scale @ h", "alpha * h @ scale"),
        "preconditioner transposed": ("alpha * scale @ h", "alpha * scale.T @ h"),
        "the slope at the start": ("outer = h @ (phi - centre)", "outer = h @ (np.array(theta) - centre)"),
        "summed over tasks": ("np.mean(slopes, axis=0)", "np.sum(slopes, axis=0)"),
        "a number": ("np.mean(slopes, axis=0)", "np.mean(slopes)"),
        "Reptile": ("outer = h @ (phi - centre)", "outer = np.array(theta) - phi"),
        "the steps backwards": ("for scale in scales:", "for scale in scales[::-1]:"),
        "the first step only": ("for scale in scales:", "for scale in scales[:1]:"),
        "without alpha": ("alpha * scale @ h", "scale @ h"),
        "uphill": ("np.eye(len(theta)) - alpha", "np.eye(len(theta)) + alpha"),
        "the mean task": ("zip(H, c)", "[(np.mean(H, axis=0), np.mean(c, axis=0))]"),
        "the loss instead of its slope": (
            "outer = h @ (phi - centre)",
            "outer = 0.5 * h @ (phi - centre) ** 2",
        ),
    },
}
