"""How a model writes operations and is asked for them: tags, wording, and a YAML file for each dialect."""
