"""`python -m service` is `poolkeeper`."""

from service.cli import main

main()
