"""The command `poolkeeper`: its subcommands, what `check` tries, and the picture of `graph`.

Commands only parse arguments and print results; their work belongs to the packages that they call. Nothing imports this
package but `python -m service`.
"""
