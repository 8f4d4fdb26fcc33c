"""``python -m diffmusic``."""

from diffmusic.cli import main

if __name__ == "__main__":
    main()
