"""Training on TRL: supervised fine-tuning on good trajectories, GRPO on whole trajectories."""
