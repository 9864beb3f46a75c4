"""What a user may set: the recipe, its schema, plug-ins by name, credentials."""
