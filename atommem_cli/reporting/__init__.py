"""What runs and trainings look like: tables, figures, pages."""
