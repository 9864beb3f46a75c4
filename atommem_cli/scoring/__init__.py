"""What an answer is worth: metrics, the judge's prompt, rewards, and intervals around their means."""
