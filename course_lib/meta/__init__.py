"""What learns to learn: metapolicies and learning rules, trained over a distribution of tasks."""
