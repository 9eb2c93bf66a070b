"""Stable-Baselines3 in its own process: reads {"method", "steps", "seed"}, a line each, trains, and answers
with {"seconds" of processor time it learned, "returns" of 100 episodes without exploring}. See deep.py.

The settings are those that rl-baselines3-zoo tuned for CartPole-v1.
"""

import json
import sys
import time

import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

torch.set_num_threads(1)
ENVS = {"dqn": 1, "ppo": 8}


def dqn(env, steps: int, seed: int) -> DQN:
    return DQN(
        "MlpPolicy",
        env,
        learning_rate=2.3e-3,
        batch_size=64,
        buffer_size=100_000,
        learning_starts=1_000,
        gamma=0.99,
        target_update_interval=10,
        train_freq=256,
        gradient_steps=128,
        exploration_fraction=0.16,
        exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [256, 256]},
        seed=seed,
        device="cpu",
    )


def ppo(env, steps: int, seed: int) -> PPO:
    return PPO(
        "MlpPolicy",
        env,
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        learning_rate=lambda left: 1e-3 * left,
        clip_range=lambda left: 0.2 * left,
        seed=seed,
        device="cpu",
    )


def answer(request: dict) -> dict:
    method, steps, seed = request["method"], request["steps"], request["seed"]
    model = {"dqn": dqn, "ppo": ppo}[method](make_vec_env("CartPole-v1", ENVS[method], seed), steps, seed)
    began = time.process_time()
    model.learn(steps)
    seconds = time.process_time() - began
    returns, _ = evaluate_policy(
        model,
        make_vec_env("CartPole-v1", 10, 1000 + seed),
        n_eval_episodes=100,
        deterministic=True,
        return_episode_rewards=True,
    )
    return {"seconds": seconds, "returns": returns}


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
