"""``python -m cryptoquantix`` is ``cqx``; it adds nothing."""

from cryptoquantix.cli import main

main()
