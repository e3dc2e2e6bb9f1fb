"""`python -m service` is `poolkeeper`."""

from service.cli.commands import main

main()
