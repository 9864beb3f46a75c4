"""What answers, memories and trajectories are worth: metrics, judges, gold facts, rewards, intervals around means."""
