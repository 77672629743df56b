"""`python -m monitor.dashboard` shows a sample; `--svg FOLDER` draws the pictures of the documentation."""

from monitor.dashboard.pictures import main

if __name__ == "__main__":
    main()
