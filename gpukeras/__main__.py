"""``python -m gpukeras``: the commands of the package."""

from __future__ import annotations

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    from gpukeras import __version__, demo

    parser = argparse.ArgumentParser(
        prog="python -m gpukeras", description="Keras on NumPy (CPU) and CuPy (NVIDIA GPU)."
    )
    parser.add_argument("--version", action="version", version=f"gpukeras {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo.add_arguments(commands.add_parser("demo", help="train two small networks on handwritten digits"))
    chosen = parser.parse_args(arguments)
    try:
        return demo.run(chosen)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
