"""`python -m atommem_cli.cli`."""

from atommem_cli.cli import main

main()
