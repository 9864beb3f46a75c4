"""Playing tasks: parts built from a recipe, players, the rollout that drives them, judges, costs."""
