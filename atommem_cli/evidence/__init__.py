"""What finished runs prove: played again, compared, explained, priced. Nothing here plays a task for a score."""
