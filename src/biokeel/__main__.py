"""`python -m biokeel` is the biokeel command."""

from biokeel.cli import main

main()
